/* The stand-ins for NVRTC and NCCL, on the stand-in driver. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>

#include "gpu/driver.h"
#include "graph/dtype.h"
#include "tests/standin/nccl.h"
#include "tests/standin/nvrtc.h"
#include "tests/standin/standin.h"

#define OK(call)       assert_int_equal(call, CUDA_SUCCESS)
#define IS(call, code) assert_int_equal(call, CUDA_ERROR_##code)
#define GOOD(call)     assert_int_equal(call, 0)
#define HAS(text, part)                                   \
    do {                                                  \
        if (!strstr(text, part))                          \
            fail_msg("\"%s\" is not in: %s", part, text); \
    } while (0)

enum { MAX_DEVICES = 4 };

static struct standin standin;
static const struct tgi_cuda_api *cu;
static CUcontext ctx[MAX_DEVICES];
static int n_open;

static struct {
#define POINTER_X(type, name, params) type(*name) params;
    NVRTC_FUNCTIONS(POINTER_X)
} rtc;
static struct {
    NCCL_FUNCTIONS(POINTER_X)
} nccl;

/* ---- Setting up ---------------------------------------------------------------------------*/

static void open_devices(int n, uint64_t seed)
{
    struct standin_options o = {n, 4u << 20, seed, true};
    standin.standin_reset(&o);
    nccl.standin_nccl_reset();
    OK(cu->cuInit(0));
    n_open = n;
    for (int d = n - 1; d >= 0; d--) {
        OK(cu->cuDevicePrimaryCtxRetain(&ctx[d], d));
        OK(cu->cuCtxSetCurrent(ctx[d]));
    }
}

static void close_devices(void)
{
    char text[4096];
    for (int d = 0; d < n_open; d++)
        OK(cu->cuDevicePrimaryCtxRelease(d));
    if (standin.standin_leaks(text, sizeof text))
        fail_msg("left over: %s", text);
    if (standin.standin_violations(text, sizeof text))
        fail_msg("seen: %s", text);
    assert_int_equal(standin.standin_pending(), 0);
}

static void seen(const char *part)
{
    char text[4096];
    assert_true(standin.standin_violations(text, sizeof text) > 0);
    HAS(text, part);
}

static CUdeviceptr upload(const void *from, size_t bytes)
{
    CUdeviceptr p;
    OK(cu->cuMemAlloc(&p, bytes));
    OK(cu->cuMemcpyHtoD(p, from, bytes));
    return p;
}

/* ---- NVRTC --------------------------------------------------------------------------------*/

static nvrtcProgram compile(const char *source, const char *name, int want, const char *arch)
{
    nvrtcProgram p;
    const char *options[] = {arch, "-DTWO=2", "--std=c++17"};
    GOOD(rtc.nvrtcCreateProgram(&p, source, name, 0, NULL, NULL));
    int rc = rtc.nvrtcCompileProgram(p, 3, options);
    if (rc != want) {
        static char log[8192];
        size_t size;
        GOOD(rtc.nvrtcGetProgramLogSize(p, &size));
        assert_true(size <= sizeof log);
        GOOD(rtc.nvrtcGetProgramLog(p, log));
        fail_msg("nvrtcCompileProgram returned %d, not %d: %s", rc, want, log);
    }
    return p;
}

static char *cubin_of(nvrtcProgram p)
{
    size_t size;
    GOOD(rtc.nvrtcGetCUBINSize(p, &size));
    char *image = malloc(size);
    assert_non_null(image);
    GOOD(rtc.nvrtcGetCUBIN(p, image));
    return image;
}

static CUmodule load_source(const char *source)
{
    CUmodule m;
    nvrtcProgram p = compile(source, "test.cu", 0, "--gpu-architecture=sm_90a");
    char *image = cubin_of(p);
    GOOD(rtc.nvrtcDestroyProgram(&p));
    OK(cu->cuModuleLoadData(&m, image));
    free(image);
    return m;
}

static void launch(CUmodule m, const char *name, unsigned grid, unsigned block, unsigned shared, void **args)
{
    CUfunction f;
    OK(cu->cuModuleGetFunction(&f, m, name));
    OK(cu->cuLaunchKernel(f, grid, 1, 1, block, 1, 1, shared, NULL, args, NULL));
}

