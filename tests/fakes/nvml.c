/* A small libnvidia-ml.so, written from NVML's public API reference (driver 550), not from our binding.
 * What it answers is set by a file of lines "name value" or "name @path", named by VITRINE_FAKE_NVML.
 * It is read at every call, so that a GPU can be lost while somebody looks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int nvmlReturn_t;
typedef struct nvmlDevice_st { unsigned int index; } *nvmlDevice_t;
typedef struct nvmlEventSet_st { unsigned long long kinds; } *nvmlEventSet_t;

typedef struct {
    unsigned int version, environment, ccFeature, devToolsMode, multiGpuMode;
} nvmlSystemConfComputeSettings_v1_t;

typedef struct {
    unsigned int certChainSize, attestationCertChainSize;
    unsigned char certChain[0x1000], attestationCertChain[0x1400];
} nvmlConfComputeGpuCertificate_t;

typedef struct {
    unsigned int isCecAttestationReportPresent, attestationReportSize, cecAttestationReportSize;
    unsigned char nonce[0x20], attestationReport[0x2000], cecAttestationReport[0x1000];
} nvmlConfComputeGpuAttestationReport_t;

typedef struct {
    nvmlDevice_t device;
    unsigned long long eventType, eventData;
    unsigned int gpuInstanceId, computeInstanceId;
} nvmlEventData_t;

typedef struct { unsigned long long total, free, used; } nvmlMemory_t;

static struct nvmlDevice_st devices[32];
static struct nvmlEventSet_st events;
static unsigned int xids_taken;

static int look_up(const char *name, unsigned int index, char *text, size_t size) {
    char line[4096], wanted[64];
    FILE *file = fopen(getenv("VITRINE_FAKE_NVML"), "r");
    int found = 0;
    snprintf(wanted, sizeof wanted, "%s.%u ", name, index);
    if (!file) abort();
    while (!found && fgets(line, sizeof line, file)) {
        if (strncmp(line, wanted, strlen(wanted))) continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(text, size, "%s", line + strlen(wanted));
        found = 1;
    }
    fclose(file);
    return found;
}

static unsigned int number(const char *name, unsigned int index, unsigned int otherwise) {
    char text[64];
    return look_up(name, index, text, sizeof text) ? (unsigned int)strtoul(text, NULL, 0) : otherwise;
}

static unsigned int contents(const char *name, unsigned int index, unsigned char *target, size_t size) {
    char path[4096];
    FILE *file;
    size_t got;
    if (!look_up(name, index, path, sizeof path) || !(file = fopen(path, "rb"))) abort();
    got = fread(target, 1, size, file);
    fclose(file);
    return (unsigned int)got;
}

/* A call that is to fail has a line "fail:function.0 code". */
#define REFUSE(function) do { \
    unsigned int code = number("fail:" function, 0, 0); \
    if (code) return (nvmlReturn_t)code; \
} while (0)

nvmlReturn_t nvmlInit_v2(void) { REFUSE("nvmlInit_v2"); return 0; }

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count) {
    REFUSE("nvmlDeviceGetCount_v2");
    *count = number("count", 0, 1);
    return 0;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) {
    REFUSE("nvmlDeviceGetHandleByIndex_v2");
    if (index >= number("count", 0, 1)) return 2;
    devices[index].index = index;
    *device = &devices[index];
    return 0;
}

nvmlReturn_t nvmlSystemGetConfComputeSettings(nvmlSystemConfComputeSettings_v1_t *settings) {
    REFUSE("nvmlSystemGetConfComputeSettings");
    if (settings->version != (sizeof *settings | 1u << 24)) return 25;
    settings->environment = number("environment", 0, 2);
    settings->ccFeature = number("cc", 0, 1);
    settings->devToolsMode = number("devtools", 0, 0);
    settings->multiGpuMode = number("multi", 0, 0);
    return 0;
}

nvmlReturn_t nvmlSystemGetConfComputeGpusReadyState(unsigned int *ready) {
    REFUSE("nvmlSystemGetConfComputeGpusReadyState");
    *ready = number("ready", 0, 0);
    return 0;
}

nvmlReturn_t nvmlSystemSetConfComputeGpusReadyState(unsigned int ready) {
    FILE *file;
    REFUSE("nvmlSystemSetConfComputeGpusReadyState");
    if (number("stays", 0, 0)) return 0;
    file = fopen(getenv("VITRINE_FAKE_NVML"), "a");
    fprintf(file, "ready.0 %u\n", ready);
    return fclose(file);
}

nvmlReturn_t nvmlDeviceGetConfComputeGpuCertificate(nvmlDevice_t device, nvmlConfComputeGpuCertificate_t *found) {
    REFUSE("nvmlDeviceGetConfComputeGpuCertificate");
    found->certChainSize = 0;
    found->attestationCertChainSize =
        contents("chain", device->index, found->attestationCertChain, sizeof found->attestationCertChain);
    found->attestationCertChainSize = number("chain-size", 0, found->attestationCertChainSize);
    return 0;
}

/* The device signs: a process of the tests' does it for us, over a pair of pipes named by the file. */
nvmlReturn_t nvmlDeviceGetConfComputeGpuAttestationReport(nvmlDevice_t device,
                                                          nvmlConfComputeGpuAttestationReport_t *asked) {
    char path[4096];
    FILE *pipe;
    REFUSE("nvmlDeviceGetConfComputeGpuAttestationReport");
    if (!look_up("ask", device->index, path, sizeof path) || !(pipe = fopen(path, "wb"))) abort();
    fwrite(asked->nonce, 1, sizeof asked->nonce, pipe);
    fclose(pipe);
    asked->isCecAttestationReportPresent = 0;
    asked->attestationReportSize =
        contents("answer", device->index, asked->attestationReport, sizeof asked->attestationReport);
    asked->attestationReportSize = number("report-size", 0, asked->attestationReportSize);
    return 0;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
    unsigned int code = number("lost", device->index, 0);
    memory->total = memory->free = 1ull << 36;
    memory->used = 0;
    return (nvmlReturn_t)code;
}

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set) { REFUSE("nvmlEventSetCreate"); *set = &events; return 0; }

nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long kinds, nvmlEventSet_t set) {
    (void)device;
    set->kinds |= kinds;
    return 0;
}

/* Lines "xid.0 N", "xid.1 N" … are given out once each, to whoever registered for errors. */
nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeout) {
    unsigned int next;
    REFUSE("nvmlEventSetWait_v2");
    if (set != &events || !(set->kinds & 8) || timeout) return 2;
    next = number("xid", xids_taken, 0);
    if (!next) return 10;
    xids_taken++;
    memset(data, 0, sizeof *data);
    data->device = &devices[0];
    data->eventType = 8;
    data->eventData = next;
    return 0;
}

nvmlReturn_t nvmlDeviceSetPersistenceMode(nvmlDevice_t device, int mode) {
    FILE *file;
    REFUSE("nvmlDeviceSetPersistenceMode");
    file = fopen(getenv("VITRINE_FAKE_NVML"), "a");
    fprintf(file, "persistence.%u %d\n", device->index, mode);
    return fclose(file);
}
