/* Records of runs that are killed: whatever had ended is in them, and nothing else. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "io/live_log.h"
#include "io/live_record.h"
#include "tests/run_graph.h"

enum { N_TASKS = 600, N_WORKERS = 3, KILLS = 100 };

/* What a process that is killed leaves behind: which bodies it has begun and ended. */
struct shared {
    _Atomic uint32_t n_begun, n_ended;
    _Atomic uint8_t has_begun[N_TASKS], has_ended[N_TASKS];
};
static struct shared *shared;
static char path[64];
static uint32_t busy_us;

static int body(void **args, const struct tg_context *ctx)
{
    uint64_t x = *(uint64_t *)args[0], until = now_ns() + busy_us * (uint64_t)1000;
    (void)ctx;
    atomic_store(&shared->has_begun[x], 1);
    atomic_fetch_add(&shared->n_begun, 1);
    while (now_ns() < until)
        ;
    atomic_store(&shared->has_ended[x], 1);
    return 0;
}

/* Every task comes after a few of those shortly before it. */
static struct tg_graph *draw_graph(uint64_t seed)
{
    struct dice d = {mix64(seed)};
    struct tg_graph *g = graph_new();
    tg_kernel_id kernel = add_kernel(g, "k", body, TG_SCALAR);
    for (uint32_t t = 0; t < N_TASKS; t++) {
        struct tg_arg arg = tg_arg_int(t);
        struct tg_task_spec spec = TG_TASK_SPEC_INIT;
        tg_task_id after[3];
        spec.kernel = kernel;
        spec.n_args = 1;
        spec.args = &arg;
        for (uint32_t i = 0; i < 3 && t > 12; i++)
            after[spec.n_after++] = t - 4 * i - 1 - roll(&d, 4);
        spec.after = after;
        MUST(tg_graph_add_task(g, &spec, NULL, &err));
    }
    MUST(tg_graph_freeze(g, &err));
    return g;
}

struct live {
    struct tg_runtime *rt;
    struct tg_run *run;
    struct tgi_live_record *record;
};

static void begin(struct live *l, const struct tg_graph *g)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    options.is_recorded = true;
    l->rt = runtime_of(N_WORKERS);
    l->run = run_new(l->rt, (struct tg_graph *)g, &options);
    struct tgi_recorded what = {.graph = g, .n_workers = N_WORKERS, .run = l->run, .policy = "steal"};
    MUST(tgi_live_record_create(path, &what, &l->record, &err));
    assert_int_equal((uintptr_t)tgi_live_record_spans(l->record) % 64, 0);
    tgi_live_record_follow(l->record, l->run);
}

static void end(struct live *l)
{
    tg_run_destroy(l->run);
    tg_runtime_destroy(l->rt);
    tgi_live_record_close(l->record);
}

/* ---- Killing ------------------------------------------------------------------------------*/

static void expect_what_had_ended(void)
{
    struct tgi_recording r;
    uint64_t n = 0, last = 0;
    MUST(tgi_recording_read(path, &r, &err));
    assert_true(r.is_unfinished && r.is_cut);
    assert_int_equal(r.n_tasks, N_TASKS);
    assert_int_equal(r.n_tasks_expected, N_TASKS);
    for (uint32_t t = 0; t < N_TASKS; t++) {
        const struct tgi_recording_task *x = &r.tasks[t];
        bool ended = x->end_ns > 0;
        n += ended;
        last = x->end_ns > last ? x->end_ns : last;
        if (ended) {
            assert_true(atomic_load(&shared->has_ended[t]) && x->lane < N_WORKERS && x->attempts == 1);
            assert_true(x->state == TG_TASK_DONE && x->end_ns >= x->start_ns + busy_us * 1000);
        }
        for (uint32_t e = 0; e < x->n_preds; e++) {
            const struct tgi_recording_task *before = &r.tasks[r.preds[x->first_pred + e]];
            assert_true(!atomic_load(&shared->has_begun[t]) || before->end_ns > 0); /* it had, as this one had begun */
            assert_true(!ended || (before->end_ns > 0 && before->end_ns <= x->start_ns && x->ready_ns >= before->end_ns));
        }
        assert_true(!ended || x->n_preds == 0 || r.tasks[x->waited_for].end_ns == x->ready_ns);
    }
    assert_int_equal(r.n_ended, n);
    assert_int_equal(r.head.makespan_ns, last);
    tgi_recording_fini(&r);
}

