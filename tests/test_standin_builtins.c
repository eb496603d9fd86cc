/* The built-in kernels on the stand-in driver: that each is there, that it computes, that it leaves a record
 * where it fails, and that it stays within its tiles. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>

#include "gpu/driver.h"
#include "kernels/fault.h"
#include "kernels/launch.h"
#include "tests/standin/standin.h"

#define OK(call)        assert_int_equal(call, CUDA_SUCCESS)
#define IS(call, code)  assert_int_equal(call, CUDA_ERROR_##code)
#define HAS(text, part) assert_non_null(strstr(text, part))

enum { N = 100 };

static struct standin standin;
static char path[4200];
static const struct tgi_cuda_api *cu;
static CUcontext ctx;
static CUmodule module;
static CUstream stream;

/* ---- Setting up ---------------------------------------------------------------------------*/

static void open_device(void)
{
    struct standin_options o = {1, 4u << 20, 1, true};
    standin.standin_reset(&o);
    OK(cu->cuInit(0));
    OK(cu->cuDevicePrimaryCtxRetain(&ctx, 0));
    OK(cu->cuCtxSetCurrent(ctx));
    OK(cu->cuModuleLoadData(&module, standin.standin_kernels_image()));
    OK(cu->cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
}

static void close_device(void)
{
    char text[4096];
    OK(cu->cuStreamDestroy(stream));
    OK(cu->cuModuleUnload(module));
    OK(cu->cuDevicePrimaryCtxRelease(0));
    if (standin.standin_leaks(text, sizeof text))
        fail_msg("left over: %s", text);
    if (standin.standin_violations(text, sizeof text))
        fail_msg("seen: %s", text);
}

static void launch(const char *name, void **args)
{
    CUfunction f;
    OK(cu->cuModuleGetFunction(&f, module, name));
    OK(cu->cuLaunchKernel(f, 1, 1, 1, 32, 1, 1, 0, stream, args, NULL));
}

static CUdeviceptr upload(const void *from, size_t bytes)
{
    CUdeviceptr p;
    OK(cu->cuMemAlloc(&p, bytes));
    OK(cu->cuMemcpyHtoD(p, from, bytes));
    return p;
}

static void seen(const char *part)
{
    char text[4096];
    assert_true(standin.standin_violations(text, sizeof text) > 0);
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in: %s", part, text);
}

/* ---- The table ----------------------------------------------------------------------------*/

static size_t param_bytes(const struct tgi_builtin_param *p, enum tg_dtype type)
{
    return p->access == TG_SCALAR ? tg_dtype_size(p->dtype == TGI_DTYPE_T ? type : (enum tg_dtype)p->dtype)
                                  : 8;
}

static void has_kernel(const struct tgi_builtin *b, enum tg_dtype type)
{
    struct tgi_launcher *launcher;
    CUfunction f;
    size_t offset, size;
    assert_int_equal(tgi_launcher_create(b, type, &launcher), 0);
    OK(cu->cuModuleGetFunction(&f, module, tgi_launcher_symbol(launcher)));
    for (uint32_t i = 0; i < b->n_params; i++) {
        OK(cu->cuFuncGetParamInfo(f, i, &offset, &size));
        assert_int_equal(size, param_bytes(&b->params[i], type));
    }
    IS(cu->cuFuncGetParamInfo(f, b->n_params, &offset, &size), INVALID_VALUE);
    tgi_launcher_destroy(launcher);
}

static void every_kernel_and_type_is_in_the_module(void **state)
{
    (void)state;
    uint32_t n;
    const struct tgi_builtin *const *all = tgi_builtin_all(&n);
    open_device();
    for (uint32_t k = 0; k < n; k++) {
        if (!all[k]->cuda)
            continue;
        if (all[k]->cpu[TGI_DTYPE_T])
            has_kernel(all[k], TG_F32);
        for (int type = 0; type < TG_N_DTYPES; type++)
            if (all[k]->cpu[type])
                has_kernel(all[k], (enum tg_dtype)type);
    }
    CUdeviceptr fault;
    size_t size;
    OK(cu->cuModuleGetGlobal(&fault, &size, module, "tgk_fault"));
    assert_int_equal(size, sizeof(struct tgi_fault));
    IS(cu->cuModuleGetGlobal(&fault, &size, module, "tgk_other"), NOT_FOUND);
    close_device();
}

static void a_fat_binary_stands_for_the_module(void **state)
{
    (void)state;
    static const uint32_t fatbin[4] = {0xBA55ED50, 0x00100001, 0, 0},
                          other[4] = {0xBA55ED51, 0x00100001, 0, 0};
    CUmodule again;
    CUlibrary library;
    CUkernel kernel;
    CUfunction f;
    open_device();
    OK(cu->cuModuleLoadData(&again, fatbin));
    OK(cu->cuModuleGetFunction(&f, again, "tgk_axpy_f32"));
    OK(cu->cuModuleUnload(again));
    OK(cu->cuLibraryLoadData(&library, fatbin, NULL, NULL, 0, NULL, NULL, 0));
    OK(cu->cuLibraryGetKernel(&kernel, library, "tgk_gemm_nn_f64"));
    OK(cu->cuKernelGetFunction(&f, kernel));
    OK(cu->cuLibraryUnload(library));
    IS(cu->cuModuleLoadData(&again, other), INVALID_IMAGE);
    close_device();
}

static void the_file_holds_the_image(void **state)
{
    (void)state;
    char name[4300], *slash;
    snprintf(name, sizeof name, "%s", path);
    slash = strrchr(name, '/');
    assert_non_null(slash);
    snprintf(slash, sizeof name - (size_t)(slash - name), "/standin-kernels.txt");
    FILE *file = fopen(name, "r");
    assert_non_null(file);
    const char *image = standin.standin_kernels_image();
    char *text = calloc(1, strlen(image) + 2);
    assert_int_equal(fread(text, 1, strlen(image) + 1, file), strlen(image));
    assert_string_equal(text, image);
    free(text);
    fclose(file);
    assert_int_equal(standin.standin_write_kernels("/nowhere/at/all"), -1);
}

/* ---- Results ------------------------------------------------------------------------------*/

static void axpy_computes(void **state)
{
    (void)state;
    float x[N], y[N], a = 2;
    int64_t n = N;
    for (int i = 0; i < N; i++) {
        x[i] = (float)i;
        y[i] = 1;
    }
    open_device();
    CUdeviceptr dx = upload(x, sizeof x), dy = upload(y, sizeof y);
    launch("tgk_axpy_f32", (void *[]){&n, &a, &dx, &dy});
    OK(cu->cuStreamSynchronize(stream));
    OK(cu->cuMemcpyDtoH(y, dy, sizeof y));
    for (int i = 0; i < N; i++)
        assert_true(y[i] == 2 * (float)i + 1);
    OK(cu->cuMemFree(dx));
    OK(cu->cuMemFree(dy));
    close_device();
}

/* Scalars narrower than 8 bytes stay so, unless they are sizes. */
static void a_chain_of_kernels_computes(void **state)
{
    (void)state;
    int64_t n = N, bins = 2, zeros[2] = {0};
    int32_t first = 3, low = 0, high = 2 * N;
    uint64_t counts[2];
    CUdeviceptr x;
    open_device();
    OK(cu->cuMemAlloc(&x, N * sizeof(int32_t)));
    CUdeviceptr h = upload(zeros, sizeof zeros);
    launch("tgk_iota_i32", (void *[]){&n, &first, &x});
    launch("tgk_histogram_i32", (void *[]){&n, &bins, &low, &high, &x, &h});
    OK(cu->cuStreamSynchronize(stream));
    OK(cu->cuMemcpyDtoH(counts, h, sizeof counts));
    assert_int_equal(counts[0], N - 3);
    assert_int_equal(counts[1], 3);
    OK(cu->cuMemFree(x));
    OK(cu->cuMemFree(h));
    close_device();
}

static void tiles_that_are_left_out_are_null(void **state)
{
    (void)state;
    double x[N], y[N];
    int64_t n = N;
    for (int i = 0; i < N; i++)
        x[i] = 1;
    open_device();
    CUdeviceptr dx = upload(x, sizeof x), none = 0, dy;
    OK(cu->cuMemAlloc(&dy, sizeof y));
    launch("tgk_touch_f64", (void *[]){&n, &dx, &none});
    launch("tgk_touch_f64", (void *[]){&n, &dx, &dy});
    OK(cu->cuStreamSynchronize(stream));
    OK(cu->cuMemcpyDtoH(y, dy, sizeof y)); /* all of it is written */
    assert_memory_equal(&y[0], &y[N - 1], sizeof y[0]);
    OK(cu->cuMemFree(dx));
    OK(cu->cuMemFree(dy));
    close_device();
}

/* spin mixes in that it was given a tile, even if it reads 0 bytes of it. */
static void tiles_of_which_nothing_is_touched_are_not_null(void **state)
{
    (void)state;
    double us = 0;
    int64_t zero = 0, one = 1;
    uint8_t found = 0;
    CUdeviceptr none = 0, out;
    open_device();
    CUdeviceptr in = upload(&found, 1);
    OK(cu->cuMemAlloc(&out, 1));
    void *args[29] = {&us, &in};
    for (int i = 2; i < 15; i++)
        args[i] = &none;
    args[8] = &out;
    for (int i = 15; i < 29; i++)
        args[i] = &zero;
    args[22] = &one;
    launch("tgk_spin", args);
    OK(cu->cuStreamSynchronize(stream));
    OK(cu->cuMemcpyDtoH(&found, out, 1));
    assert_int_equal(found, (0 * 5 + 1) << 3); /* mix() of spin.c */
    OK(cu->cuMemFree(in));
    OK(cu->cuMemFree(out));
    close_device();
}

/* ---- Failures -----------------------------------------------------------------------------*/

static struct tgi_fault read_fault(void)
{
    struct tgi_fault fault;
    CUdeviceptr address;
    OK(cu->cuModuleGetGlobal(&address, NULL, module, "tgk_fault"));
    OK(cu->cuMemcpyDtoH(&fault, address, sizeof fault));
    return fault;
}

static void a_factorisation_that_fails_leaves_a_record(void **state)
{
    (void)state;
    double bad[9] = {4, 0, 0, 2, 1, 0, 0, 0, 1}, worse[4] = {-7, 0, 0, 1};
    int64_t three = 3, two = 2;
    open_device();
    assert_int_equal(read_fault().kind, TGI_FAULT_NONE);
    CUdeviceptr a = upload(bad, sizeof bad), b = upload(worse, sizeof worse);
    launch("tgk_potrf_lower_f64", (void *[]){&three, &a});
    launch("tgk_potrf_lower_f64", (void *[]){&two, &b});
    OK(cu->cuStreamSynchronize(stream)); /* a failure is no fault */
    struct tgi_fault fault = read_fault();
    assert_int_equal(fault.kind, TGI_FAULT_NOT_POSITIVE);
    assert_int_equal(fault.n, 2);
    assert_true(fault.tile == a); /* the first is kept */
    assert_int_equal(fault.a, 2);
    assert_int_equal(fault.b, 3);
    assert_true(fault.x == 0);
    CUdeviceptr address;
    OK(cu->cuModuleGetGlobal(&address, NULL, module, "tgk_fault"));
    OK(cu->cuMemsetD8Async(address, 0, sizeof fault, stream));
    launch("tgk_getrf_nopiv_f64", (void *[]){&two, &b});
    OK(cu->cuStreamSynchronize(stream));
    assert_int_equal(read_fault().kind, TGI_FAULT_NONE); /* -7 is a pivot like another */
    launch("tgk_potrf_lower_f64", (void *[]){&two, &b});
    OK(cu->cuStreamSynchronize(stream));
    fault = read_fault();
    assert_int_equal(fault.n, 1);
    assert_true(fault.tile == b && fault.a == 1 && fault.b == 2 && fault.x == -7);
    OK(cu->cuMemFree(a));
    OK(cu->cuMemFree(b));
    close_device();
}

static void wrong_numbers_leave_a_record(void **state)
{
    (void)state;
    float x[4] = {0};
    double z[6] = {0};
    uint64_t h[4] = {0};
    int64_t n = 3, bins = 4, none = 0, one = 1;
    float low = 2, high = 1;
    open_device();
    CUdeviceptr dx = upload(x, sizeof x), dh = upload(h, sizeof h), dz = upload(z, sizeof z), address;
    OK(cu->cuModuleGetGlobal(&address, NULL, module, "tgk_fault"));
    launch("tgk_histogram_f32", (void *[]){&n, &bins, &low, &high, &dx, &dh});
    OK(cu->cuStreamSynchronize(stream));
    struct tgi_fault fault = read_fault();
    assert_int_equal(fault.kind, TGI_FAULT_HISTOGRAM);
    assert_true(fault.tile == dh && fault.a == 4 && fault.x == 2 && fault.y == 1);
    OK(cu->cuMemsetD8Async(address, 0, sizeof fault, stream));
    launch("tgk_fft_c128", (void *[]){&n, &dz, &one, &none});
    OK(cu->cuStreamSynchronize(stream));
    fault = read_fault();
    assert_int_equal(fault.kind, TGI_FAULT_FFT_SIZE);
    assert_true(fault.tile == dz && fault.a == 3);
    OK(cu->cuMemsetD8Async(address, 0, sizeof fault, stream));
    launch("tgk_twiddle_c128", (void *[]){&one, &one, &none, &dz, &none, &none, &none});
    OK(cu->cuStreamSynchronize(stream));
    assert_int_equal(read_fault().kind, TGI_FAULT_TWIDDLE);
    OK(cu->cuMemFree(dx));
    OK(cu->cuMemFree(dh));
    OK(cu->cuMemFree(dz));
    close_device();
}

/* ---- Extents ------------------------------------------------------------------------------*/

static void a_tile_that_is_too_small_is_a_fault(void **state)
{
    (void)state;
    float x[N] = {0}, a = 1;
    int64_t n = N + 1;
    open_device();
    CUdeviceptr dx = upload(x, sizeof x), dy = upload(x, sizeof x);
    launch("tgk_axpy_f32", (void *[]){&n, &a, &dx, &dy});
    IS(cu->cuStreamSynchronize(stream), ILLEGAL_ADDRESS);
}

static void sizes_beyond_all_memory_are_a_fault(void **state)
{
    (void)state;
    float x[N] = {0}, alpha = 1, beta = 0;
    int64_t huge = INT64_MAX / 2;
    open_device();
    CUdeviceptr dx = upload(x, sizeof x);
    launch("tgk_gemm_nn_f32", (void *[]){&huge, &dx, &dx, &dx, &huge, &huge, &alpha, &beta});
    IS(cu->cuStreamSynchronize(stream), ILLEGAL_ADDRESS);
}

static void an_element_nobody_has_written_is_noticed(void **state)
{
    (void)state;
    float x[N] = {0};
    int64_t n = N;
    CUdeviceptr dx, dy;
    open_device();
    OK(cu->cuMemAlloc(&dx, sizeof x));
    OK(cu->cuMemAlloc(&dy, sizeof x));
    OK(cu->cuMemcpyHtoD(dx, x, sizeof x - 4));
    launch("tgk_copy_f32", (void *[]){&n, &dx, &dy});
    OK(cu->cuStreamSynchronize(stream));
    seen("parameter 1 of kernel tgk_copy_f32");
}

static void a_required_tile_may_not_be_null(void **state)
{
    (void)state;
    float x[N] = {0};
    int64_t n = N;
    CUdeviceptr none = 0;
    open_device();
    CUdeviceptr dx = upload(x, sizeof x);
    launch("tgk_copy_f32", (void *[]){&n, &dx, &none});
    IS(cu->cuStreamSynchronize(stream), ILLEGAL_ADDRESS);
}

static int load(void **state)
{
    (void)state;
    struct tg_error err = {0};
    if (!standin_path(path, sizeof path) || !standin_load(&standin, path)) {
        print_error("%s: %s\n", path, dlerror());
        return -1;
    }
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
        cmocka_unit_test(every_kernel_and_type_is_in_the_module),
        cmocka_unit_test(a_fat_binary_stands_for_the_module),
        cmocka_unit_test(the_file_holds_the_image),
        cmocka_unit_test(axpy_computes),
        cmocka_unit_test(a_chain_of_kernels_computes),
        cmocka_unit_test(tiles_that_are_left_out_are_null),
        cmocka_unit_test(tiles_of_which_nothing_is_touched_are_not_null),
        cmocka_unit_test(a_factorisation_that_fails_leaves_a_record),
        cmocka_unit_test(wrong_numbers_leave_a_record),
        cmocka_unit_test(a_tile_that_is_too_small_is_a_fault),
        cmocka_unit_test(sizes_beyond_all_memory_are_a_fault),
        cmocka_unit_test(an_element_nobody_has_written_is_noticed),
        cmocka_unit_test(a_required_tile_may_not_be_null),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
