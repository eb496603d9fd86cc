/* How built-in kernels are launched on GPUs, as far as it can be told without one. */
#include "kernels/launch.h"
#include "tests/kernel_call.h"

/* The words of a call with these sizes; everything that is no size is 0. */
static struct tgi_launch size_of(const char *name, enum tg_dtype type, const char *const *names, const int64_t *values)
{
    const struct tgi_builtin *b = tgi_builtin_find(name);
    struct tgi_launcher *l;
    struct tgi_launch launch;
    uint64_t words[TG_MAX_PARAMS] = {0};
    void *args[TG_MAX_PARAMS];
    assert_non_null(b);
    assert_int_equal(tgi_launcher_create(b, type, &l), 0);
    for (uint32_t i = 0; i < b->n_params; i++)
        args[i] = &words[i];
    for (int i = 0; names[i]; i++)
        words[param_index(b, names[i])] = (uint64_t)values[i];
    assert_int_equal(tgi_launcher_size(l, args, &launch), 0);
    tgi_launcher_destroy(l);
    return launch;
}
#define SIZE_OF(name, type, names, ...) size_of(name, type, (const char *const[])names, (const int64_t[])__VA_ARGS__)
#define NAMES(...) {__VA_ARGS__, NULL}

static void every_kernel_has_a_launch_for_each_of_its_types_even_of_nothing(void **state)
{
    (void)state;
    uint32_t n;
    const struct tgi_builtin *const *all = tgi_builtin_all(&n);
    for (uint32_t k = 0; k < n; k++)
        for (int t = 0; t <= TG_N_DTYPES; t++) {
            struct tgi_launcher *l;
            struct tgi_launch launch;
            uint64_t words[TG_MAX_PARAMS] = {0};
            void *args[TG_MAX_PARAMS];
            if (!all[k]->cpu[t])
                continue;
            assert_non_null(all[k]->cuda);
            assert_true(all[k]->cuda->max_shared_bytes <= 163 * 1024); /* what an sm_80 has */
            enum tg_dtype type = t == TGI_DTYPE_T ? TG_F32 : (enum tg_dtype)t;
            assert_int_equal(tgi_launcher_create(all[k], type, &l), 0);
            char symbol[64];
            snprintf(symbol, sizeof symbol, "tgk_%s%s%s", all[k]->name, t == TGI_DTYPE_T ? "" : "_",
                     t == TGI_DTYPE_T ? "" : tg_dtype_name(type));
            assert_string_equal(tgi_launcher_symbol(l), symbol);
            for (uint32_t i = 0; i < all[k]->n_params; i++)
                args[i] = &words[i];
            assert_int_equal(tgi_launcher_size(l, args, &launch), 0);
            assert_true(launch.grid >= 1 && launch.block >= 32 && launch.block <= 1024 && launch.block % 32 == 0);
            assert_true(launch.shared_bytes <= 48 * 1024 || launch.shared_bytes <= all[k]->cuda->max_shared_bytes);
            tgi_launcher_destroy(l);
        }
}

static void grids_follow_sizes_and_types(void **state)
{
    (void)state;
    struct tgi_launch l = SIZE_OF("axpy", TG_F64, NAMES("n"), {2049});
    assert_int_equal(l.grid, 2);
    assert_int_equal(l.block, 256);
    assert_int_equal(l.shared_bytes, 0);
    l = SIZE_OF("axpy", TG_F32, NAMES("n"), {2049});
    assert_int_equal(l.grid, 1);
    l = SIZE_OF("transpose", TG_U8, NAMES("m", "n"), {65, 64});
    assert_int_equal(l.grid, 2);
    l = SIZE_OF("matvec", TG_F32, NAMES("m", "n", "trans"), {100, 33, 1});
    assert_int_equal(l.grid, 2);
    assert_int_equal(l.block, 1024);
    l = SIZE_OF("gemm_nt", TG_F64, NAMES("m", "n", "k"), {1024, 1024, 8});
    assert_int_equal(l.grid, 256);
    assert_int_equal(l.shared_bytes, 81920);
    l = SIZE_OF("gemm_nt", TG_F64, NAMES("m", "n", "k"), {2048, 2048, 8});
    assert_int_equal(l.grid, 256);
    assert_int_equal(l.shared_bytes, 163840);
    l = SIZE_OF("syrk_lower", TG_F32, NAMES("n", "k"), {130, 8});
    assert_int_equal(l.grid, 6);
}

static void types_that_a_kernel_lacks_and_sizes_that_overflow_are_errors(void **state)
{
    (void)state;
    struct tgi_launcher *l;
    assert_int_equal(tgi_launcher_create(tgi_builtin_find("gemm_nn"), TG_I32, &l), TG_E_NO_VARIANT);
    assert_null(l);
    const struct tgi_builtin *b = tgi_builtin_find("axpy");
    assert_int_equal(tgi_launcher_create(b, TG_F64, &l), 0);
    uint64_t n = INT64_MAX, rest = 0;
    void *args[] = {&n, &rest, &rest, &rest};
    struct tgi_launch launch;
    assert_int_equal(tgi_launcher_size(l, args, &launch), TG_E_EXPR_VALUE);
    tgi_launcher_destroy(l);
    tgi_launcher_destroy(NULL);
}

static void a_module_is_embedded_whole_or_not_at_all(void **state)
{
    (void)state;
    size_t length = 1;
    const unsigned char *image = tgi_kernels_fatbin(&length);
#ifdef TG_KERNELS_FATBIN
    const unsigned char magic[] = {0x50, 0xed, 0x55, 0xba};
    assert_true(length > 100000);
    assert_memory_equal(image, magic, sizeof magic);
#else
    assert_null(image);
    assert_int_equal(length, 0);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kernel_has_a_launch_for_each_of_its_types_even_of_nothing),
        cmocka_unit_test(grids_follow_sizes_and_types),
        cmocka_unit_test(types_that_a_kernel_lacks_and_sizes_that_overflow_are_errors),
        cmocka_unit_test(a_module_is_embedded_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