static void every_thread_of_every_block_runs(void **state)
{
    (void)state;
    enum { N = 1000 };
    float x[N], y[N], a = 3;
    int n = N;
    unsigned count = 0;
    for (int i = 0; i < N; i++) {
        x[i] = (float)i;
        y[i] = 1;
    }
    open_devices(1, 1);
    CUmodule m = load_source("/* text in a comment: __global__ void not_there(int); */\n"
                             "struct pair { short low; double high; };\n"
                             "extern \"C\" __global__ void __launch_bounds__(128) axpy(int n, float a,\n"
                             "    const float *__restrict__ x, float *y, pair p, unsigned *count)\n"
                             "{\n"
                             "    int i = blockIdx.x * blockDim.x + threadIdx.x;\n"
                             "    if (i < n) {\n"
                             "        y[i] = a * x[i] + TWO * y[i] + (float)p.high + p.low;\n"
                             "        atomicAdd(count, 1u);\n"
                             "    }\n"
                             "}\n");
    struct {
        short low;
        double high;
    } pair = {1, 0.5};
    CUdeviceptr dx = upload(x, sizeof x), dy = upload(y, sizeof y), dn = upload(&count, sizeof count);
    launch(m, "axpy", 8, 128, 0, (void *[]){&n, &a, &dx, &dy, &pair, &dn});
    OK(cu->cuCtxSynchronize());
    OK(cu->cuMemcpyDtoH(y, dy, sizeof y));
    OK(cu->cuMemcpyDtoH(&count, dn, sizeof count));
    assert_int_equal(count, N);
    for (int i = 0; i < N; i++)
        assert_true(y[i] == 3 * (float)i + 2 + 1.5f);
    CUfunction f;
    size_t offset, size;
    OK(cu->cuModuleGetFunction(&f, m, "axpy"));
    OK(cu->cuFuncGetParamInfo(f, 4, &offset, &size));
    assert_int_equal(size, sizeof pair);
    IS(cu->cuModuleGetFunction(&f, m, "not_there"), NOT_FOUND);
    OK(cu->cuMemFree(dx));
    OK(cu->cuMemFree(dy));
    OK(cu->cuMemFree(dn));
    OK(cu->cuModuleUnload(m));
    close_devices();
}

static void the_usual_functions_are_there(void **state)
{
    (void)state;
    double got[8], zero[8] = {0};
    open_devices(1, 1);
    CUmodule m = load_source(
        "typedef long long int64_t;\n"
        "typedef unsigned char uint8_t;\n"
        "extern \"C\" __global__ void all(int64_t n, double *out)\n"
        "{\n"
        "    float4 v = make_float4(1, 2, 3, 4);\n"
        "    int old = 5, bits = __float_as_int(1.0f);\n"
        "    uint8_t small = 200;\n"
        "    out[0] = sqrtf(v.w) + sqrt(9.0) + fabs(-1.0f) + abs(-2) + rsqrtf(4.0f);\n"
        "    out[1] = max(1.5f, 2.0) + min((int)small, 7) + max(n, (int64_t)3);\n"
        "    out[2] = __popc(255u) + __clz(1) + __ffs(8) + (bits == 0x3f800000) + warpSize;\n"
        "    out[3] = atomicCAS(&old, 5, 6) + old + atomicMax(&old, 9) + atomicExch(&old, 1) + old;\n"
        "    out[4] = isnan(0.0 / (n - n)) + isinf(1.0f) + fmaxf(1.0f, 2.0f) + pow(2.0, 3.0) + tanhf(0.0f);\n"
        "    out[5] = floor(2.5) + ceilf(2.5f) + fma(2.0, 3.0, 4.0) + exp(0.0) + log(1.0f);\n"
        "    out[6] = (double)(blockDim.x * gridDim.x) + __ldg(out + 5);\n"
        "    out[7] = sizeof(size_t) + dim3(2, 3).z;\n"
        "}\n");
    CUdeviceptr out = upload(zero, sizeof zero);
    int64_t n = 4;
    launch(m, "all", 1, 1, 0, (void *[]){&n, &out});
    OK(cu->cuCtxSynchronize());
    OK(cu->cuMemcpyDtoH(got, out, sizeof got));
    static const double want[] = {2 + 3 + 1 + 2 + 0.5,
                                  2 + 7 + 4,
                                  8 + 31 + 4 + 1 + 32,
                                  5 + 6 + 6 + 9 + 1,
                                  1 + 2 + 8,
                                  2 + 3 + 10 + 1,
                                  17,
                                  9};
    for (int i = 0; i < 8; i++)
        if (got[i] != want[i])
            fail_msg("out[%d] is %g, not %g", i, got[i], want[i]);
    OK(cu->cuMemFree(out));
    OK(cu->cuModuleUnload(m));
    close_devices();
}

static const char reductions[] =
    "template <class T> __device__ T warp_sum(T v)\n"
    "{\n"
    "    for (int d = 16; d > 0; d /= 2)\n"
    "        v += __shfl_down_sync(0xffffffff, v, d);\n"
    "    return v;\n"
    "}\n"
    "extern \"C\" __global__ void sum_tree(const int *x, int *out)\n"
    "{\n"
    "    extern __shared__ __align__(16) int part[];\n"
    "    int t = threadIdx.x;\n"
    "    part[t] = x[t];\n"
    "    __syncthreads();\n"
    "    for (int half = blockDim.x / 2; half > 0; half /= 2) {\n"
    "        if (t < half)\n"
    "            part[t] += part[t + half];\n"
    "        __syncthreads();\n"
    "    }\n"
    "    if (t == 0)\n"
    "        *out = part[0];\n"
    "}\n"
    "extern \"C\" __global__ void sum_warps(const int *x, int *out)\n"
    "{\n"
    "    __shared__ int part[32];\n"
    "    int v = warp_sum(x[threadIdx.x]);\n"
    "    if (threadIdx.x % 32 == 0)\n"
    "        part[threadIdx.x / 32] = v;\n"
    "    __syncthreads();\n"
    "    if (threadIdx.x < 32) {\n"
    "        v = warp_sum(threadIdx.x < blockDim.x / 32 ? part[threadIdx.x] : 0);\n"
    "        if (threadIdx.x == 0)\n"
    "            *out = v;\n"
    "    }\n"
    "}\n"
    "extern \"C\" __global__ void torn(int *out)\n"
    "{\n"
    "    if (threadIdx.x < 16)\n"
    "        __syncthreads();\n"
    "    else\n"
    "        __syncwarp();\n"
    "    *out = 1;\n"
    "}\n";

