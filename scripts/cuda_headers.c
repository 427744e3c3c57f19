// What Sources/Devices/CUDA takes for granted of NVIDIA's headers, since it includes none of them: names,
// numbers, sizes and parameters. It compiles, or something there is wrong. `scripts/cuda-check compile`.
#include <cuda.h>
#include <stddef.h>

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define NAME(function, symbol) _Static_assert(!__builtin_strcmp(TEXT(function), symbol), symbol)
#define IS(what, value) _Static_assert((what) == (value), #what)

// Names that headers hide behind macros.
NAME(cuDeviceTotalMem, "cuDeviceTotalMem_v2");
NAME(cuDevicePrimaryCtxRelease, "cuDevicePrimaryCtxRelease_v2");
NAME(cuMemGetInfo, "cuMemGetInfo_v2");
NAME(cuMemAlloc, "cuMemAlloc_v2");
NAME(cuMemFree, "cuMemFree_v2");
NAME(cuMemAllocHost, "cuMemAllocHost_v2");
NAME(cuStreamDestroy, "cuStreamDestroy_v2");
NAME(cuEventDestroy, "cuEventDestroy_v2");
NAME(cuMemcpyHtoDAsync, "cuMemcpyHtoDAsync_v2");
NAME(cuMemcpyDtoHAsync, "cuMemcpyDtoHAsync_v2");
NAME(cuMemcpyDtoDAsync, "cuMemcpyDtoDAsync_v2");
NAME(cuStreamBeginCapture, "cuStreamBeginCapture_v2");
NAME(cuGraphInstantiate, "cuGraphInstantiateWithFlags");
NAME(cuMemsetD8Async, "cuMemsetD8Async");
NAME(cuModuleLoadData, "cuModuleLoadData");
NAME(cuLaunchKernel, "cuLaunchKernel");
NAME(cuLaunchCooperativeKernel, "cuLaunchCooperativeKernel");

// Parameters, as CUDAFunctions declares them.
static CUresult (*const retain)(CUcontext *, int) = cuDevicePrimaryCtxRetain;
static CUresult (*const attribute)(int *, CUdevice_attribute, int) = cuDeviceGetAttribute;
static CUresult (*const allocate)(unsigned long long *, size_t) = cuMemAlloc;
static CUresult (*const to_device)(unsigned long long, const void *, size_t, CUstream) = cuMemcpyHtoDAsync;
static CUresult (*const to_host)(void *, unsigned long long, size_t, CUstream) = cuMemcpyDtoHAsync;
static CUresult (*const copy)(unsigned long long, unsigned long long, size_t, CUstream) = cuMemcpyDtoDAsync;
static CUresult (*const fill)(unsigned long long, unsigned char, size_t, CUstream) = cuMemsetD8Async;
static CUresult (*const wait)(CUstream, CUevent, unsigned) = cuStreamWaitEvent;
static CUresult (*const load)(CUmodule *, const void *) = cuModuleLoadData;
static CUresult (*const function)(CUfunction *, CUmodule, const char *) = cuModuleGetFunction;
static CUresult (*const set)(CUfunction, CUfunction_attribute, int) = cuFuncSetAttribute;
static CUresult (*const parameter)(CUfunction, size_t, size_t *, size_t *) = cuFuncGetParamInfo;
static CUresult (*const launch)(CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                                CUstream, void **, void **) = cuLaunchKernel;
static CUresult (*const cooperate)(CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                                   unsigned, CUstream, void **) = cuLaunchCooperativeKernel;
static CUresult (*const capture)(CUstream, CUstreamCaptureMode) = cuStreamBeginCapture;
static CUresult (*const instantiate)(CUgraphExec *, CUgraph, unsigned long long) = cuGraphInstantiateWithFlags;
static CUresult (*const encode)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *, const cuuint64_t *,
                                const cuuint64_t *, const cuuint32_t *, const cuuint32_t *,
                                CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion,
                                CUtensorMapFloatOOBfill) = cuTensorMapEncodeTiled;
const void *const driver[] = {&retain, &attribute, &allocate, &to_device, &to_host, &copy, &fill, &wait,
                              &load, &function, &set, &parameter, &launch, &cooperate, &capture,
                              &instantiate, &encode};

