/* Every allocation fails once, and from every one on all fail: no crash, no leak, TG_E_NO_MEMORY, and
 * the same call succeeds afterwards with the right outcome.
 *
 * The linker sends the library's calls here (-Wl,--wrap, see the Makefile), so that this works under
 * AddressSanitizer too, which looks for leaks at the end. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/trsv_graph.h"
#include "mem/device.h"
#include "sched/resident_cluster.h"
#include "sched/service.h"
#include "tests/random_graph.h"

/* ---- Failing on demand --------------------------------------------------------------------*/

static _Atomic int64_t n_until_failure = INT64_MAX; /* the one that brings it to 0 fails */
static _Atomic int is_forever, has_failed;
static _Atomic int64_t mapped_bytes;

static bool fails_now(void)
{
    int64_t left = atomic_fetch_sub(&n_until_failure, 1);
    if (left > 1 || (left < 1 && !atomic_load(&is_forever)))
        return false;
    atomic_store(&has_failed, 1);
    errno = ENOMEM;
    return true;
}

static void arm(int64_t n, bool forever)
{
    atomic_store(&has_failed, 0);
    atomic_store(&is_forever, forever);
    atomic_store(&n_until_failure, n);
}

static void disarm(void)
{
    atomic_store(&is_forever, 0);
    atomic_store(&n_until_failure, INT64_MAX);
}

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *p, size_t bytes);
void *__real_aligned_alloc(size_t align, size_t bytes);
void *__real_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t bytes);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *p, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
int __wrap_munmap(void *at, size_t bytes);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);

void *__wrap_malloc(size_t bytes) { return fails_now() ? NULL : __real_malloc(bytes); }

void *__wrap_calloc(size_t n, size_t bytes) { return fails_now() ? NULL : __real_calloc(n, bytes); }

void *__wrap_realloc(void *p, size_t bytes) { return fails_now() ? NULL : __real_realloc(p, bytes); }

void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
    return fails_now() ? NULL : __real_aligned_alloc(align, bytes);
}

void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    if (fails_now())
        return MAP_FAILED;
    void *p = __real_mmap(at, bytes, protection, flags, fd, offset);
    if (p != MAP_FAILED)
        atomic_fetch_add(&mapped_bytes, (int64_t)bytes);
    return p;
}

int __wrap_munmap(void *at, size_t bytes)
{
    atomic_fetch_sub(&mapped_bytes, (int64_t)bytes);
    return __real_munmap(at, bytes);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
    return fails_now() ? EAGAIN : __real_pthread_create(thread, attr, fn, arg);
}

static struct tg_error err;