static void threads_of_a_block_wait_for_each_other(void **state)
{
    (void)state;
    enum { N = 256 };
    int x[N], sum = 0, got = 0;
    for (int i = 0; i < N; i++)
        sum += x[i] = i * i % 37;
    open_devices(1, 1);
    CUmodule m = load_source(reductions);
    CUdeviceptr dx = upload(x, sizeof x), out = upload(&got, sizeof got);
    launch(m, "sum_tree", 1, N, N * sizeof(int), (void *[]){&dx, &out});
    OK(cu->cuCtxSynchronize());
    OK(cu->cuMemcpyDtoH(&got, out, sizeof got));
    assert_int_equal(got, sum);
    OK(cu->cuMemsetD8Async(out, 0, sizeof got, NULL));
    launch(m, "sum_warps", 1, N, 0, (void *[]){&dx, &out});
    OK(cu->cuCtxSynchronize());
    OK(cu->cuMemcpyDtoH(&got, out, sizeof got));
    assert_int_equal(got, sum);
    OK(cu->cuMemFree(dx));
    OK(cu->cuMemFree(out));
    OK(cu->cuModuleUnload(m));
    close_devices();
}

static void threads_at_different_barriers_are_noticed(void **state)
{
    (void)state;
    int zero = 0;
    open_devices(1, 1);
    CUmodule m = load_source(reductions);
    CUdeviceptr out = upload(&zero, sizeof zero);
    launch(m, "torn", 1, 32, 0, (void *[]){&out});
    IS(cu->cuCtxSynchronize(), LAUNCH_TIMEOUT);
    seen("different barriers");
}

static void a_pointer_to_const_is_only_read(void **state)
{
    (void)state;
    int zero = 0;
    CUdeviceptr in, out;
    open_devices(1, 1);
    CUmodule m = load_source("extern \"C\" __global__ void keep(const int *in, int *out, int *none)\n"
                             "{ if (none) *out = *in; else *out = 5; }\n");
    OK(cu->cuMemAlloc(&in, 4));
    out = upload(&zero, sizeof zero);
    CUdeviceptr none = 0;
    launch(m, "keep", 1, 1, 0, (void *[]){&in, &out, &none});
    OK(cu->cuCtxSynchronize());
    int value;
    OK(cu->cuMemcpyDtoH(&value, out, sizeof value));
    assert_int_equal(value, 5);
    OK(cu->cuMemcpyDtoH(&value, in, sizeof value)); /* nobody has written it */
    seen("nobody has written");
}

static void templates_are_found_by_name_expressions(void **state)
{
    (void)state;
    nvrtcProgram p;
    const char *lowered, *other, *option = "-arch=sm_80";
    double x[4] = {1, 2, 3, 4};
    int n = 4;
    GOOD(rtc.nvrtcCreateProgram(&p,
                                "namespace math {\n"
                                "template <class T, int K> __global__ void scale(int n, T *x)\n"
                                "{ int i = threadIdx.x; if (i < n) x[i] *= K; }\n"
                                "__global__ void nothing() {}\n"
                                "}\n",
                                NULL, 0, NULL, NULL));
    GOOD(rtc.nvrtcAddNameExpression(p, "math::scale<double, 3>"));
    GOOD(rtc.nvrtcAddNameExpression(p, "math::nothing"));
    assert_int_equal(rtc.nvrtcGetLoweredName(p, "math::nothing", &lowered),
                     NVRTC_ERROR_NO_LOWERED_NAMES_BEFORE_COMPILATION);
    GOOD(rtc.nvrtcCompileProgram(p, 1, &option));
    assert_int_equal(rtc.nvrtcAddNameExpression(p, "x"), NVRTC_ERROR_NO_NAME_EXPRESSIONS_AFTER_COMPILATION);
    GOOD(rtc.nvrtcGetLoweredName(p, "math::scale<double, 3>", &lowered));
    assert_string_equal(lowered, "_ZN4math5scaleIdLi3EEEviPT_");
    GOOD(rtc.nvrtcGetLoweredName(p, "math::nothing", &other));
    assert_string_equal(other, "_ZN4math7nothingEv");
    assert_int_equal(rtc.nvrtcGetLoweredName(p, "other", &other), NVRTC_ERROR_NAME_EXPRESSION_NOT_VALID);
    open_devices(1, 1);
    char *image = cubin_of(p);
    CUmodule m;
    OK(cu->cuModuleLoadData(&m, image));
    free(image);
    CUdeviceptr dx = upload(x, sizeof x);
    launch(m, lowered, 1, 32, 0, (void *[]){&n, &dx});
    OK(cu->cuCtxSynchronize());
    OK(cu->cuMemcpyDtoH(x, dx, sizeof x));
    assert_true(x[0] == 3 && x[3] == 12);
    GOOD(rtc.nvrtcDestroyProgram(&p));
    OK(cu->cuMemFree(dx));
    OK(cu->cuModuleUnload(m));
    close_devices();
}

