/* A stand-in for NVRTC, for tests: libstandin-nvrtc.so compiles CUDA C++ for the CPU, and the images it makes
 * run on the stand-in driver.
 *
 * The part of the language it takes: kernels and device functions in namespaces, templates named by name
 * expressions, thread indices, __shared__ (static and dynamic), __syncthreads, shuffles and ballots of whole
 * warps, atomics, mathematics (standin_prelude.hpp).  As with NVRTC no header of the system is found.  Pointers
 * inside structures passed by value are not translated, and variables of a module have no address for the
 * driver.  Other things do not compile.
 *
 * Environment: TGRAPH_STANDIN_CXX (g++), TGRAPH_STANDIN_NVRTC_VERSION ("13.0"), TGRAPH_STANDIN_NVRTC_FAIL (a
 * result that nvrtcCompileProgram() returns instead of compiling). */
#ifndef STANDIN_NVRTC_H
#define STANDIN_NVRTC_H

#include <stdbool.h>
#include <stddef.h>

typedef enum {
    NVRTC_SUCCESS = 0,
    NVRTC_ERROR_OUT_OF_MEMORY = 1,
    NVRTC_ERROR_PROGRAM_CREATION_FAILURE = 2,
    NVRTC_ERROR_INVALID_INPUT = 3,
    NVRTC_ERROR_INVALID_PROGRAM = 4,
    NVRTC_ERROR_INVALID_OPTION = 5,
    NVRTC_ERROR_COMPILATION = 6,
    NVRTC_ERROR_BUILTIN_OPERATION_FAILURE = 7,
    NVRTC_ERROR_NO_NAME_EXPRESSIONS_AFTER_COMPILATION = 8,
    NVRTC_ERROR_NO_LOWERED_NAMES_BEFORE_COMPILATION = 9,
    NVRTC_ERROR_NAME_EXPRESSION_NOT_VALID = 10,
    NVRTC_ERROR_INTERNAL_ERROR = 11
} nvrtcResult;
typedef struct _nvrtcProgram *nvrtcProgram;

/* X(returned type, name, parameters) */
#define NVRTC_FUNCTIONS(X)                                                                         \
    X(const char *, nvrtcGetErrorString, (nvrtcResult result))                                     \
    X(nvrtcResult, nvrtcVersion, (int *major, int *minor))                                         \
    X(nvrtcResult, nvrtcGetNumSupportedArchs, (int *n))                                            \
    X(nvrtcResult, nvrtcGetSupportedArchs, (int *archs))                                           \
    X(nvrtcResult, nvrtcCreateProgram,                                                             \
      (nvrtcProgram * program, const char *source, const char *name, int n_headers,                \
       const char *const *headers, const char *const *include_names))                              \
    X(nvrtcResult, nvrtcDestroyProgram, (nvrtcProgram * program))                                  \
    X(nvrtcResult, nvrtcCompileProgram, (nvrtcProgram program, int n, const char *const *options)) \
    X(nvrtcResult, nvrtcGetPTXSize, (nvrtcProgram program, size_t * size))                         \
    X(nvrtcResult, nvrtcGetPTX, (nvrtcProgram program, char *ptx))                                 \
    X(nvrtcResult, nvrtcGetCUBINSize, (nvrtcProgram program, size_t * size))                       \
    X(nvrtcResult, nvrtcGetCUBIN, (nvrtcProgram program, char *cubin))                             \
    X(nvrtcResult, nvrtcGetProgramLogSize, (nvrtcProgram program, size_t * size))                  \
    X(nvrtcResult, nvrtcGetProgramLog, (nvrtcProgram program, char *log))                          \
    X(nvrtcResult, nvrtcAddNameExpression, (nvrtcProgram program, const char *expression))         \
    X(nvrtcResult, nvrtcGetLoweredName,                                                            \
      (nvrtcProgram program, const char *expression, const char **lowered_name))                   \
    /* The nth call of this function, from now on, fails; code 0: none does. */                    \
    X(void, standin_nvrtc_fail, (const char *call, unsigned nth, nvrtcResult code))                \
    /* Whether it has. */                                                                          \
    X(bool, standin_nvrtc_has_failed, (void))                                                      \
    /* How many programs were compiled, successfully or not, since the library was loaded. */      \
    X(unsigned, standin_nvrtc_compiled, (void))

#endif