static void whatever_had_ended_is_there_after_a_kill(void **state)
{
    const char *kills = getenv("TGRAPH_TEST_KILLS"), *given = getenv("TGRAPH_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : now_ns();
    uint32_t n_kills = kills ? (uint32_t)atoi(kills) : KILLS, n_early = 0;
    struct dice d = {mix64(seed)};
    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    struct tg_graph *g = draw_graph(seed);
    busy_us = 20;
    for (uint32_t i = 0; i < n_kills; i++) {
        memset((void *)shared, 0, sizeof *shared);
        uint32_t when = roll(&d, N_TASKS), status;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct live l;
            begin(&l, g);
            tg_run_execute(l.run, &err);
            for (;;)
                pause();
        }
        while (atomic_load(&shared->n_begun) <= when)
            ;
        for (uint64_t until = now_ns() + roll(&d, 20000); now_ns() < until;)
            ;
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, (int *)&status, 0), child);
        n_early += atomic_load(&shared->n_begun) < N_TASKS;
        expect_what_had_ended();
    }
    assert_true(n_kills < 20 || n_early > n_kills / 2); /* else nothing was killed in time */
    tg_graph_destroy(g);
}

/* ---- Files --------------------------------------------------------------------------------*/

/* The file of a run that has ended, as it was never removed, and the record as it is taken of the same run. */
static struct tgi_recording both(struct tgi_recording *read_p)
{
    struct tg_graph *g = draw_graph(7);
    struct tgi_recording taken;
    struct tg_run_stats stats;
    struct live l;
    busy_us = 0;
    begin(&l, g);
    MUST(tg_run_execute(l.run, &err)); /* the second start begins anew */
    MUST(tg_run_execute(l.run, &err));
    assert_true(tgi_run_settle(l.run, 10000));
    MUST(tg_run_stats(l.run, &stats, &err));
    struct tgi_recorded what = {.graph = g, .spans = tgi_run_spans(l.run), .n_workers = N_WORKERS, .makespan_ns = stats.makespan_ns,
                                .run = l.run, .policy = "steal"};
    MUST(tgi_recording_create(&what, &taken, &err));
    end(&l);
    MUST(tgi_recording_read(path, read_p, &err));
    tg_graph_destroy(g);
    return taken;
}

static void the_file_says_what_the_record_says(void **state)
{
    struct tgi_recording read, taken = both(&read);
    (void)state;
    assert_int_equal(read.n_ended, N_TASKS);
    for (uint32_t t = 0; t < N_TASKS; t++) { /* costs are NAN, so not all at once */
        const struct tgi_recording_task *a = &read.tasks[t], *b = &taken.tasks[t];
        assert_true(a->ready_ns == b->ready_ns && a->start_ns == b->start_ns && a->end_ns == b->end_ns);
        assert_true(a->lane == b->lane && a->waited_for == b->waited_for && a->state == b->state && a->flags == b->flags);
    }
    assert_int_equal(read.n_steals, taken.n_steals);
    if (taken.n_steals)
        assert_memory_equal(read.steals, taken.steals, taken.n_steals * sizeof *taken.steals);
    assert_int_equal(read.n_preds, taken.n_preds);
    assert_memory_equal(read.preds, taken.preds, taken.n_preds * sizeof *taken.preds);
    tgi_recording_fini(&read);
    tgi_recording_fini(&taken);
}

static char *load(size_t *size_p)
{
    FILE *from = fopen(path, "rb");
    assert_non_null(from);
    fseek(from, 0, SEEK_END);
    *size_p = (size_t)ftell(from);
    rewind(from);
    char *data = malloc(*size_p);
    assert_int_equal(fread(data, 1, *size_p, from), *size_p);
    fclose(from);
    return data;
}

static int read_bytes(const char *data, size_t size, struct tgi_recording *r)
{
    FILE *to = fopen(path, "wb");
    assert_int_equal(fwrite(data, 1, size, to), size);
    fclose(to);
    return tgi_recording_read(path, r, &err);
}