/* Two modules with a kernel of the same name keep their own. */
static void modules_do_not_share_names(void **state)
{
    (void)state;
    int zero = 0, value;
    open_devices(1, 1);
    CUmodule one = load_source("extern \"C\" __global__ void set(int *x) { *x = 1; }");
    CUmodule two = load_source("extern \"C\" __global__ void set(int *x) { *x = 2; }");
    CUmodule again = load_source("extern \"C\" __global__ void set(int *x) { *x = 1; }");
    CUdeviceptr x = upload(&zero, sizeof zero);
    CUmodule modules[] = {one, two, again};
    const int want[] = {1, 2, 1};
    for (int i = 0; i < 3; i++) {
        launch(modules[i], "set", 1, 1, 0, (void *[]){&x});
        OK(cu->cuCtxSynchronize());
        OK(cu->cuMemcpyDtoH(&value, x, sizeof value));
        assert_int_equal(value, want[i]);
        OK(cu->cuModuleUnload(modules[i]));
    }
    OK(cu->cuMemFree(x));
    close_devices();
}

static void expect_log(const char *source, const char *part)
{
    char log[8192];
    size_t size;
    nvrtcProgram p = compile(source, "user.cu", NVRTC_ERROR_COMPILATION, "-arch=sm_90");
    GOOD(rtc.nvrtcGetProgramLogSize(p, &size));
    assert_true(size > 1 && size <= sizeof log);
    GOOD(rtc.nvrtcGetProgramLog(p, log));
    assert_int_equal(strlen(log) + 1, size);
    HAS(log, part);
    HAS(log, "detected in the compilation of \"user.cu\".");
    assert_int_equal(rtc.nvrtcGetCUBINSize(p, &size), NVRTC_ERROR_INVALID_PROGRAM);
    GOOD(rtc.nvrtcDestroyProgram(&p));
}

static void errors_name_the_line_of_the_source(void **state)
{
    (void)state;
    expect_log("extern \"C\" __global__ void f(int *x)\n{\n    *x = unknown;\n}\n", "user.cu(3): error: ");
    expect_log("#define A \\\n  1\nextern \"C\" __global__ void f(int *x) { *x = A }\n",
               "user.cu(3): error: ");
    expect_log("\n#include <stdio.h>\n", "user.cu(2): catastrophic error: ");
    expect_log("\n\n#error no\n", "user.cu(3): error: ");
}

static void headers_are_given_with_the_program(void **state)
{
    (void)state;
    const char *headers[] = {"#define SEVEN 7\n", "#include \"seven.h\"\n"},
               *names[] = {"seven.h", "sub/more.h"};
    nvrtcProgram p;
    GOOD(rtc.nvrtcCreateProgram(
        &p, "#include \"sub/more.h\"\nstatic_assert(SEVEN == 7 && __CUDACC_RTC__, \"\");\n", "h.cu", 2,
        headers, names));
    GOOD(rtc.nvrtcCompileProgram(p, 0, NULL));
    size_t size = 1;
    GOOD(rtc.nvrtcGetCUBINSize(p, &size)); /* for a virtual architecture there is none */
    assert_int_equal(size, 0);
    GOOD(rtc.nvrtcGetPTXSize(p, &size));
    assert_true(size > 1);
    GOOD(rtc.nvrtcDestroyProgram(&p));
}

static void options_are_checked(void **state)
{
    (void)state;
    nvrtcProgram p = compile("", "o.cu", NVRTC_ERROR_INVALID_OPTION, "-arch=sm_7");
    GOOD(rtc.nvrtcDestroyProgram(&p));
    p = compile("", "o.cu", NVRTC_ERROR_INVALID_OPTION, "--nonsense");
    char log[512];
    GOOD(rtc.nvrtcGetProgramLog(p, log));
    HAS(log, "--nonsense");
    GOOD(rtc.nvrtcDestroyProgram(&p));
    assert_int_equal(rtc.nvrtcDestroyProgram(&p), NVRTC_ERROR_INVALID_PROGRAM);
}

