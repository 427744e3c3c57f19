// A CUDA driver, cuBLASLt and NCCL without a GPU: memory is this process's, work is done late, calls are written down.
#pragma once
#include <stddef.h>

// The address of one of their functions, NULL where it has none of that name.
void *stub_cuda_symbol(const char *name);

// There is one driver in a process: whoever uses it has it alone in between.
void stub_cuda_begin(void);
void stub_cuda_end(void);
// Forgets everything; a device of the given capability and memory, a driver of the given version
// (12080 for 12.8).
void stub_cuda_reset(int version, int major, int minor, size_t memory);
// Lets calls of a function fail with an error number from the n-th on; 0 lets them succeed.
void stub_cuda_fail(const char *function, int code, int from);
// Hides a function, as an older driver does.
void stub_cuda_hide(const char *function);
// The sizes of a kernel's arguments, which launches copy. A module whose code is the text `stub N` has
// the number N, any other 0.
void stub_cuda_declare(int module, const char *kernel, const int *sizes, int count);
// What a launch calls when its turn has come.
typedef void (*stub_cuda_kernel)(void *context, int module, const char *name, void **arguments,
                                 int blocks, int threads, int shared_bytes);
void stub_cuda_on_launch(stub_cuda_kernel kernel, void *context);
// The calls so far, one a line: `cuMemcpyHtoDAsync 4096`.
const char *stub_cuda_log(void);
// Things that have been made and not given back.
int stub_cuda_alive(void);
