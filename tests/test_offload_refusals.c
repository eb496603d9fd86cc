/* What cannot be executed on devices, and kernels that break them: each is a clear error, and never a hang. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include "graph/error.h"
#include "tests/device_graph.h"

enum { LIMIT_S = 60 };

#define A_TILES "'A': {'dtype': 'u64', 'shape': [32], 'tiles': [4], 'init': {'iota': true}, 'home': 'cyclic:{i}'}"
#define HAS(text, part)                                   \
    do {                                                  \
        if (!strstr(text, part))                          \
            fail_msg("\"%s\" is not in: %s", part, text); \
    } while (0)

/* ---- Devices ------------------------------------------------------------------------------*/

static void expect_nothing_left(void)
{
    char text[4096];
    if (standin.standin_leaks(text, sizeof text))
        fail_msg("left over: %s", text);
}

static void devices_that_are_not_there_are_refused(void **state)
{
    static const struct {
        const char *devices;
        int status;
        const char *text;
    } cases[] = {
        {"cuda:7", TG_E_NO_DEVICE, "there is no device cuda:7; this machine has 2"},
        {"cuda:0,7", TG_E_NO_DEVICE, "cuda:7"},
        {"cuda:2+cpu", TG_E_NO_DEVICE, "cuda:2"},
        {"cuda:x", TG_E_BAD_VALUE, "\"x\" is no number of a device"},
        {"cuda:", TG_E_BAD_VALUE, "\"\" is no number"},
        {"cuda:1x", TG_E_BAD_VALUE, "\"1x\""},
        {"cuda:-1", TG_E_BAD_VALUE, "\"-1\""},
        {"cuda:64", TG_E_BAD_VALUE, "\"64\""},
        {"cuda:99999999999999999999", TG_E_BAD_VALUE, "99999"},
        {"cuda:0,0", TG_E_BAD_VALUE, "cuda:0 is named twice"},
        {"cuda:1+cuda:1", TG_E_BAD_VALUE, "cuda:1 is named twice"},
        {"gpu", TG_E_BAD_VALUE, "\"gpu\" is no kind of device"},
        {"cuda+rocm:0", TG_E_BAD_VALUE, "\"rocm:0\""},
        {"cpux", TG_E_BAD_VALUE, "\"cpux\""},
    };
    static const char *const good[] = {"cuda", "cuda:0", "cuda:0,1", "cuda:1,0", "cpu", "cpu:0,1+cuda:1", "cuda:0+cuda:1", "cuda+cpu"};
    (void)state;
    device_reset(2, 1, true);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tg_runtime *rt;
        struct tg_error err;
        int rc = device_try_runtime(cases[i].devices, 0, &rt, &err);
        if (rc != cases[i].status || rc != err.status)
            fail_msg("\"%s\": status %d, not %d", cases[i].devices, rc, cases[i].status);
        HAS(err.text, cases[i].text);
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        tg_runtime_destroy(device_runtime(good[i], 0));
    expect_nothing_left();
}

/* ---- Memory -------------------------------------------------------------------------------*/