/* Calls; if that fails, it must be for want of memory, and must work when there is enough. */
#define TRY(call)                                                                                \
    do {                                                                                         \
        memset(&err, 0, sizeof err);                                                             \
        int rc_ = (call);                                                                        \
        if (rc_) {                                                                               \
            if (!atomic_load(&has_failed) || (rc_ != TG_E_NO_MEMORY && rc_ != TG_E_SYSTEM) ||    \
                err.status != rc_ || !err.text[0]) {                                             \
                fprintf(stderr, "%s:%d: %s: %d %s\n", __FILE__, __LINE__, #call, rc_, err.text); \
                abort();                                                                         \
            }                                                                                    \
            disarm();                                                                            \
            MUST(call);                                                                          \
        }                                                                                        \
    } while (0)

/* Repeats `what` with the first, second .. allocation failing until no failure is reached. */
static uint32_t fail_every(void (*what)(void *arg), void *arg)
{
    uint32_t n_failures = 0;
    for (int forever = 0; forever < 2; forever++)
        for (int64_t n = 1;; n++) {
            arm(n, forever);
            what(arg);
            disarm();
            assert_int_equal(atomic_load(&mapped_bytes), 0);
            if (!atomic_load(&has_failed))
                break;
            n_failures++;
        }
    return n_failures;
}

/* ---- A graph with everything --------------------------------------------------------------*/

static int add_one(void **args, const struct tg_context *ctx)
{
    (void)ctx;
    **(uint64_t **)args[1] += *(uint64_t *)args[0];
    return 0;
}

static int one_job(void *arg, const struct tg_context *ctx)
{
    (void)ctx;
    atomic_fetch_add(*(_Atomic uint64_t **)arg, 1);
    return 0;
}
static int plain_job(void *arg, const struct tg_context *ctx) { return one_job(&arg, ctx); }

/* 600 jobs, so that a deque grows, and 10 detached children. */
static int add_with_children(void **args, const struct tg_context *ctx)
{
    static struct tg_job jobs[600];
    _Atomic uint64_t *sum = *(_Atomic uint64_t **)args[1];
    for (int i = 0; i < 600; i++)
        tg_spawn(ctx, &jobs[i], plain_job, (void *)sum);
    for (int i = 600; i-- > 0;)
        tg_sync(ctx, &jobs[i]);
    int rc = 0;
    uint64_t before = atomic_load(sum);
    for (int i = 0; i < 10 && rc == 0; i++)
        rc = tg_spawn_detached(ctx, one_job, &sum, sizeof sum);
    (void)before;
    return rc;
}

enum { X, BIG, ROWS, N_BUFFERS };
enum { N_FORK = 700 };

static void add_buffers(struct tg_graph *g)
{
    static const char *const names[] = {"x", "big", "rows"};
    uint8_t present[3] = {1, 1, 1};
    for (uint32_t i = 0; i < N_BUFFERS; i++) {
        struct tg_buffer_spec b = TG_BUFFER_SPEC_INIT;
        tg_buffer_id id = 99;
        b.name = names[i];
        b.dtype = TG_U64;
        b.n_dims = 1;
        b.shape[0] = i == BIG ? 40000 : 4;
        b.n_tile_dims = 1;
        b.tiles[0] = i == BIG ? 1 : 3;
        b.present = i == ROWS ? present : NULL;
        b.init = TG_INIT_ZERO;
        b.home = "numa:0";
        TRY(tg_graph_add_buffer(g, &b, &id, &err));
        assert_int_equal(id, i);
    }
}

static tg_kernel_id add_kernel(struct tg_graph *g, const char *name, tg_cpu_fn fn, enum tg_access access)
{
    struct tg_param params[] = {{"n", TG_I64, TG_SCALAR, TG_SUM}, {"t", TG_U64, access, TG_SUM}};
    struct tg_kernel_spec k = TG_KERNEL_SPEC_INIT;
    tg_kernel_id id;
    k.name = name;
    k.n_params = 2;
    k.params = params;
    k.cpu = fn;
    k.flops = "2*n";
    k.bytes = "8";
    k.us = "1/(n+1)";
    TRY(tg_graph_add_kernel(g, &k, &id, &err));
    return id;
}

static uint32_t n_named;
static tg_task_id add_task(struct tg_graph *g, tg_kernel_id kernel, struct tg_arg tile, int32_t priority,
                           bool is_named)
{
    struct tg_arg args[] = {tg_arg_int(1), tile};
    struct tg_task_spec t = TG_TASK_SPEC_INIT;
    tg_task_id id, after = 0;
    char name[32];
    snprintf(name, sizeof name, "task %u", n_named++);
    t.name = is_named ? name : NULL;
    t.kernel = kernel;
    t.n_args = 2;
    t.args = args;
    t.priority = priority;
    t.retries = is_named ? 1 : 0;
    t.after = &after;
    t.n_after = is_named && g ? 1 : 0;
    TRY(tg_graph_add_task(g, &t, &id, &err));
    return id;
}

static struct tg_graph *make_graph(void)
{
    struct tg_graph *g = NULL, *body = NULL, *other = NULL;
    tg_kernel_id builtin;
    TRY(tg_graph_create("everything", &g, &err));
    n_named = 0;
    add_buffers(g);
    tg_kernel_id inout = add_kernel(g, "inout", add_one, TG_INOUT),
                 sum = add_kernel(g, "sum", add_one, TG_REDUCE);
    tg_kernel_id commute = add_kernel(g, "commute", add_one, TG_COMMUTE),
                 children = add_kernel(g, "children", add_with_children, TG_INOUT);
    struct tg_kernel_spec fill = TG_KERNEL_SPEC_INIT;
    fill.name = "generic";
    fill.builtin = "scale";
    TRY(tg_graph_add_kernel(g, &fill, &builtin, &err));
    add_task(g, inout, tg_arg_tile(X, 0), 0, false);
    for (uint32_t i = 0; i < 3; i++) {
        add_task(g, sum, tg_arg_tile(X, 1), 0, false);
        add_task(g, sum, tg_arg_tile(BIG, 0), 0, i == 0);
        add_task(g, commute, tg_arg_tile(X, 2), 3, true);
        add_task(g, inout, tg_arg_rows(ROWS, 1, i, i + 1), -1, false);
    }
    add_task(g, inout, tg_arg_all(ROWS), 0, true);
    struct tg_task_spec t = TG_TASK_SPEC_INIT;
    t.kind = TG_TASK_BARRIER;
    TRY(tg_graph_add_task(g, &t, NULL, &err));
    t = (struct tg_task_spec)TG_TASK_SPEC_INIT;
    struct tg_arg both[] = {tg_arg_tile(X, 0), tg_arg_tile(X, 1)};
    t.kind = TG_TASK_COLLECTIVE;
    t.collective = TG_ALLTOALL;
    t.n_args = 2;
    t.args = both;
    TRY(tg_graph_add_task(g, &t, NULL, &err));
    add_task(g, children, tg_arg_tile(X, 0), 0, false);
    TRY(tg_graph_create_body(g, &body, &err));
    TRY(tg_graph_create_body(g, &other, &err));
    add_task(body, inout, tg_arg_tile(X, 2), 0, false);
    add_task(other, inout, tg_arg_tile(X, 1), 0, false);
    t = (struct tg_task_spec)TG_TASK_SPEC_INIT;
    t.kind = TG_TASK_IF;
    t.n_args = 1;
    t.args = both;
    t.body = body;
    t.body_else = other;
    TRY(tg_graph_add_task(g, &t, NULL, &err));
    TRY(tg_graph_create_body(g, &body, &err));
    add_task(body, inout, tg_arg_tile(X, 2), 0, false);
    t = (struct tg_task_spec)TG_TASK_SPEC_INIT;
    t.kind = TG_TASK_REPEAT;
    t.count = 3;
    t.body = body;
    TRY(tg_graph_add_task(g, &t, NULL, &err));
    tg_task_id root = add_task(g, commute, tg_arg_tile(ROWS, 2), 0, false);
    for (uint32_t i = 0; i < N_FORK; i++) { /* more than a deque holds at first */
        tg_task_id leaf = add_task(g, commute, tg_arg_tile(ROWS, 0), (int32_t)i % 3, i % 8 == 0);
        TRY(tg_graph_add_edge(g, root, leaf, &err));
    }
    TRY(tg_graph_freeze(g, &err));
    return g;
}

static void check_graph(const struct tg_graph *g)
{
    struct tg_graph_stats stats;
    MUST(tg_graph_stats(g, &stats, &err));
    assert_int_equal(stats.n_tasks, 1 + 12 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + N_FORK);
    for (uint32_t i = 0; i < n_named; i++) {
        char name[32];
        snprintf(name, sizeof name, "task %u", i);
        tg_task_id id = tg_graph_find_task(g, name);
        assert_true(id == TG_NONE || id < stats.n_tasks);
    }
    assert_int_equal(tg_graph_find_buffer(g, "rows"), ROWS);
    assert_int_equal(tg_graph_find_task(g, "task 3"), 3);
}

static void build_once(void *arg)
{
    struct tg_graph *g = make_graph();
    disarm();
    check_graph(g);
    (void)arg;
    tg_graph_destroy(g);
}

static void building_and_freezing_survive_every_failure(void **state)
{
    (void)state;
    assert_true(fail_every(build_once, NULL) > 100);
}

/* ---- Cycles -------------------------------------------------------------------------------*/

static void freeze_cycle(void *arg)
{
    struct tg_graph *g = arg;
    int rc = tg_graph_freeze(g, &err);
    if (rc != TG_E_CYCLE) {
        assert_int_equal(rc, TG_E_NO_MEMORY);
        disarm();
        assert_int_equal(tg_graph_freeze(g, &err), TG_E_CYCLE);
    }
}

static void reporting_a_cycle_survives_every_failure(void **state)
{
    (void)state;
    struct tg_graph *g;
    MUST(tg_graph_create("cycle", &g, &err));
    struct tg_task_spec t = TG_TASK_SPEC_INIT;
    struct tg_buffer_spec b = TG_BUFFER_SPEC_INIT;
    tg_buffer_id x;
    b.name = "x";
    b.dtype = TG_U64;
    MUST(tg_graph_add_buffer(g, &b, &x, &err));
    struct tg_arg args[] = {tg_arg_tile(x, 0), tg_arg_int(1)};
    t.kind = TG_TASK_FILL;
    t.n_args = 2;
    t.args = args;
    for (int i = 0; i < 5; i++)
        MUST(tg_graph_add_task(g, &t, NULL, &err));
    MUST(tg_graph_add_edge(g, 4, 1, &err));
    assert_true(fail_every(freeze_cycle, g) > 8);
    tg_graph_destroy(g);
}

/* ---- Runtime and runs ---------------------------------------------------------------------*/

static void runtime_once(void *arg)
{
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_runtime *rt;
    options.n_workers = 3;
    options.topology = "pack:1 core:4 pu:1";
    (void)arg;
    TRY(tg_runtime_create(&options, &rt, &err));
    disarm();
    assert_int_equal(tg_runtime_n_workers(rt), 3);
    tg_runtime_destroy(rt);
}

static void creating_a_runtime_survives_every_failure(void **state)
{
    (void)state;
    assert_true(fail_every(runtime_once, NULL) > 20);
}

struct scene {
    struct tg_runtime *rt;
    struct tg_graph *g;
    struct tg_run_options options;
    bool execute; /* fail while executing, not while creating */
};

static void check_results(const struct tg_run *run)
{
    const uint64_t *x0 = tg_run_tile(run, X, 0), *x2 = tg_run_tile(run, X, 2), *x1 = tg_run_tile(run, X, 1);
    const uint64_t *rows0 = tg_run_tile(run, ROWS, 0), *rows1 = tg_run_tile(run, ROWS, 1),
                   *rows2 = tg_run_tile(run, ROWS, 2);
    const uint64_t *big = tg_run_tile(run, BIG, 0);
    assert_int_equal(x0[0], 1 + 600 + 10); /* inout, then chunk 0 stays, then jobs and children */
    assert_int_equal(x0[2], 3);            /* the sum, from the other tile */
    assert_int_equal(x1[0], 0);
    assert_int_equal(x2[0], 3 + 1 + 3); /* commute, if, repeat */
    assert_int_equal(big[0], 3);
    assert_int_equal(big[39999], 0);
    assert_int_equal(rows0[0], 1 + N_FORK);
    assert_int_equal(rows1[0] + 10 * rows1[1] + 100 * rows1[2], 111);
    assert_int_equal(rows2[0], 1);
}

static void run_once(void *arg)
{
    struct scene *s = arg;
    struct tg_run *run;
    int64_t n = atomic_load(&n_until_failure);
    int forever = atomic_load(&is_forever);
    if (s->execute)
        disarm();
    TRY(tg_run_create(s->rt, s->g, &s->options, &run, &err));
    if (s->execute)
        arm(n, forever);
    else
        disarm();
    TRY(tg_run_execute(run, &err));
    disarm();
    check_results(run);
    MUST(tg_run_execute(run, &err)); /* everything is as it should be for another start */
    check_results(run);
    tg_run_destroy(run);
}

static void run_with(uint32_t n_workers, bool is_deterministic, uint64_t seed, bool execute, uint32_t n_least)
{
    struct scene s = {.options = TG_RUN_OPTIONS_INIT, .execute = execute};
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    options.n_workers = n_workers;
    options.is_unbound = true;
    s.options.is_deterministic = is_deterministic;
    s.options.seed = seed;
    s.options.is_recorded = is_deterministic;
    s.options.timeout_ns = execute ? 0 : UINT64_C(100000000000);
    s.g = make_graph();
    MUST(tg_runtime_create(&options, &s.rt, &err));
    assert_true(fail_every(run_once, &s) >= n_least);
    tg_runtime_destroy(s.rt);
    tg_graph_destroy(s.g);
}

static void creating_a_run_survives_every_failure(void **state)
{
    (void)state;
    run_with(2, false, 0, false, 20);
    run_with(1, true, 0, false, 20);
}

static void executing_survives_every_failure(void **state)
{
    (void)state;
    run_with(1, false, 0, true, 20);
    run_with(3, false, 0, true, 20);
}

static void deterministic_execution_survives_every_failure(void **state)
{
    (void)state;
    run_with(1, true, 0, true, 10);
    run_with(2, true, 7, true, 10);
}

/* ---- Programs of a service ----------------------------------------------------------------*/

static void build_and_plan(void *arg)
{
    (void)arg;
    struct tg_service_program *programs[2];
    struct tg_service_setup setup = TG_SERVICE_SETUP_INIT;
    struct tgi_service_planned planned;
    for (int i = 0; i < 2; i++) {
        TRY(tg_service_program_create(1, &programs[i], &err));
        TRY(tg_service_program_add_task(programs[i], TG_SERVICE_OP_INPUT, 0, NULL, 0, NULL, &err));
        for (uint32_t t = 0; t < 40; t++)
            TRY(tg_service_program_add_task(programs[i], TG_SERVICE_OP_SUM, t, &(uint32_t){t / 2}, 1, NULL, &err));
        TRY(tg_service_program_add_output(programs[i], 40, &err));
    }
    setup.programs = programs;
    setup.n_programs = 2;
    TRY(tgi_service_plan(&setup, NULL, &planned, &err));
    assert_int_equal(planned.programs[1].program->n_tasks, 41);
    tgi_service_planned_fini(&planned);
    for (int i = 0; i < 2; i++)
        tg_service_program_destroy(programs[i]);
}

static void planning_a_services_programs_survives_every_failure(void **state)
{
    (void)state;
    assert_true(fail_every(build_and_plan, NULL) > 40);
}

/* ---- Resident programs --------------------------------------------------------------------*/

/* Two in three are a thread wide, one in two of the others a point. */
static bool resident_call(struct tgi_devices *ds, const struct tgi_program *p, const struct tgi_command *c, struct tgi_resident_call *call,
                          const char **why_p)
{
    (void)ds, (void)p, (void)why_p;
    *call = (struct tgi_resident_call){.body = 7, .n_words = 2, .cost_ns = 100, .is_thread = c->owner % 3 != 0, .words = {c->owner, 1}};
    return true;
}

static int resident_room(struct tgi_devices *ds, uint32_t device, struct tgi_resident_room *room_p, struct tg_error *e)
{
    (void)ds, (void)device, (void)e;
    *room_p = (struct tgi_resident_room){4, 8, tgi_resident_shared_bytes(8, 64, 64) + 4096, false};
    return 0;
}

static void cluster_once(void *arg)
{
    static const struct tgi_device_ops ops = {.size = sizeof ops, .kind = "fake", .resident_call = resident_call, .resident_room = resident_room};
    static struct tgi_device_info info;
    struct tgi_devices ds = {.ops = &ops, .n_devices = 1, .info = &info};
    struct tgi_program from = {0}, to = {0};
    struct tgi_clustering what;
    uint32_t id;
    (void)arg;
    for (uint32_t i = 0; i < 150; i++) {
        struct tgi_command c = {.kind = i % 6 ? TGI_COMMAND_LAUNCH : TGI_COMMAND_NOTHING, .lane = tgi_lane_of(0, 0), .owner = i};
        TRY(tgi_program_add(&from, &c, &(uint32_t){i / 2}, i > 0, &id, &err));
    }
    TRY(tgi_resident_cluster(&ds, &from, &to, NULL, &what, &err));
    assert_int_equal(to.n, 1);
    const struct tgi_cluster *made = to.commands[0].cluster;
    assert_true(made->n_batches > 3);
    assert_int_equal(tgi_cluster_first(made, made->program->n_tasks), 150);
    tgi_program_fini(&from);
    tgi_program_fini(&to);
}

static void making_a_resident_program_survives_every_failure(void **state)
{
    (void)state;
    assert_true(fail_every(cluster_once, NULL) > 60);
}

/* ---- Sparse matrices ----------------------------------------------------------------------*/

/* Rows of 20 entries, the last of which needs two tasks. */
static char *matrix_text(void)
{
    char *text;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    fprintf(f, "%%%%MatrixMarket matrix coordinate real general\n40 40 79\n");
    for (int i = 1; i <= 40; i++) {
        fprintf(f, "%d %d 2\n", i, i);
        if (i < 40)
            fprintf(f, "40 %d 0.5\n", i);
    }
    fclose(f);
    return text;
}

static void import_matrix(void *arg)
{
    static const char *const files[] = {"json", "vals.npy", "cols.npy", "start.npy", "b.npy", "expected.npy"};
    const char *text = arg;
    const struct tgi_trsv_options options = {.rows_per_task = 1};
    struct tgi_trsv_counts counts;
    struct tgi_sparse l;
    char folder[] = "/tmp/tgraph-test-alloc-XXXXXX", path[80];
    double b[40] = {1};
    assert_non_null(mkdtemp(folder));
    TRY(tgi_mtx_read("m.mtx", text, strlen(text), false, &l, &err));
    snprintf(path, sizeof path, "%s/l.json", folder);
    TRY(tgi_trsv_write(&l, b, &options, path, &counts, &err));
    assert_int_equal(counts.n_tasks, 42);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/l.%s", folder, files[i]);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(folder), 0);
    tgi_sparse_fini(&l);
}

static void importing_a_matrix_survives_every_failure(void **state)
{
    char *text = matrix_text();
    (void)state;
    assert_true(fail_every(import_matrix, text) > 20);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(building_and_freezing_survive_every_failure),
        cmocka_unit_test(reporting_a_cycle_survives_every_failure),
        cmocka_unit_test(planning_a_services_programs_survives_every_failure),
        cmocka_unit_test(making_a_resident_program_survives_every_failure),
        cmocka_unit_test(creating_a_runtime_survives_every_failure),
        cmocka_unit_test(creating_a_run_survives_every_failure),
        cmocka_unit_test(executing_survives_every_failure),
        cmocka_unit_test(deterministic_execution_survives_every_failure),
        cmocka_unit_test(importing_a_matrix_survives_every_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