/* Spans have no checksum: anything may stand there. */
static void garbage_among_the_spans_is_passed_over(void **state)
{
    struct tgi_recording r, taken = both(&r);
    struct dice d = {1};
    size_t size;
    (void)state;
    tgi_recording_fini(&taken);
    tgi_recording_fini(&r);
    char *data = load(&size), *spans = data + size - TGI_LIVE_LOG_STEP - N_TASKS * sizeof(struct tgi_span);
    size -= TGI_LIVE_LOG_STEP - 4096; /* some of the log, too */
    for (uint32_t i = 0; i < 50; i++) {
        for (char *at = spans; at < data + size; at += 8) {
            uint64_t word = roll(&d, 3) ? mix64(roll(&d, 1u << 30)) >> roll(&d, 64) : 0;
            memcpy(at, &word, 8);
        }
        MUST(read_bytes(data, size, &r));
        struct tgi_recording_paths paths;
        MUST(tgi_recording_paths_create(&r, &paths, &err));
        for (uint32_t t = 0; t < N_TASKS; t++) {
            assert_true(r.tasks[t].end_ns >= r.tasks[t].start_ns && r.tasks[t].state <= TG_TASK_SKIPPED);
            assert_true(r.tasks[t].lane == TG_NONE || r.tasks[t].lane < N_WORKERS);
        }
        for (uint64_t s = 0; s < r.n_steals; s++)
            assert_true(r.steals[s].victim == TG_NONE || r.steals[s].victim < N_WORKERS);
        tgi_recording_paths_fini(&paths);
        tgi_recording_fini(&r);
    }
    free(data);
}

static void a_file_that_was_cut_is_read_up_to_there(void **state)
{
    struct tgi_recording r, taken = both(&r);
    uint64_t n_last = 0;
    size_t size;
    (void)state;
    tgi_recording_fini(&taken);
    tgi_recording_fini(&r);
    char *data = load(&size);
    size_t spans_end = size - TGI_LIVE_LOG_STEP, spans_at = spans_end - N_TASKS * sizeof(struct tgi_span);
    for (size_t cut = 0; cut < spans_end; cut += cut < spans_at ? 97 : 31) {
        int rc = read_bytes(data, cut, &r);
        assert_true(rc == 0 || (rc == TG_E_RECORD && cut < 4096));
        if (rc)
            continue;
        assert_true(r.n_ended >= n_last && r.n_ended == (cut < spans_at ? 0 : (cut - spans_at) / sizeof(struct tgi_span)));
        n_last = r.n_ended;
        tgi_recording_fini(&r);
    }
    assert_true(n_last > N_TASKS / 2);
    free(data);
}

/* ---- Rounds -------------------------------------------------------------------------------*/

static int count(void **args, const struct tg_context *ctx)
{
    uint64_t until = now_ns() + busy_us * (uint64_t)1000;
    (void)args, (void)ctx;
    atomic_fetch_add(&shared->n_begun, 1);
    while (now_ns() < until)
        ;
    atomic_fetch_add(&shared->n_ended, 1);
    return 0;
}

static tg_task_id add_loop(struct tg_graph *g, struct tg_graph *body, int64_t n, tg_task_id after)
{
    struct tg_task_spec spec = TG_TASK_SPEC_INIT;
    tg_task_id id;
    spec.kind = TG_TASK_REPEAT;
    spec.count = n;
    spec.body = body;
    spec.n_after = after != TG_NONE;
    spec.after = &after;
    MUST(tg_graph_add_task(g, &spec, &id, &err));
    return id;
}

static tg_task_id add_count(struct tg_graph *g, tg_kernel_id kernel, const char *name, tg_task_id after)
{
    struct tg_task_spec spec = TG_TASK_SPEC_INIT;
    struct tg_arg arg = tg_arg_int(0);
    tg_task_id id;
    spec.name = name;
    spec.kernel = kernel;
    spec.n_args = 1;
    spec.args = &arg;
    spec.n_after = after != TG_NONE;
    spec.after = &after;
    MUST(tg_graph_add_task(g, &spec, &id, &err));
    return id;
}

