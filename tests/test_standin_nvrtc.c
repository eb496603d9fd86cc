/* The stand-in for NVRTC, on the stand-in driver. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/standin/nvrtc.h"
#include "tests/standin_contexts.h"

static struct {
#define POINTER_X(type, name, params) type(*name) params;
    NVRTC_FUNCTIONS(POINTER_X)
} rtc;

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

static int load(void **state)
{
    void *handle = load_beside_standin("libstandin-nvrtc.so");
    (void)state;
    bool ok = handle != NULL;
#define FIND_X(type, name, params) ok = ok && find_in(handle, #name, &rtc.name);
    NVRTC_FUNCTIONS(FIND_X)
    return ok ? 0 : -1;
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
    };
    return cmocka_run_group_tests(tests, load, unload_standin);
}