static void compilation_fails_on_demand(void **state)
{
    (void)state;
    unsigned n = rtc.standin_nvrtc_compiled();
    setenv("TGRAPH_STANDIN_NVRTC_FAIL", "1", 1);
    nvrtcProgram p = compile("", "o.cu", NVRTC_ERROR_OUT_OF_MEMORY, "-arch=sm_90");
    unsetenv("TGRAPH_STANDIN_NVRTC_FAIL");
    GOOD(rtc.nvrtcDestroyProgram(&p));
    assert_int_equal(rtc.standin_nvrtc_compiled(), n + 1);
    int major, minor;
    setenv("TGRAPH_STANDIN_NVRTC_VERSION", "12.4", 1);
    GOOD(rtc.nvrtcVersion(&major, &minor));
    unsetenv("TGRAPH_STANDIN_NVRTC_VERSION");
    assert_true(major == 12 && minor == 4);
    assert_string_equal(rtc.nvrtcGetErrorString(NVRTC_ERROR_COMPILATION), "NVRTC_ERROR_COMPILATION");
}

/* ---- NCCL ---------------------------------------------------------------------------------*/

enum { N_RANKS = 3, COUNT = 40 };

static ncclComm_t comm[N_RANKS];
static CUstream stream[N_RANKS];
static CUdeviceptr from[N_RANKS], to[N_RANKS];
static float host[N_RANKS * COUNT];

/* Rank r sends r + 1 times i + 1 at element i, of N_RANKS * COUNT. */
static float sent(int r, int i) { return (float)((r + 1) * (i + 1)); }

static void open_ranks(uint64_t seed)
{
    open_devices(N_RANKS, seed);
    GOOD(nccl.ncclCommInitAll(comm, N_RANKS, NULL));
    for (int r = 0; r < N_RANKS; r++) {
        OK(cu->cuCtxSetCurrent(ctx[r]));
        OK(cu->cuStreamCreate(&stream[r], CU_STREAM_NON_BLOCKING));
        for (int i = 0; i < N_RANKS * COUNT; i++)
            host[i] = sent(r, i);
        from[r] = upload(host, sizeof host);
        OK(cu->cuMemAlloc(&to[r], sizeof host));
    }
}

static void free_ranks(void)
{
    for (int r = 0; r < N_RANKS; r++) {
        OK(cu->cuCtxSetCurrent(ctx[r]));
        OK(cu->cuStreamDestroy(stream[r]));
        OK(cu->cuMemFree(from[r]));
        OK(cu->cuMemFree(to[r]));
    }
}

static void close_ranks(void)
{
    for (int r = 0; r < N_RANKS; r++)
        GOOD(nccl.ncclCommDestroy(comm[r]));
    assert_int_equal(nccl.standin_nccl_alive(), 0);
    free_ranks();
    close_devices();
}

static const float *result(int r)
{
    OK(cu->cuCtxSetCurrent(ctx[r]));
    OK(cu->cuStreamSynchronize(stream[r]));
    OK(cu->cuMemcpyDtoH(host, to[r], sizeof host));
    return host;
}

static const void *send_buffer(int r) { return (const void *)(uintptr_t)from[r]; }
static void *recv_buffer(int r) { return (void *)(uintptr_t)to[r]; }

enum { EVERY_KIND = 5 };
static ncclResult_t collective(int kind, int r)
{
    const void *send = send_buffer(r);
    void *recv = recv_buffer(r);
    switch (kind) {
    case 0:
        return nccl.ncclAllReduce(send, recv, COUNT, ncclFloat32, ncclSum, comm[r], stream[r]);
    case 1:
        return nccl.ncclBroadcast(send, recv, COUNT, ncclFloat32, 1, comm[r], stream[r]);
    case 2:
        return nccl.ncclReduce(send, recv, COUNT, ncclFloat32, ncclMax, 2, comm[r], stream[r]);
    case 3:
        return nccl.ncclAllGather(send, recv, COUNT, ncclFloat32, comm[r], stream[r]);
    default:
        return nccl.ncclReduceScatter(send, recv, COUNT, ncclFloat32, ncclAvg, comm[r], stream[r]);
    }
}

static float wanted(int kind, int r, int i)
{
    switch (kind) {
    case 0:
        return sent(0, i) + sent(1, i) + sent(2, i);
    case 1:
        return sent(1, i);
    case 2:
        return sent(2, i);
    case 3:
        return sent(i / COUNT, i % COUNT);
    default:
        return (sent(0, r * COUNT + i) + sent(1, r * COUNT + i) + sent(2, r * COUNT + i)) / N_RANKS;
    }
}