/* first; n times { a; 3 times { b; c after b } after a; d after that }, after first; last after that; beside it 2 times { b; c }, of its own */
static struct tg_graph *loops_graph(int64_t n)
{
    struct tg_graph *g = graph_new(), *inner, *outer, *other;
    tg_kernel_id k = add_kernel(g, "count", count, TG_SCALAR);
    MUST(tg_graph_create_body(g, &inner, &err));
    MUST(tg_graph_create_body(g, &outer, &err));
    MUST(tg_graph_create_body(g, &other, &err));
    add_count(inner, k, "c", add_count(inner, k, "b", TG_NONE));
    add_count(outer, k, "d", add_loop(outer, inner, 3, add_count(outer, k, "a", TG_NONE)));
    add_count(other, k, "x", TG_NONE);
    add_count(other, k, "y", TG_NONE);
    add_count(g, k, "last", add_loop(g, outer, n, add_count(g, k, "first", TG_NONE)));
    add_loop(g, other, 2, TG_NONE);
    MUST(tg_graph_freeze(g, &err));
    return g;
}

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* The gate of a loop inside another may wait for the gate around it, which the record of a whole run leaves out. */
static void expect_same_task(const struct tgi_recording *a, const struct tgi_recording *b, uint32_t t)
{
    const struct tgi_recording_task *x = &a->tasks[t], *y = &b->tasks[t];
    uint32_t *of_a = a->preds + x->first_pred, *of_b = b->preds + y->first_pred;
    assert_string_equal(tgi_recording_string(a, x->name), tgi_recording_string(b, y->name));
    assert_true(x->start_ns == y->start_ns && x->end_ns == y->end_ns && x->ready_ns == y->ready_ns && x->waited_for == y->waited_for);
    assert_true(x->lane == y->lane && x->part == y->part && x->kernel == y->kernel && x->flags == y->flags);
    assert_true(x->state == y->state || (x->flags & TGI_RECORDED_FRAME && x->part)); /* of loops in loops the run keeps none */
    assert_int_equal(x->n_preds, y->n_preds);
    qsort(of_a, x->n_preds, sizeof *of_a, compare_numbers);
    qsort(of_b, y->n_preds, sizeof *of_b, compare_numbers);
    assert_memory_equal(of_a, of_b, x->n_preds * sizeof *of_a);
}

static void rounds_are_those_of_the_record(void **state)
{
    struct tg_graph *g = loops_graph(5);
    struct tgi_recording taken, read;
    struct tg_run_stats stats;
    struct live l;
    (void)state;
    busy_us = 1;
    begin(&l, g);
    for (int i = 0; i < 2; i++)
        MUST(tg_run_execute(l.run, &err));
    assert_true(tgi_run_settle(l.run, 10000));
    MUST(tg_run_stats(l.run, &stats, &err));
    struct tgi_recorded what = {.graph = g, .spans = tgi_run_spans(l.run), .n_workers = N_WORKERS, .makespan_ns = stats.makespan_ns,
                                .rounds = tgi_run_rounds(l.run), .run = l.run, .policy = "steal"};
    MUST(tgi_recording_create(&what, &taken, &err));
    end(&l);
    MUST(tgi_recording_read(path, &read, &err));
    assert_int_equal(taken.n_parts, 1 + 5 + 5 * 3 + 2);
    assert_int_equal(read.n_parts, taken.n_parts);
    assert_int_equal(read.n_tasks, taken.n_tasks);
    assert_memory_equal(read.parts, taken.parts, taken.n_parts * sizeof *taken.parts);
    for (uint32_t t = 0; t < taken.n_tasks; t++)
        expect_same_task(&read, &taken, t);
    assert_int_equal(read.n_steals, taken.n_steals);
    assert_int_equal(read.n_lost_live, 0);
    tgi_recording_fini(&taken);
    tgi_recording_fini(&read);
    tg_graph_destroy(g);
}

/* Tasks that have ended, all but what each worker was about to note. */
static void rounds_are_there_after_a_kill(void **state)
{
    struct tg_graph *g = loops_graph(1000000);
    struct dice d = {mix64(now_ns())};
    (void)state;
    busy_us = 5;
    for (uint32_t i = 0; i < 20; i++) {
        memset((void *)shared, 0, sizeof *shared);
        uint32_t when = 1 + roll(&d, 2000), n = 0;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct live l;
            begin(&l, g);
            tg_run_execute(l.run, &err);
            _exit(1);
        }
        while (atomic_load(&shared->n_ended) <= when)
            ;
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        struct tgi_recording r;
        struct tgi_recording_paths paths;
        MUST(tgi_recording_read(path, &r, &err));
        for (uint32_t t = 0; t < r.n_tasks; t++) {
            const struct tgi_recording_task *x = &r.tasks[t];
            bool is_work = !(x->flags & TGI_RECORDED_FRAME) && x->end_ns > 0;
            n += is_work;
            for (uint32_t e = 0; is_work && e < x->n_preds; e++)
                assert_true(r.tasks[r.preds[x->first_pred + e]].end_ns <= x->start_ns);
        }
        assert_true(n <= atomic_load(&shared->n_ended) && n + N_WORKERS >= atomic_load(&shared->n_ended));
        assert_true(r.is_unfinished && r.n_parts > 1 + when / 32);
        MUST(tgi_recording_paths_create(&r, &paths, &err));
        tgi_recording_paths_fini(&paths);
        tgi_recording_fini(&r);
    }
    tg_graph_destroy(g);
}