static void run_and_compare(struct tg_runtime *rt, struct tg_graph *g)
{
    struct tg_run *run;
    struct tg_error err;
    uint64_t *expected = device_expected(g, false, 1), *have = calloc(device_words(g) + 1, sizeof *have);
    if (tg_run_create(rt, g, NULL, &run, &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < 2; i++) {
        if (tg_run_execute(run, &err))
            fail_msg("%s", err.text);
        assert_true(device_read(run, g, have));
        assert_memory_equal(have, expected, device_words(g) * sizeof *have);
    }
    tg_run_destroy(run);
    free(expected);
    free(have);
}

static int refuse(struct tg_runtime *rt, const struct tg_graph *g, struct tg_error *err)
{
    struct tg_run *run;
    memset(err, 0, sizeof *err);
    int rc = tg_run_create(rt, g, NULL, &run, err);
    if (rc == 0)
        fail_msg("it was accepted");
    assert_int_equal(rc, err->status);
    return rc;
}

static void a_footprint_that_cannot_fit_is_refused_before_anything_runs(void **state)
{
    struct tg_error err;
    (void)state;
    struct tg_graph *g = device_graph(
        A_TILES, "", "{'id': 'small', 'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'A[0]'}}, {'repeat': 2, 'do': ["
                     "{'id': 'large', 'kernel': 'mix', 'args': {'id': 2, 'n': 32, 'out': 'A[1]', 'in0': 'A[0]', 'in1': 'A[2]'}}]}");
    device_reset(1, 1, true);
    struct tg_runtime *rt = device_runtime("cuda", 3 * 256 - 1);
    assert_int_equal(refuse(rt, g, &err), TG_E_CAPACITY);
    HAS(err.text, "task \"large\" (mix) needs 768 bytes at once on cuda:0, where 767 can be used");
    assert_string_equal(err.task, "large");
    assert_true(err.line > 0);
    assert_int_equal(standin.standin_calls("cuLaunchKernel"), 0);
    tg_runtime_destroy(rt);
    rt = device_runtime("cuda", 3 * 256);
    run_and_compare(rt, g);
    tg_runtime_destroy(rt);
    tg_graph_destroy(g);
    expect_nothing_left();
}

/* Small tiles that stay lie in the middle of the memory that a large one needs. */
static void what_fits_exactly_fits_wherever_the_rest_lies(void **state)
{
    (void)state;
    struct tg_graph *g = device_graph(
        "'S': {'dtype': 'u64', 'shape': [32], 'tiles': [5], 'init': {'iota': true}}, "
        "'L': {'dtype': 'u64', 'shape': [96], 'tiles': [3], 'init': {'iota': true}}",
        "",
        "{'for': ['r in 0:2'], 'do': ["
        "{'for': ['i in 0:5'], 'kernel': 'mix', 'args': {'id': 'r*40+i', 'n': 32, 'out': 'S[i]', 'in0': 'S[(i+1)%5]'}}, "
        "{'for': ['i in 0:3', 'k in 0:5'], 'kernel': 'mix', 'args': {'id': 'r*40+i*5+k+10', 'n': 32, 'out': 'S[k]', 'in0': 'L[i]'}}, "
        "{'for': ['i in 0:3'], 'kernel': 'mix', 'args': {'id': 'r*40+i+30', 'n': 96, 'out': 'L[i]'}}]}");
    for (uint64_t seed = 1; seed <= 20; seed++) {
        device_reset(1, seed, true);
        struct tg_runtime *rt = device_runtime("cuda", 4 * 256);
        run_and_compare(rt, g);
        tg_runtime_destroy(rt);
        expect_nothing_left();
    }
    tg_graph_destroy(g);
}

/* ---- Kernels ------------------------------------------------------------------------------*/

static void write_image(const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/image.txt", device_folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "standin 1\n%s", text);
    fclose(f);
}

/* A kernel `user(n, x)` whose variant is image.txt with more members. */
static struct tg_graph *user_graph(const char *more, const char *tasks)
{
    char kernels[1024];
    snprintf(kernels, sizeof kernels,
             ", 'user': {'params': [{'name': 'n', 'type': 'i64'}, {'name': 'x', 'type': 'u64*', 'access': 'inout'}], "
             "'variants': [{'on': 'cuda', 'binary': 'image.txt'%s}]}", more);
    return device_graph(A_TILES, kernels, tasks);
}

static int nothing(void **args, const void *launch)
{
    (void)args, (void)launch;
    return 0;
}

static int illegal_address(void **args, const void *launch)
{
    (void)args, (void)launch;
    return CUDA_ERROR_ILLEGAL_ADDRESS;
}

static size_t one_tile(void **args, unsigned param, void *user)
{
    (void)args, (void)param, (void)user;
    return 256;
}

static void register_user(standin_kernel_fn fn)
{
    static const struct standin_param params[] = {{8, STANDIN_VALUE}, {8, STANDIN_INOUT}};
    const struct standin_kernel k = {"user", fn, 2, params, one_tile, NULL};
    assert_int_equal(standin.standin_register_kernel(&k), 0);
}

static void a_kernel_that_its_module_does_not_have_is_refused(void **state)
{
    struct tg_error err;
    (void)state;
    write_image("kernel user\n");
    register_user(nothing);
    device_reset(1, 1, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_graph *g = user_graph(", 'entry': 'nobody'", "{'kernel': 'user', 'args': {'n': 4, 'x': 'A[0]'}}");
    assert_int_equal(refuse(rt, g, &err), TG_E_UNKNOWN_KERNEL);
    HAS(err.text, "kernel \"user\"");
    HAS(err.text, "\"nobody\"");
    assert_true(err.line > 0);
    tg_graph_destroy(g);
    write_image("this is no module\n");
    g = user_graph("", "{'kernel': 'user', 'args': {'n': 5, 'x': 'A[0]'}}");
    int rc = refuse(rt, g, &err);
    assert_true(rc == TG_E_COMPILE || rc == TG_E_DRIVER);
    HAS(err.text, "\"user\"");
    HAS(err.text, "cuModuleLoadData");
    tg_graph_destroy(g);
    tg_runtime_destroy(rt);
    expect_nothing_left();
}

/* Both compilers count in the source; who reads the message looks into the graph file. */
static void a_compile_error_is_shown_at_its_line_of_the_graph(void **state)
{
    static const struct {
        const char *on, *key, *signature;
    } ways[] = {{"cpu", "c", "int user(void **args, const struct tg_context *ctx) {"},
                {"cuda", "code", "extern `C` __global__ void user(long long n, unsigned long long *x) {"}};
    struct tg_error err;
    (void)state;
    device_reset(1, 1, true);
    for (size_t i = 0; i < 2; i++)
        for (int is_list = 0; is_list < 2; is_list++) {
            char kernels[1024], signature[128];
            size_t n = 0;
            for (const char *c = ways[i].signature; *c; c++) /* quotes within a string of the file */
                n += (size_t)snprintf(signature + n, sizeof signature - n, *c == '`' ? "\\'" : "%c", *c);
            snprintf(kernels, sizeof kernels,
                     ",\n'user': {'params': [{'name': 'n', 'type': 'i64'}, {'name': 'x', 'type': 'u64*', 'access': 'inout'}],\n"
                     "'variants': [{'on': '%s', '%s': %s'%s%s  nonsense%s}'%s}]}",
                     ways[i].on, ways[i].key, is_list ? "[\n" : "", signature, is_list ? "',\n    '" : "\\n",
                     is_list ? ";',\n'" : ";\\n", is_list ? "]" : "");
            struct tg_runtime *rt = device_runtime(i ? "cuda" : NULL, 0);
            struct tg_graph *g = device_graph(A_TILES, kernels, "{'kernel': 'user', 'args': {'n': 4, 'x': 'A[0]'}}");
            assert_int_equal(refuse(rt, g, &err), TG_E_COMPILE);
            HAS(err.text, "kernel \"user\"");
            HAS(err.text, "nonsense");
            HAS(err.file, ".json");
            /* Line 3 has the variant; of a list its second item is in line 5. */
            assert_int_equal(err.line, is_list ? 5 : 3);
            if (is_list)
                assert_int_equal(err.column, 5);
            else
                HAS(err.text, "(line 2 of the source)");
            tg_graph_destroy(g);
            tg_runtime_destroy(rt);
        }
    expect_nothing_left();
}

static void launches_beyond_the_device_fail_their_task(void **state)
{
    static const struct {
        const char *more, *text;
    } cases[] = {
        {", 'grid': ['4000000000000']", "grid is 4000000000000"},
        {", 'grid': [1, 'n*20000']", "grid along y is 80000"},
        {", 'grid': [1, 1, 'n*20000']", "grid along z is 80000"},
        {", 'grid': [0]", "grid is 0"},
        {", 'block': [2048]", "block along x is 2048"},
        {", 'block': [32, 32, 2]", "threads in a block is 2048"},
        {", 'block': [1, 1, 'n*32']", "block along z is 128"},
        {", 'smem': 'n * 100000'", "shared memory of a block is 400000"},
    };
    (void)state;
    write_image("kernel user\n");
    register_user(nothing);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tg_run *run;
        struct tg_error err;
        device_reset(1, 1, true);
        struct tg_graph *g = user_graph(cases[i].more, "{'id': 'huge', 'kernel': 'user', 'args': {'n': 4, 'x': 'A[0]'}}");
        struct tg_runtime *rt = device_runtime("cuda", 0);
        if (tg_run_create(rt, g, NULL, &run, &err))
            fail_msg("%s: %s", cases[i].more, err.text);
        int rc = tg_run_execute(run, &err);
        assert_true(rc == TG_E_UNSUPPORTED || rc == TG_E_TASK_FAILED);
        HAS(err.text, "task \"huge\"");
        HAS(err.text, cases[i].text);
        assert_string_equal(err.task, "huge");
        assert_int_not_equal(tg_status_exit_code(rc), 0);
        tg_run_destroy(run);
        tg_runtime_destroy(rt);
        tg_graph_destroy(g);
        expect_nothing_left();
    }
}

/* ---- Collectives --------------------------------------------------------------------------*/

static void tiles_that_do_not_match_in_a_collective_are_refused(void **state)
{
    static const char *const dtypes[] = {"u64", "f64"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct tg_graph *g;
        struct tg_error err;
        tg_buffer_id a, b;
        struct tg_buffer_spec buffer = TG_BUFFER_SPEC_INIT;
        assert_int_equal(tg_graph_create("mismatched", &g, &err), 0);
        buffer.name = "A";
        buffer.dtype = TG_U64;
        buffer.n_dims = 1;
        buffer.shape[0] = 8;
        assert_int_equal(tg_graph_add_buffer(g, &buffer, &a, &err), 0);
        buffer.name = "B";
        buffer.dtype = i ? TG_F64 : TG_U64;
        buffer.shape[0] = i ? 8 : 4;
        assert_int_equal(tg_graph_add_buffer(g, &buffer, &b, &err), 0);
        struct tg_arg args[] = {tg_arg_tile(a, 0), tg_arg_tile(b, 0)};
        struct tg_task_spec task = TG_TASK_SPEC_INIT;
        task.name = "together";
        task.kind = TG_TASK_COLLECTIVE;
        task.n_args = 2;
        task.args = args;
        int rc = tg_graph_add_task(g, &task, NULL, &err);
        if (rc != TG_E_SHAPE_MISMATCH && rc != TG_E_TYPE_MISMATCH && rc != TG_E_COLLECTIVE)
            fail_msg("tiles of 8 u64 and of %s: status %d", dtypes[i], rc);
        HAS(err.text, "allreduce: \"A\" and \"B\" differ in type or size: ");
        tg_graph_destroy(g);
    }
}

/* ---- Faults -------------------------------------------------------------------------------*/

static void expect_fault(int rc, const struct tg_error *err)
{
    assert_int_not_equal(rc, 0);
    assert_int_not_equal(tg_status_exit_code(rc), 0);
    HAS(err->text, "CUDA_ERROR_ILLEGAL_ADDRESS");
    if (!err->task[0])
        fail_msg("no task is named: %s", err->text);
    HAS(err->text, "first observed at this task");
}

static void an_illegal_address_ends_the_run_at_the_task_where_it_is_seen(void **state)
{
    static const char *const graphs[] = {
        "{'id': 'bad', 'kernel': 'user', 'args': {'n': 1, 'x': 'A[0]'}}",
        "{'id': 'bad', 'kernel': 'user', 'args': {'n': 1, 'x': 'A[0]'}}, "
        "{'id': 'next', 'on': 'cpu', 'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'A[1]', 'in0': 'A[0]'}}",
        "{'id': 'bad', 'kernel': 'user', 'args': {'n': 1, 'x': 'A[0]'}}, "
        "{'for': ['i in 0:40'], 'id': 'x[{i}]', 'kernel': 'mix', 'args': {'id': 'i', 'n': 32, 'out': 'A[i%4]', 'in0': 'A[(i+1)%4]'}}",
        "{'id': 'loop', 'repeat': 3, 'do': [{'id': 'bad', 'kernel': 'user', 'args': {'n': 1, 'x': 'A[0]'}}, "
        "{'id': 'y', 'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'A[1]', 'in0': 'A[0]'}}]}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof graphs / sizeof *graphs; i++)
        for (uint64_t seed = 0; seed < 16; seed++) {
            struct tg_run_options options = TG_RUN_OPTIONS_INIT;
            struct tg_run *run, *other, *late;
            struct tg_error err;
            alarm(LIMIT_S);
            write_image("kernel user\n");
            register_user(illegal_address);
            device_reset(1 + (int)(seed & 1), seed, true);
            struct tg_graph *g = user_graph("", graphs[i]);
            struct tg_graph *good = device_graph(A_TILES, "", "{'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'A[1]'}}");
            struct tg_runtime *rt = device_runtime("cuda", 0);
            options.keep_going = seed & 2;
            options.is_recorded = seed & 4;
            assert_int_equal(tg_run_create(rt, g, &options, &run, &err), 0);
            assert_int_equal(tg_run_create(rt, good, &options, &other, &err), 0);
            if (seed & 8) /* a bystander: it may be done before, else it is lost */
                assert_int_equal(tg_run_start(other, &err), 0);
            int rc = tg_run_execute(run, &err);
            expect_fault(rc, &err);
            if (seed & 8 && (rc = tg_run_wait(other, &err)) != 0)
                HAS(err.text, "CUDA_ERROR_ILLEGAL_ADDRESS");
            /* Nothing of these devices can be used any more, and everything says so. */
            assert_int_not_equal(tg_run_execute(run, &err), 0);
            HAS(err.text, "CUDA_ERROR_ILLEGAL_ADDRESS");
            assert_int_not_equal(tg_run_execute(other, &err), 0);
            HAS(err.text, "CUDA_ERROR_ILLEGAL_ADDRESS");
            assert_null(tg_run_tile(other, 0, 1));
            assert_int_not_equal(tg_run_create(rt, good, NULL, &late, &err), 0);
            HAS(err.text, "CUDA_ERROR_ILLEGAL_ADDRESS");
            tg_run_destroy(run);
            tg_run_destroy(other);
            tg_runtime_destroy(rt);
            tg_graph_destroy(g);
            tg_graph_destroy(good);
            alarm(0);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(devices_that_are_not_there_are_refused),
        cmocka_unit_test(a_footprint_that_cannot_fit_is_refused_before_anything_runs),
        cmocka_unit_test(what_fits_exactly_fits_wherever_the_rest_lies),
        cmocka_unit_test(a_kernel_that_its_module_does_not_have_is_refused),
        cmocka_unit_test(a_compile_error_is_shown_at_its_line_of_the_graph),
        cmocka_unit_test(launches_beyond_the_device_fail_their_task),
        cmocka_unit_test(tiles_that_do_not_match_in_a_collective_are_refused),
        cmocka_unit_test(an_illegal_address_ends_the_run_at_the_task_where_it_is_seen),
    };
    return cmocka_run_group_tests(tests, device_group_load_without_nccl, device_group_unload);
}