static void every_collective_computes_in_every_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++)
        for (int kind = 0; kind < EVERY_KIND; kind++) {
            open_ranks(seed);
            GOOD(nccl.ncclGroupStart());
            for (int r = N_RANKS - 1; r >= 0; r--)
                GOOD(collective(kind, r));
            GOOD(nccl.ncclGroupEnd());
            for (int r = 0; r < N_RANKS; r++) {
                if (kind == 2 && r != 2)
                    continue;
                if (kind != 3)
                    OK(cu->cuMemsetD8Async(to[r] + COUNT * sizeof(float), 0,
                                           sizeof host - COUNT * sizeof(float), stream[r]));
                const float *got = result(r);
                for (int i = 0; i < (kind == 3 ? N_RANKS : 1) * COUNT; i++)
                    assert_true(got[i] == wanted(kind, r, i));
            }
            for (int r = 0; r < N_RANKS; r++) {
                OK(cu->cuCtxSetCurrent(ctx[r]));
                OK(cu->cuStreamSynchronize(stream[r]));
            }
            close_ranks();
        }
}

/* A collective waits for what its streams have queued before, and what they queue after waits for it. */
static void a_collective_lies_in_the_order_of_its_streams(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        open_ranks(seed);
        for (int r = 0; r < N_RANKS; r++) {
            OK(cu->cuCtxSetCurrent(ctx[r]));
            OK(cu->cuMemsetD8Async(from[r], 0, sizeof host, stream[r]));
        }
        GOOD(nccl.ncclGroupStart());
        for (int r = 0; r < N_RANKS; r++)
            GOOD(nccl.ncclAllReduce(send_buffer(r), (void *)(uintptr_t)from[r], N_RANKS * COUNT, ncclFloat32,
                                    ncclSum, comm[r], stream[r]));
        GOOD(nccl.ncclGroupEnd());
        for (int r = 0; r < N_RANKS; r++) {
            OK(cu->cuCtxSetCurrent(ctx[r]));
            OK(cu->cuMemcpyDtoDAsync(to[r], from[r], sizeof host, stream[r]));
            assert_true(result(r)[COUNT] == 0);
        }
        close_ranks();
    }
}

static void ranks_send_to_each_other(void **state)
{
    (void)state;
    open_ranks(1);
    GOOD(nccl.ncclGroupStart());
    for (int r = 0; r < N_RANKS; r++) { /* a ring, of which no rank could go first */
        GOOD(nccl.ncclRecv(recv_buffer(r), N_RANKS * COUNT, ncclFloat32, (r + 2) % N_RANKS, comm[r],
                           stream[r]));
        GOOD(nccl.ncclSend(send_buffer(r), N_RANKS * COUNT, ncclFloat32, (r + 1) % N_RANKS, comm[r],
                           stream[r]));
    }
    GOOD(nccl.ncclGroupEnd());
    for (int r = 0; r < N_RANKS; r++)
        assert_true(result(r)[COUNT] == sent((r + 2) % N_RANKS, COUNT));
    close_ranks();
}

/* 3, 5 and 7, of every type. */
static void write_number(void *p, ncclDataType_t type, int value)
{
    const float f = (float)value;
    const double d = value;
    const uint16_t half = tgi_f16_from_float(f), brain = tgi_bf16_from_float(f);
    const int64_t i = value;
    const void *source = type == ncclFloat32    ? (const void *)&f
                         : type == ncclFloat64  ? (const void *)&d
                         : type == ncclFloat16  ? (const void *)&half
                         : type == ncclBfloat16 ? (const void *)&brain
                                                : (const void *)&i;
    memcpy(p, source,
           type == ncclFloat64 || type == ncclInt64 || type == ncclUint64 ? 8
           : type == ncclFloat32                                          ? 4
                                                                          : 2);
}

static void every_type_and_operation_computes(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2};
    static const int want[] = {15, 105, 7, 3, 5};
    open_ranks(1);
    for (int type = 0; type < STANDIN_NCCL_N_TYPES; type++)
        for (int op = 0; op < ncclNumOps; op++) {
            unsigned char number[8] = {0}, expected[8] = {0}, got[8] = {0};
            for (int r = 0; r < N_RANKS; r++) {
                write_number(number, (ncclDataType_t)type, 3 + 2 * r);
                if (type == ncclInt32 || type == ncclUint32)
                    memset(number + 2, 0, 6);
                OK(cu->cuCtxSetCurrent(ctx[r]));
                OK(cu->cuMemcpyHtoD(from[r], number, sizes[type]));
            }
            write_number(expected, (ncclDataType_t)type, want[op]);
            GOOD(nccl.ncclGroupStart());
            for (int r = 0; r < N_RANKS; r++)
                GOOD(nccl.ncclAllReduce(send_buffer(r), recv_buffer(r), 1, (ncclDataType_t)type,
                                        (ncclRedOp_t)op, comm[r], stream[r]));
            GOOD(nccl.ncclGroupEnd());
            for (int r = 0; r < N_RANKS; r++) {
                OK(cu->cuCtxSetCurrent(ctx[r]));
                OK(cu->cuStreamSynchronize(stream[r]));
                OK(cu->cuMemcpyDtoH(got, to[r], sizes[type]));
                assert_memory_equal(got, expected, sizes[type]);
            }
        }
    close_ranks();
}

