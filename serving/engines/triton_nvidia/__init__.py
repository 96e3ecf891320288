"""Triton's backend for NVIDIA's GPUs without a C compiler: its compiler as it is, its driver in Python.

Triton 3.6 writes C, has the system's compiler make a library of it and loads that: once for its own access to the
driver, and once for each signature of a kernel ("launcher"). The image has no compiler, and runs nothing that was
written. What the C does is little: arguments into memory, and one call. Here it is done by ctypes. The bake names this
package to Triton in the stock backend's place (provisioner/image/triton.py), by the entry point that Triton has for
backends (``triton.backends``): one module ``compiler``, one ``driver``.

Kernels are compiled as ever, by Triton's own LLVM and by ``ptxas``, a program of the measured root. What comes of it is
code for the GPU, which the driver loads as data.
"""