// Numbers and sizes.
IS(sizeof(CUdevice), 4);
IS(sizeof(CUdeviceptr), 8);
IS(sizeof(CUtensorMap), 128);
IS(_Alignof(CUtensorMap) <= 128, 1);
IS(sizeof(CUtensorMapSwizzle), 4);
IS(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 16);
IS(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, 38);
IS(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 75);
IS(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 76);
IS(CU_STREAM_NON_BLOCKING, 1);
IS(CU_EVENT_DISABLE_TIMING, 2);
IS(CU_STREAM_CAPTURE_MODE_RELAXED, 2);
IS(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 8);
IS(CUDA_ERROR_INVALID_VALUE, 1);
IS(CUDA_ERROR_OUT_OF_MEMORY, 2);
IS(CUDA_ERROR_NO_DEVICE, 100);
IS(CUDA_ERROR_NOT_SUPPORTED, 801);
IS(CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 6);
IS(CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 9);
IS(CU_TENSOR_MAP_INTERLEAVE_NONE, 0);
IS(CU_TENSOR_MAP_SWIZZLE_128B, 3);
IS(CU_TENSOR_MAP_L2_PROMOTION_L2_128B, 2);
IS(CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE, 0);

#if __has_include(<nvrtc.h>)
#include <nvrtc.h>
static nvrtcResult (*const create)(nvrtcProgram *, const char *, const char *, int, const char *const *,
                                   const char *const *) = nvrtcCreateProgram;
static nvrtcResult (*const compile)(nvrtcProgram, int, const char *const *) = nvrtcCompileProgram;
static nvrtcResult (*const cubin)(nvrtcProgram, char *) = nvrtcGetCUBIN;
const void *const compiler[] = {&create, &compile, &cubin};
IS(NVRTC_ERROR_COMPILATION, 6);
#endif

#if __has_include(<cublasLt.h>)
#include <cublasLt.h>
static cublasStatus_t (*const matmul)(cublasLtHandle_t, cublasLtMatmulDesc_t, const void *, const void *,
                                      cublasLtMatrixLayout_t, const void *, cublasLtMatrixLayout_t,
                                      const void *, const void *, cublasLtMatrixLayout_t, void *,
                                      cublasLtMatrixLayout_t, const cublasLtMatmulAlgo_t *, void *, size_t,
                                      cudaStream_t) = cublasLtMatmul;
static cublasStatus_t (*const heuristic)(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t,
                                         cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                         cublasLtMatrixLayout_t, cublasLtMatmulPreference_t, int,
                                         cublasLtMatmulHeuristicResult_t *, int *) =
    cublasLtMatmulAlgoGetHeuristic;
static cublasStatus_t (*const layout)(cublasLtMatrixLayout_t *, cudaDataType, uint64_t, uint64_t, int64_t) =
    cublasLtMatrixLayoutCreate;
static cublasStatus_t (*const description)(cublasLtMatmulDesc_t *, cublasComputeType_t, cudaDataType_t) =
    cublasLtMatmulDescCreate;
const void *const products[] = {&matmul, &heuristic, &layout, &description};
IS(sizeof(cublasLtMatmulAlgo_t), 64);
IS(sizeof(cublasLtMatmulHeuristicResult_t), 96);
IS(offsetof(cublasLtMatmulHeuristicResult_t, algo), 0);
IS(CUBLAS_COMPUTE_32F, 68);
IS(CUDA_R_32F, 0);
IS(CUDA_R_16F, 2);
IS(CUDA_R_16BF, 14);
IS(CUBLASLT_MATMUL_DESC_TRANSA, 3);
IS(CUBLAS_OP_T, 1);
IS(sizeof(cublasOperation_t), 4);
IS(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, 1);
IS(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, 5);
IS(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, 8);
IS(CUBLAS_STATUS_NOT_SUPPORTED, 15);
#endif

#if __has_include(<nccl.h>)
#include <nccl.h>
IS(ncclFloat16, 6);
IS(ncclFloat32, 7);
IS(ncclBfloat16, 9);
IS(ncclSum, 0);
#endif
