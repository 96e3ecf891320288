/* A small libcuda.so.1, written from CUDA's public API reference (cuda.h of CUDA 12), not from our binding. It runs
 * nothing: each call becomes a line of a log, with all that the driver would have read, and answers are made up.
 * A module is its number of bytes; a kernel's parameters are of the sizes that fake_parameters() was told last. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int CUresult;
enum { SUCCESS = 0, INVALID_VALUE = 1, REFUSED = 719 };
/* Memory of the CPU's that the GPU does not see, and such that it sees elsewhere. */
enum { UNSEEN = 0x10000, MAPPED_FROM = 0x20000, MAPPED_TO = 0x30000, MAPPED_BY = 0x7000000 };

typedef struct { unsigned int id; char pad[4]; unsigned char value[64]; } CUlaunchAttribute;
typedef struct {
    unsigned int gridDimX, gridDimY, gridDimZ, blockDimX, blockDimY, blockDimZ, sharedMemBytes;
    void *hStream;
    CUlaunchAttribute *attrs;
    unsigned int numAttrs;
} CUlaunchConfig;

static char text[1 << 16];
static size_t used;
static int sizes[64], count;
static char failing[64];
static void *context;

static void put(const char *format, ...) {
    va_list list;
    va_start(list, format);
    used += (size_t)vsnprintf(text + used, sizeof text - used, format, list);
    va_end(list);
    if (used >= sizeof text) abort();
}

static void put_bytes(const void *data, size_t size) {
    for (size_t i = 0; i < size; i++) put("%02x", ((const unsigned char *)data)[i]);
}

static CUresult end(const char *function) {
    put("\n");
    return strcmp(function, failing) ? SUCCESS : REFUSED;
}

const char *fake_log(void) { text[used] = 0; used = 0; return text; }
void fake_fail(const char *function) { snprintf(failing, sizeof failing, "%s", function); }
void fake_context(void *value) { context = value; }
void fake_parameters(const int *given, int number) {
    count = number;
    memcpy(sizes, given, (size_t)number * sizeof *given);
}

CUresult cuGetErrorString(CUresult code, const char **answer) {
    *answer = code == REFUSED ? "unspecified launch failure" : "invalid argument";
    return SUCCESS;
}
CUresult cuCtxGetCurrent(void **answer) { *answer = context; return SUCCESS; }
CUresult cuDeviceGet(int *device, int number) { *device = number; return SUCCESS; }
CUresult cuDevicePrimaryCtxRetain(void **answer, int device) {
    *answer = (void *)0xc0;
    put("retain %d", device);
    return end("cuDevicePrimaryCtxRetain");
}
CUresult cuCtxSetCurrent(void *value) { context = value; put("current %p", value); return end("cuCtxSetCurrent"); }
CUresult cuCtxGetLimit(size_t *answer, int name) { *answer = 1 << 20; put("limit %d", name); return end("cuCtxGetLimit"); }
CUresult cuCtxSetLimit(int name, size_t size) { put("limit %d = %zu", name, size); return end("cuCtxSetLimit"); }

CUresult cuPointerGetAttribute(void *answer, int name, uint64_t pointer) {
    if (pointer < UNSEEN) return INVALID_VALUE;
    if (MAPPED_FROM <= pointer && pointer < MAPPED_TO) pointer += MAPPED_BY;
    if (name != 3) abort();
    *(uint64_t *)answer = pointer;
    return strcmp("cuPointerGetAttribute", failing) ? SUCCESS : REFUSED;
}

CUresult cuDeviceGetAttribute(int *answer, int name, int device) {
    *answer = name == 97 ? 232448 : 1000 * device + name;
    return strcmp("cuDeviceGetAttribute", failing) ? SUCCESS : REFUSED;
}
CUresult cuModuleLoadData(void **module, const void *data) {
    *module = (void *)0xd0;
    put("load ");
    put_bytes(data, 4);
    return end("cuModuleLoadData");
}
CUresult cuModuleGetFunction(void **function, void *module, const char *name) {
    *function = (void *)0xf0;
    put("function %s of %p", name, module);
    return end("cuModuleGetFunction");
}
CUresult cuFuncGetAttribute(int *answer, int name, void *function) {
    *answer = name == 0 ? 1024 : 100 + name;
    return function == (void *)0xf0 ? SUCCESS : INVALID_VALUE;
}
CUresult cuFuncSetAttribute(void *function, int name, int value) {
    put("function %p: %d = %d", function, name, value);
    return end("cuFuncSetAttribute");
}
CUresult cuFuncSetCacheConfig(void *function, int value) {
    put("function %p: cache %d", function, value);
    return end("cuFuncSetCacheConfig");
}

static void put_config(const CUlaunchConfig *config, void *function) {
    put("%p grid %u %u %u block %u %u %u", function, config->gridDimX, config->gridDimY, config->gridDimZ,
        config->blockDimX, config->blockDimY, config->blockDimZ);
    put(" shared %u stream %p", config->sharedMemBytes, config->hStream);
    /* Of an attribute's 64 bytes, the 12 that those in use have; what lies behind them is not looked at. */
    for (unsigned int i = 0; i < config->numAttrs; i++) {
        put(" attribute %u ", config->attrs[i].id);
        put_bytes(config->attrs[i].value, config->attrs[i].id == 4 ? 12 : config->attrs[i].id == 5 ? 4 : 1);
    }
}

CUresult cuLaunchKernelEx(const CUlaunchConfig *config, void *function, void **parameters, void **extra) {
    put("launch ");
    put_config(config, function);
    if (extra) abort();
    for (int i = 0; i < count; i++) {
        put(" ");
        put_bytes(parameters[i], (size_t)sizes[i]);
    }
    return end("cuLaunchKernelEx");
}
CUresult cuOccupancyMaxActiveClusters(int *answer, void *function, const CUlaunchConfig *config) {
    *answer = 7;
    put("occupancy ");
    put_config(config, function);
    return end("cuOccupancyMaxActiveClusters");
}

CUresult cuTensorMapEncodeTiled(void *map, int type, uint32_t rank, void *address, const uint64_t *dimensions,
                                const uint64_t *strides, const uint32_t *box, const uint32_t *steps, int interleave,
                                int swizzle, int promotion, int fill) {
    if ((uintptr_t)map % 128) abort();
    memset(map, 0, 128);
    snprintf(map, 128, "map of %p", address);
    put("map %d %p %d %d %d %d", type, address, interleave, swizzle, promotion, fill);
    for (uint32_t i = 0; i < rank; i++) {
        put(" [%llu %llu %u %u]", (unsigned long long)dimensions[i], (unsigned long long)strides[i], box[i], steps[i]);
    }
    return end("cuTensorMapEncodeTiled");
}