/* What the log says of rounds may be anything as well. */
static void garbage_in_the_log_is_passed_over(void **state)
{
    struct tg_graph *g = loops_graph(5);
    struct tgi_recording r;
    struct dice d = {1};
    struct live l;
    size_t size;
    (void)state;
    busy_us = 0;
    begin(&l, g);
    MUST(tg_run_execute(l.run, &err));
    end(&l);
    char *data = load(&size), *log = data + size - TGI_LIVE_LOG_STEP;
    size -= TGI_LIVE_LOG_STEP - 8192;
    char *garbled = malloc(size);
    for (uint32_t i = 0; i < 500; i++) {
        memcpy(garbled, data, size);
        for (uint32_t n = 1 + roll(&d, 8); n > 0; n--) {
            uint32_t word = roll(&d, 2) ? roll(&d, 24) : (uint32_t)mix64(roll(&d, 1u << 30));
            memcpy(garbled + (log - data) + 4 * roll(&d, 1200), &word, 4);
        }
        int rc = read_bytes(garbled, size, &r);
        assert_int_equal(rc, 0);
        struct tgi_recording_paths paths;
        MUST(tgi_recording_paths_create(&r, &paths, &err));
        tgi_recording_paths_fini(&paths);
        tgi_recording_fini(&r);
    }
    free(garbled);
    free(data);
    tg_graph_destroy(g);
}

static void a_lane_that_is_not_there_is_nobodys(void **state)
{
    struct tg_graph *g = draw_graph(3);
    struct tgi_recorded what = {.graph = g, .n_workers = 1};
    struct tgi_live_record *record;
    struct tgi_recording r;
    (void)state;
    MUST(tgi_live_record_create(path, &what, &record, &err));
    tgi_live_record_spans(record)[0] = (struct tgi_span){.start_ns = 1, .end_ns = 2, .worker = 40000, .victim = 50000};
    MUST(tgi_recording_read(path, &r, &err));
    assert_true(r.n_ended == 1 && r.n_steals == 1 && r.steals[0].victim == TG_NONE && r.tasks[0].lane == TG_NONE);
    tgi_recording_fini(&r);
    tgi_live_record_close(record);
    tg_graph_destroy(g);
}

static void where_it_cannot_be_nothing_is_left(void **state)
{
    struct tg_graph *g = draw_graph(3);
    struct tgi_recorded what = {.graph = g, .n_workers = 1};
    struct tgi_live_record *record;
    char target[] = "/tmp/tgraph-test-target-XXXXXX";
    struct rlimit was, less;
    (void)state;
    assert_int_equal(tgi_live_record_create("/tmp/no/such/folder/x", &what, &record, &err), TG_E_WRITE);

    /* A link in the place of the file would have another one overwritten. */
    int fd = mkstemp(target);
    unlink(path);
    assert_int_equal(symlink(target, path), 0);
    assert_int_equal(tgi_live_record_create(path, &what, &record, &err), TG_E_WRITE);
    assert_int_equal(lseek(fd, 0, SEEK_END), 0);
    close(fd);
    unlink(target);
    unlink(path);

    /* Room for what comes first, not for the spans. */
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    less = was;
    MUST(tgi_live_record_create(path, &what, &record, &err));
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    tgi_live_record_remove(record);
    assert_int_equal(access(path, F_OK), -1);
    tgi_live_record_close(record);
    signal(SIGXFSZ, SIG_IGN);
    less.rlim_cur = (rlim_t)info.st_size - 1;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);
    int rc = tgi_live_record_create(path, &what, &record, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_int_equal(rc, TG_E_WRITE);
    assert_non_null(strstr(err.text, "no room"));
    assert_int_equal(access(path, F_OK), -1);
    tg_graph_destroy(g);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/tgraph-test-live-%d.partial", (int)getpid());
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_had_ended_is_there_after_a_kill),
        cmocka_unit_test(the_file_says_what_the_record_says),
        cmocka_unit_test(garbage_among_the_spans_is_passed_over),
        cmocka_unit_test(a_file_that_was_cut_is_read_up_to_there),
        cmocka_unit_test(rounds_are_those_of_the_record),
        cmocka_unit_test(rounds_are_there_after_a_kill),
        cmocka_unit_test(garbage_in_the_log_is_passed_over),
        cmocka_unit_test(a_lane_that_is_not_there_is_nobodys),
        cmocka_unit_test(where_it_cannot_be_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