static void misuse_is_noticed(void **state)
{
    (void)state;
    open_ranks(1);
    assert_int_equal(collective(0, 0), ncclInvalidUsage);
    seen("outside a group");
    GOOD(nccl.ncclGroupStart());
    GOOD(collective(0, 0));
    GOOD(collective(0, 1));
    assert_int_equal(nccl.ncclGroupEnd(), ncclInvalidUsage);
    seen("rank 2 does not take part in an ncclAllReduce of 40 float32 that rank 0 calls");
    GOOD(nccl.ncclGroupStart());
    for (int r = 0; r < N_RANKS; r++)
        GOOD(collective(r == 1 ? 3 : 0, r));
    assert_int_equal(nccl.ncclGroupEnd(), ncclInvalidUsage);
    seen("rank 1 calls ncclAllGather of 40 float32");
    GOOD(nccl.ncclGroupStart());
    for (int r = 0; r < N_RANKS; r++) { /* in other orders */
        GOOD(collective(r == 2 ? 1 : 0, r));
        GOOD(collective(r == 2 ? 0 : 1, r));
    }
    assert_int_equal(nccl.ncclGroupEnd(), ncclInvalidUsage);
    seen("rank 2 calls ncclBroadcast");
    GOOD(nccl.ncclGroupStart());
    GOOD(nccl.ncclSend(send_buffer(0), 1, ncclInt8, 1, comm[0], stream[0]));
    assert_int_equal(nccl.ncclGroupEnd(), ncclInvalidUsage);
    seen("rank 0 sends to rank 1, which does not receive");
    GOOD(nccl.ncclGroupStart());
    GOOD(nccl.ncclRecv(recv_buffer(0), 1, ncclInt8, 1, comm[0], stream[0]));
    assert_int_equal(nccl.ncclGroupEnd(), ncclInvalidUsage);
    seen("rank 0 receives from rank 1, which does not send");
    int twice[] = {1, 1}, beyond[] = {0, N_RANKS};
    ncclComm_t other[2];
    assert_int_equal(nccl.ncclCommInitAll(other, 2, twice), ncclInvalidUsage);
    assert_int_equal(nccl.ncclCommInitAll(other, 2, beyond), ncclInvalidArgument);
    assert_int_equal(nccl.ncclAllReduce(NULL, recv_buffer(0), 1, ncclInt8, ncclSum, comm[0], stream[0]),
                     ncclInvalidArgument);
    assert_int_equal(nccl.ncclGroupEnd(), ncclInvalidUsage);
    assert_int_equal(standin.standin_pending(), 0); /* nothing was enqueued */
    for (int r = 0; r < N_RANKS; r++)
        GOOD(nccl.ncclCommDestroy(comm[r]));
    free_ranks();
}

static void destroying_under_way_is_noticed(void **state)
{
    (void)state;
    open_ranks(1);
    GOOD(nccl.ncclGroupStart());
    for (int r = 0; r < N_RANKS; r++)
        GOOD(collective(0, r));
    GOOD(nccl.ncclGroupEnd());
    for (int r = 0; r < N_RANKS; r++)
        GOOD(nccl.ncclCommDestroy(comm[r]));
    seen("destroyed while its operations run");
    assert_int_equal(nccl.ncclCommDestroy(comm[0]), ncclInvalidArgument);
    for (int r = 0; r < N_RANKS; r++)
        result(r);
    assert_int_equal(nccl.standin_nccl_alive(), 0);
    free_ranks();
}

static void a_collective_that_hangs_is_aborted(void **state)
{
    (void)state;
    open_ranks(1);
    nccl.standin_nccl_hang(true);
    GOOD(nccl.ncclGroupStart());
    for (int r = 0; r < N_RANKS; r++)
        GOOD(collective(0, r));
    GOOD(nccl.ncclGroupEnd());
    for (int r = 0; r < N_RANKS; r++) {
        OK(cu->cuCtxSetCurrent(ctx[r]));
        for (int i = 0; i < 20; i++)
            IS(cu->cuStreamQuery(stream[r]), NOT_READY);
    }
    ncclResult_t error;
    GOOD(nccl.ncclCommGetAsyncError(comm[0], &error));
    assert_int_equal(error, ncclSuccess);
    nccl.standin_nccl_async(ncclRemoteError);
    GOOD(nccl.ncclCommGetAsyncError(comm[2], &error));
    assert_int_equal(error, ncclRemoteError);
    assert_int_equal(collective(0, 0), ncclRemoteError);
    for (int r = 0; r < N_RANKS; r++)
        GOOD(nccl.ncclCommAbort(comm[r]));
    for (int r = 0; r < N_RANKS; r++) {
        OK(cu->cuCtxSetCurrent(ctx[r]));
        OK(cu->cuStreamSynchronize(stream[r]));
    }
    assert_int_equal(nccl.standin_nccl_alive(), 0);
    free_ranks();
    close_devices();
}

static void nccl_fails_on_demand(void **state)
{
    (void)state;
    int version;
    open_ranks(1);
    uint64_t n = nccl.standin_nccl_operations();
    nccl.standin_nccl_fail("ncclAllReduce", 2, ncclInternalError);
    GOOD(nccl.ncclGroupStart());
    GOOD(collective(0, 0));
    assert_int_equal(collective(0, 1), ncclInternalError);
    GOOD(collective(0, 2));
    assert_int_equal(nccl.ncclGroupEnd(), ncclInternalError);
    HAS(nccl.ncclGetLastError(NULL), "ncclAllReduce");
    nccl.standin_nccl_fail("ncclGroupEnd", 1, ncclSystemError);
    for (int k = 0; k < 2; k++) {
        GOOD(nccl.ncclGroupStart());
        for (int r = 0; r < N_RANKS; r++)
            GOOD(collective(0, r));
        assert_int_equal(nccl.ncclGroupEnd(), k == 0 ? ncclSystemError : ncclSuccess);
    }
    assert_int_equal(nccl.standin_nccl_operations(), n + 1);
    for (int r = 0; r < N_RANKS; r++) {
        OK(cu->cuCtxSetCurrent(ctx[r]));
        OK(cu->cuStreamSynchronize(stream[r]));
    }
    standin.standin_fail("cuLaunchKernel", 1, CUDA_ERROR_OUT_OF_MEMORY, STANDIN_ONCE);
    GOOD(nccl.ncclGroupStart());
    for (int r = 0; r < N_RANKS; r++)
        GOOD(collective(0, r));
    assert_int_equal(nccl.ncclGroupEnd(), ncclUnhandledCudaError);
    GOOD(nccl.ncclGetVersion(&version));
    assert_int_equal(version, 22809);
    assert_string_equal(nccl.ncclGetErrorString(ncclInvalidUsage), "invalid usage");
    close_ranks();
}

/* As after a fault, when the driver has forgotten what the communicators are made of. */
static void a_reset_forgets_communicators_and_operations(void **state)
{
    (void)state;
    open_ranks(1);
    GOOD(nccl.ncclGroupStart());
    for (int r = 0; r < N_RANKS; r++)
        GOOD(collective(0, r));
    GOOD(nccl.ncclGroupEnd());
    open_devices(1, 1);
    assert_int_equal(nccl.standin_nccl_alive(), 0);
    assert_int_equal(nccl.ncclCommDestroy(comm[0]), ncclInvalidArgument);
    close_devices();
    open_ranks(1);
    close_ranks();
}

/* ---- All ----------------------------------------------------------------------------------*/

static void *open_beside(const char *driver, const char *name)
{
    char path[4300];
    snprintf(path, sizeof path, "%.*s/%s", (int)(strrchr(driver, '/') - driver), driver, name);
    return dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

static int load(void **state)
{
    (void)state;
    char path[4200];
    struct tg_error err = {0};
    void *handle, *address;
    if (!standin_path(path, sizeof path) || !standin_load(&standin, path)) {
        print_error("%s\n", dlerror());
        return -1;
    }
#define FIND_X(table, name)                        \
    address = dlsym(handle, #name);                \
    memcpy(&table.name, &address, sizeof address); \
    if (!address)                                  \
        return -1;
#define FIND_RTC_X(type, name, params)  FIND_X(rtc, name)
#define FIND_NCCL_X(type, name, params) FIND_X(nccl, name)
    if (!(handle = open_beside(path, "libstandin-nvrtc.so")))
        return -1;
    NVRTC_FUNCTIONS(FIND_RTC_X)
    if (!(handle = open_beside(path, "libstandin-nccl.so")))
        return -1;
    NCCL_FUNCTIONS(FIND_NCCL_X)
    setenv("TGRAPH_CUDA_DRIVER", path, 1);
    standin.standin_reset(NULL);
    return tgi_cuda_retain(&cu, &err);
}

static int unload(void **state)
{
    (void)state;
    standin.standin_reset(NULL);
    tgi_cuda_release();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_thread_of_every_block_runs),
        cmocka_unit_test(the_usual_functions_are_there),
        cmocka_unit_test(threads_of_a_block_wait_for_each_other),
        cmocka_unit_test(threads_at_different_barriers_are_noticed),
        cmocka_unit_test(a_pointer_to_const_is_only_read),
        cmocka_unit_test(templates_are_found_by_name_expressions),
        cmocka_unit_test(modules_do_not_share_names),
        cmocka_unit_test(errors_name_the_line_of_the_source),
        cmocka_unit_test(headers_are_given_with_the_program),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(compilation_fails_on_demand),
        cmocka_unit_test(every_collective_computes_in_every_order),
        cmocka_unit_test(a_collective_lies_in_the_order_of_its_streams),
        cmocka_unit_test(ranks_send_to_each_other),
        cmocka_unit_test(every_type_and_operation_computes),
        cmocka_unit_test(misuse_is_noticed),
        cmocka_unit_test(destroying_under_way_is_noticed),
        cmocka_unit_test(a_collective_that_hangs_is_aborted),
        cmocka_unit_test(nccl_fails_on_demand),
        cmocka_unit_test(a_reset_forgets_communicators_and_operations),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
