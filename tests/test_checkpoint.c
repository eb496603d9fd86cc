/* Runs that are killed, and go on: whatever was acknowledged is done for good, whatever was not is done again, and the result is
 * that of a run that nobody disturbed, bit by bit. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "io/checkpoint.h"
#include "sched/guide.h"
#include "tests/run_graph.h"

enum { N_TILES = 6, ELEMS = 64, MOST_TASKS = 96, HEADER_BYTES = 64 };

/* What the processes of a test share. */
struct shared {
    _Atomic uint32_t n_executed[MOST_TASKS]; /* by this process, by task */
    _Atomic uint32_t n_groups, n_kept;       /* acknowledged */
    _Atomic uint32_t n_resumed;
    _Atomic uint32_t fails;                  /* the task that fails, 1 + number */
    _Atomic uint32_t holds;                  /* bodies wait while it is 1 */
    _Atomic uint32_t has_begun;
    uint64_t result[2 * N_TILES * ELEMS];
};
static struct shared *shared;
static uint32_t busy_us;

/* ---- A graph ------------------------------------------------------------------------------*/

static int body(void **args, uint64_t *h_p)
{
    uint64_t x = *(uint64_t *)args[0], until = now_ns() + busy_us * (uint64_t)1000;
    atomic_fetch_add(&shared->n_executed[x], 1);
    atomic_store(&shared->has_begun, 1);
    while (now_ns() < until || atomic_load(&shared->holds))
        sched_yield();
    *h_p = mix64(x);
    return atomic_load(&shared->fails) == 1 + x ? TG_E_TASK_FAILED : 0;
}

static int stir(void **args, const struct tg_context *ctx)
{
    uint64_t *a = *(uint64_t **)args[1], *b = *(uint64_t **)args[2], h;
    int rc = body(args, &h);
    (void)ctx;
    for (int i = 0; i < ELEMS; i++)
        a[i] = h = mix64(h ^ a[i] ^ b[i]);
    return rc;
}

static int set(void **args, const struct tg_context *ctx)
{
    uint64_t *a = *(uint64_t **)args[1], *b = *(uint64_t **)args[2], h;
    int rc = body(args, &h);
    (void)ctx;
    for (int i = 0; i < ELEMS; i++)
        a[i] = h = mix64(h ^ b[i]);
    return rc;
}

static int sum(void **args, const struct tg_context *ctx)
{
    uint64_t *a = *(uint64_t **)args[1], *b = *(uint64_t **)args[2], h;
    int rc = body(args, &h);
    (void)ctx;
    for (int i = 0; i < ELEMS; i++)
        a[i] += h = mix64(h ^ b[i]);
    return rc;
}

static tg_kernel_id kernel_of(struct tg_graph *g, const char *name, tg_cpu_fn fn, enum tg_access access)
{
    struct tg_param params[] = {{"x", TG_I64, TG_SCALAR, TG_SUM}, {"a", TG_U64, access, TG_SUM}, {"b", TG_U64, TG_IN, TG_SUM}};
    struct tg_kernel_spec k = TG_KERNEL_SPEC_INIT;
    tg_kernel_id id;
    k.name = name;
    k.n_params = 3;
    k.params = params;
    k.cpu = fn;
    MUST(tg_graph_add_kernel(g, &k, &id, &err));
    return id;
}

/* Two buffers, the second temporary: it is written before it is read, and the last tasks bring it home. */
static struct tg_graph *draw_graph(uint64_t seed, uint32_t n_tasks)
{
    struct dice d = {mix64(seed)};
    struct tg_graph *g = graph_new();
    struct tg_buffer_spec temp = TG_BUFFER_SPEC_INIT;
    tg_buffer_id buffers[2] = {add_buffer(g, "a", ELEMS, N_TILES, TG_INIT_RANDOM), 0};
    temp.name = "t";
    temp.dtype = TG_U64;
    temp.n_dims = temp.n_tile_dims = 1;
    temp.shape[0] = ELEMS;
    temp.tiles[0] = N_TILES;
    temp.init = TG_INIT_ZERO;
    temp.is_temp = true;
    MUST(tg_graph_add_buffer(g, &temp, &buffers[1], &err));
    tg_kernel_id kernels[] = {kernel_of(g, "stir", stir, TG_INOUT), kernel_of(g, "set", set, TG_OUT),
                              kernel_of(g, "commute", sum, TG_COMMUTE), kernel_of(g, "reduce", sum, TG_REDUCE)};
    for (uint32_t t = 0; t < n_tasks; t++) {
        uint32_t to = roll(&d, N_TILES), from = (to + 1 + roll(&d, N_TILES - 1)) % N_TILES;
        bool is_last = t + N_TILES >= n_tasks;
        struct tg_arg args[] = {tg_arg_int(t), tg_arg_tile(buffers[is_last ? 0 : roll(&d, 2)], is_last ? n_tasks - 1 - t : to),
                                tg_arg_tile(buffers[is_last ? 1 : roll(&d, 2)], is_last ? n_tasks - 1 - t : from)};
        struct tg_task_spec spec = TG_TASK_SPEC_INIT;
        spec.kernel = kernels[is_last ? 0 : roll(&d, 4)];
        spec.n_args = 3;
        spec.args = args;
        MUST(tg_graph_add_task(g, &spec, NULL, &err));
    }
    MUST(tg_graph_freeze(g, &err));
    return g;
}

/* What counts: temporary data are nobody's once the run is over. */
static void take_result(struct tg_run *run, uint64_t *words)
{
    for (uint32_t i = 0; i < N_TILES; i++)
        memcpy(words + i * ELEMS, tg_run_tile(run, 0, i), ELEMS * sizeof *words);
}

static void undisturbed(struct tg_graph *g, uint64_t *words)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_runtime *rt = runtime_of(1);
    options.is_deterministic = true;
    struct tg_run *run = run_new(rt, g, &options);
    MUST(tg_run_execute(run, &err));
    take_result(run, words);
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    memset((void *)shared->n_executed, 0, sizeof shared->n_executed);
}

/* ---- A run with checkpoints ---------------------------------------------------------------*/

struct taker {
    struct tgi_checkpoint *checkpoint;
    pthread_t thread;
    _Atomic uint32_t ends;
    uint32_t pause_us;
    int status;
};

static void acknowledge(const struct taker *t)
{
    struct tgi_checkpoint_stats s;
    tgi_checkpoint_stats(t->checkpoint, &s);
    atomic_store(&shared->n_kept, s.n_kept);
    atomic_store(&shared->n_groups, s.n_groups);
}

static void *take_again(void *user)
{
    struct taker *t = user;
    struct tg_error e;
    while (!atomic_load(&t->ends) && t->status == 0) {
        usleep(t->pause_us);
        t->status = tgi_checkpoint_take(t->checkpoint, &t->ends, &e);
        if (t->status == 0)
            acknowledge(t);
    }
    return NULL;
}

/* Runs to the end, in a folder that may have a checkpoint; what the run returned. */
static int run_on(struct tg_graph *g, struct tgi_checkpoint *c, uint32_t n_workers, uint32_t pause_us, uint64_t *words)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct taker taker = {.checkpoint = c, .pause_us = pause_us};
    struct tg_runtime *rt = runtime_of(n_workers);
    struct tgi_guide guide = {0};
    struct tg_run *run;
    struct tgi_checkpoint_stats s;
    options.keep_going = true;
    MUST(tgi_cut_create(g, n_workers, &guide.cut, &err));
    tgi_checkpoint_attach(c, guide.cut);
    MUST(tgi_run_create_guided(rt, g, &options, &guide, &run, &err));
    tgi_checkpoint_stats(c, &s);
    atomic_store(&shared->n_resumed, s.n_resumed);
    acknowledge(&taker);
    pthread_create(&taker.thread, NULL, take_again, &taker);
    int rc = tg_run_execute(run, &err);
    atomic_store(&taker.ends, 1);
    pthread_join(taker.thread, NULL);
    assert_int_equal(taker.status, 0);
    MUST(tgi_checkpoint_take(c, NULL, &err));
    acknowledge(&taker);
    take_result(run, words);
    tg_run_destroy(run);
    tgi_cut_destroy(guide.cut);
    tg_runtime_destroy(rt);
    return rc;
}

static char folder[64];

static void remove_folder(void)
{
    DIR *dir = opendir(folder);
    struct dirent *e;
    while (dir && (e = readdir(dir)))
        if (e->d_name[0] != '.')
            unlinkat(dirfd(dir), e->d_name, 0);
    if (dir)
        closedir(dir);
    rmdir(folder);
}

static struct tgi_checkpoint *create_or_open(struct tg_graph *g)
{
    struct tgi_checkpoint *c;
    if (tgi_checkpoint_create(folder, g, &c, &err))
        MUST(tgi_checkpoint_open(folder, g, &c, &err));
    return c;
}

static char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void expect_executed(uint32_t n_tasks, uint32_t n_resumed)
{
    uint32_t n = 0;
    for (uint32_t t = 0; t < n_tasks; t++) {
        assert_true(atomic_load(&shared->n_executed[t]) <= 1);
        n += atomic_load(&shared->n_executed[t]);
    }
    assert_int_equal(n, n_tasks - n_resumed);
}

/* ---- Killing ------------------------------------------------------------------------------*/

/* Where the record of the last group that was acknowledged ends. */
static off_t synced_end(int fd, uint32_t n_groups)
{
    off_t at = HEADER_BYTES;
    for (uint32_t i = 0; i < n_groups; i++) {
        uint64_t bytes;
        assert_int_equal(pread(fd, &bytes, sizeof bytes, at), sizeof bytes);
        at += (off_t)bytes;
    }
    return at;
}

static void damage_from(int fd, off_t from, struct dice *d)
{
    off_t size = lseek(fd, 0, SEEK_END);
    uint64_t garbage = mix64(roll(d, 1000));
    if (roll(d, 3) == 0 && size > from)
        assert_int_equal(ftruncate(fd, from + (off_t)roll(d, (uint32_t)(size - from))), 0);
    else if (roll(d, 2) && size > from)
        assert_true(pwrite(fd, &garbage, 1 + roll(d, 8), from + (off_t)roll(d, (uint32_t)(size - from))) > 0);
    else if (roll(d, 2))
        assert_true(pwrite(fd, &garbage, 1 + roll(d, 8), size) > 0);
}

/* What a power failure may do to what nobody has synced: the journal's end, and data that no acknowledged record tells of. */
static void damage_unsynced(struct dice *d)
{
    uint32_t n_groups = atomic_load(&shared->n_groups);
    int fd = open(path_of("journal"), O_RDWR);
    if (fd < 0)
        return;
    damage_from(fd, synced_end(fd, n_groups), d);
    close(fd);
    char name[32];
    snprintf(name, sizeof name, "group-%u.data", n_groups + 1);
    fd = open(path_of(name), O_RDWR);
    if (fd < 0)
        return;
    damage_from(fd, 0, d);
    if (roll(d, 4) == 0)
        unlink(path_of(name));
    close(fd);
}

static void child(struct tg_graph *g, uint32_t n_workers, uint32_t pause_us)
{
    struct tgi_checkpoint *c = create_or_open(g);
    _exit(run_on(g, c, n_workers, pause_us, shared->result) ? 2 : 0);
}

/* It stays to be waited for. */
static bool has_ended(pid_t pid)
{
    siginfo_t info = {.si_pid = 0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

/* True: it was killed. */
static bool start_and_kill(struct tg_graph *g, struct dice *d, uint32_t most_us)
{
    uint32_t n_workers = 1 + roll(d, 3), pause_us = roll(d, 3) * roll(d, 200), n_kept = atomic_load(&shared->n_kept);
    int status;
    memset((void *)shared->n_executed, 0, sizeof shared->n_executed);
    atomic_store(&shared->n_resumed, 0);
    atomic_store(&shared->has_begun, 0);
    bool is_early = roll(d, 8) == 0; /* while it is opening what it needs */
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        child(g, n_workers, pause_us);
    while (!is_early && !atomic_load(&shared->has_begun) && !has_ended(pid))
        usleep(50);
    usleep(roll(d, most_us));
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        damage_unsynced(d);
        return true;
    }
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(atomic_load(&shared->n_resumed) >= n_kept);
    expect_executed(g->n_tasks, atomic_load(&shared->n_resumed));
    return false;
}

static uint32_t n_kills(void)
{
    const char *text = getenv("TGRAPH_TEST_KILLS");
    return text ? (uint32_t)strtoul(text, NULL, 10) : ROUNDS(300);
}

static void killed_runs_go_on_and_end_with_the_same_bits(void **state)
{
    (void)state;
    uint64_t seed = test_seed(11), expected[N_TILES * ELEMS];
    uint32_t n_killed = 0, n_graphs = 0, n_with_groups = 0;
    for (; n_killed < n_kills(); n_graphs++) {
        struct dice d = {mix64(seed + n_graphs)};
        busy_us = 0;
        struct tg_graph *g = draw_graph(seed + n_graphs, MOST_TASKS / 2 + roll(&d, MOST_TASKS / 2));
        undisturbed(g, expected);
        busy_us = 5 + roll(&d, 60);
        atomic_store(&shared->n_groups, 0);
        atomic_store(&shared->n_kept, 0);
        remove_folder();
        while (start_and_kill(g, &d, 200 + 2 * busy_us * g->n_tasks)) {
            n_killed++;
            n_with_groups += atomic_load(&shared->n_groups) > 0;
        }
        assert_memory_equal(shared->result, expected, sizeof expected);
        tg_graph_destroy(g);
    }
    printf("%u graphs, killed %u times, %u of these with something acknowledged: all with the right result\n", n_graphs, n_killed,
           n_with_groups);
    assert_true(n_with_groups > 0);
    remove_folder();
}

/* ---- Damage -------------------------------------------------------------------------------*/

/* A finished run with several groups; the folder stays. */
static struct tg_graph *finished(uint64_t seed, uint64_t *expected, uint32_t *n_groups_p)
{
    struct tg_graph *g;
    struct tgi_checkpoint *c;
    uint64_t words[N_TILES * ELEMS];
    busy_us = 0;
    g = draw_graph(seed, MOST_TASKS);
    undisturbed(g, expected);
    busy_us = 100;
    remove_folder();
    MUST(tgi_checkpoint_create(folder, g, &c, &err));
    MUST(run_on(g, c, 2, 500, words));
    assert_memory_equal(words, expected, sizeof words);
    struct tgi_checkpoint_stats s;
    tgi_checkpoint_stats(c, &s);
    assert_int_equal(s.n_kept, MOST_TASKS);
    *n_groups_p = s.n_groups;
    tgi_checkpoint_destroy(c);
    busy_us = 0;
    return g;
}

static void a_run_that_is_done_is_not_executed_again(void **state)
{
    (void)state;
    uint64_t expected[N_TILES * ELEMS], words[N_TILES * ELEMS];
    uint32_t n_groups;
    struct tg_graph *g = finished(1, expected, &n_groups);
    struct tgi_checkpoint *c;
    assert_true(n_groups > 1);
    memset((void *)shared->n_executed, 0, sizeof shared->n_executed);
    MUST(tgi_checkpoint_open(folder, g, &c, &err));
    MUST(run_on(g, c, 3, 100, words));
    expect_executed(MOST_TASKS, MOST_TASKS);
    assert_memory_equal(words, expected, sizeof words);
    tgi_checkpoint_destroy(c);
    tg_graph_destroy(g);
}

static void copy_file(const char *from, const char *to, off_t bytes)
{
    static char text[1 << 16];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    assert_true(in >= 0 && out >= 0 && read(in, text, sizeof text) >= bytes && write(out, text, (size_t)bytes) == bytes);
    close(in);
    close(out);
}

static void a_journal_cut_off_anywhere_gives_the_state_before_or_the_start(void **state)
{
    (void)state;
    uint64_t expected[N_TILES * ELEMS], words[N_TILES * ELEMS];
    uint32_t n_groups, n_resumed = 0;
    struct stat st;
    char journal[128], saved[128];
    struct tg_graph *g = finished(2, expected, &n_groups);
    snprintf(journal, sizeof journal, "%s", path_of("journal"));
    snprintf(saved, sizeof saved, "%s.saved", folder);
    assert_int_equal(stat(journal, &st), 0);
    copy_file(journal, saved, st.st_size);
    for (off_t bytes = 0; bytes < st.st_size; bytes += bytes < HEADER_BYTES ? 7 : IS_SLOW ? 61 : 13) {
        struct tgi_checkpoint *c;
        struct tgi_checkpoint_stats s;
        copy_file(saved, journal, bytes);
        int rc = tgi_checkpoint_open(folder, g, &c, &err);
        if (bytes < HEADER_BYTES) {
            assert_int_equal(rc, TG_E_CHECKPOINT);
            continue;
        }
        assert_int_equal(rc, 0);
        tgi_checkpoint_stats(c, &s);
        assert_true(s.n_kept < MOST_TASKS && s.n_groups + s.n_left_out < n_groups);
        n_resumed = s.n_kept > n_resumed ? s.n_kept : n_resumed;
        tgi_checkpoint_destroy(c);
    }
    /* The state before the last one has its files, and goes on to the same end. */
    struct tgi_checkpoint *c;
    copy_file(saved, journal, st.st_size - 1);
    MUST(tgi_checkpoint_open(folder, g, &c, &err));
    struct tgi_checkpoint_stats s;
    tgi_checkpoint_stats(c, &s);
    assert_int_equal(s.n_groups, n_groups - 1);
    assert_int_equal(s.n_kept, n_resumed);
    memset((void *)shared->n_executed, 0, sizeof shared->n_executed);
    MUST(run_on(g, c, 2, 100, words));
    assert_memory_equal(words, expected, sizeof words);
    expect_executed(MOST_TASKS, n_resumed);
    tgi_checkpoint_destroy(c);
    tg_graph_destroy(g);
    unlink(saved);
}

static void flipped_bytes_are_noticed_wherever_they_are(void **state)
{
    (void)state;
    uint64_t expected[N_TILES * ELEMS], words[N_TILES * ELEMS], seed = test_seed(3);
    struct dice d = {seed};
    uint32_t n_left_out = 0;
    for (uint32_t i = 0; i < ROUNDS(40); i++) {
        uint32_t n_groups;
        struct stat st;
        char name[64];
        struct tg_graph *g = finished(seed + i, expected, &n_groups);
        struct tgi_checkpoint *c;
        struct tgi_checkpoint_stats s;
        snprintf(name, sizeof name, "group-%u.data", n_groups);
        int fd = open(path_of(roll(&d, 2) ? "journal" : name), O_RDWR);
        if (fd < 0)
            fd = open(path_of("journal"), O_RDWR);
        assert_int_equal(fstat(fd, &st), 0);
        off_t at = (off_t)roll(&d, (uint32_t)st.st_size);
        unsigned char byte;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= (unsigned char)(1u << roll(&d, 8));
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        close(fd);
        if (tgi_checkpoint_open(folder, g, &c, &err) == 0) {
            tgi_checkpoint_stats(c, &s);
            n_left_out += s.n_left_out;
            assert_true(s.n_groups < n_groups);
            MUST(run_on(g, c, 2, 100, words));
            assert_memory_equal(words, expected, sizeof words);
            tgi_checkpoint_destroy(c);
        } else {
            assert_int_equal(err.status, TG_E_CHECKPOINT);
        }
        tg_graph_destroy(g);
    }
    assert_true(n_left_out > 0);
}

/* ---- Failures and refusals ----------------------------------------------------------------*/

static void half_of_a_failed_task_is_not_acknowledged(void **state)
{
    (void)state;
    uint64_t seed = test_seed(5), expected[N_TILES * ELEMS], words[N_TILES * ELEMS];
    for (uint32_t i = 0; i < ROUNDS(40); i++) {
        struct dice d = {mix64(seed + i)};
        struct tgi_checkpoint *c;
        struct tgi_checkpoint_stats s;
        busy_us = 0;
        struct tg_graph *g = draw_graph(seed + i, MOST_TASKS);
        undisturbed(g, expected);
        busy_us = 20;
        remove_folder();
        MUST(tgi_checkpoint_create(folder, g, &c, &err));
        atomic_store(&shared->fails, 1 + roll(&d, MOST_TASKS));
        assert_int_equal(run_on(g, c, 2, 100, words), TG_E_TASK_FAILED);
        atomic_store(&shared->fails, 0);
        tgi_checkpoint_stats(c, &s);
        assert_true(s.n_kept < MOST_TASKS);
        tgi_checkpoint_destroy(c);
        memset((void *)shared->n_executed, 0, sizeof shared->n_executed);
        MUST(tgi_checkpoint_open(folder, g, &c, &err));
        MUST(run_on(g, c, 2, 100, words));
        expect_executed(MOST_TASKS, s.n_kept);
        assert_memory_equal(words, expected, sizeof words);
        tgi_checkpoint_destroy(c);
        tg_graph_destroy(g);
    }
}

static void what_is_no_checkpoint_of_the_graph_is_refused(void **state)
{
    (void)state;
    struct tgi_checkpoint *c, *other;
    busy_us = 0;
    struct tg_graph *g = draw_graph(1, 50), *longer = draw_graph(1, 51), *different = draw_graph(2, 50);
    remove_folder();
    assert_int_equal(tgi_checkpoint_open(folder, g, &c, &err), TG_E_OPEN);
    MUST(mkdir(folder, 0700));
    assert_int_equal(tgi_checkpoint_open(folder, g, &c, &err), TG_E_CHECKPOINT);
    assert_non_null(strstr(err.text, "no checkpoint"));
    MUST(tgi_checkpoint_create(folder, g, &c, &err));
    assert_int_equal(tgi_checkpoint_create(folder, g, &other, &err), TG_E_CHECKPOINT);
    assert_non_null(strstr(err.text, "already"));
    assert_int_equal(access(path_of("journal.new"), F_OK), -1);
    assert_int_equal(tgi_checkpoint_open(folder, g, &other, &err), TG_E_CHECKPOINT);
    assert_non_null(strstr(err.text, "another run is using"));
    tgi_checkpoint_destroy(c);
    assert_int_equal(tgi_checkpoint_open(folder, longer, &c, &err), TG_E_CHECKPOINT);
    assert_non_null(strstr(err.text, "50 tasks"));
    assert_int_equal(tgi_checkpoint_open(folder, different, &c, &err), TG_E_CHECKPOINT);
    assert_non_null(strstr(err.text, "of the same size"));
    MUST(tgi_checkpoint_open(folder, g, &c, &err));
    tgi_checkpoint_destroy(c);
    tg_graph_destroy(g);
    tg_graph_destroy(longer);
    tg_graph_destroy(different);
}

static void graphs_with_rounds_are_refused(void **state)
{
    (void)state;
    static struct random_graph r;
    struct random_shape shape = {.n_buffers = 2, .n_tiles = 2, .n_tasks = 200, .has_bodies = true};
    random_graph_create(&r, &shape, 1);
    MUST(tg_graph_freeze(r.graph, &err));
    assert_int_equal(tgi_cut_check(r.graph, &err), TG_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "rounds"));
    tg_graph_destroy(r.graph);
}

/* ---- The cut itself -----------------------------------------------------------------------*/

static void *close_gate(void *user)
{
    struct tgi_cut *cut = user;
    return tgi_cut_close(cut, NULL) ? cut : NULL;
}

static void a_cut_waits_for_bodies_and_holds_up_others(void **state)
{
    (void)state;
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_runtime *rt = runtime_of(3);
    struct tgi_guide guide = {0};
    struct tg_run *run;
    pthread_t thread;
    void *closed;
    _Atomic uint32_t gives_up = 1;
    busy_us = 0;
    struct tg_graph *g = draw_graph(4, 60);
    MUST(tgi_cut_create(g, 3, &guide.cut, &err));
    MUST(tgi_run_create_guided(rt, g, &options, &guide, &run, &err));
    memset((void *)shared->n_executed, 0, sizeof shared->n_executed);
    atomic_store(&shared->has_begun, 0);
    atomic_store(&shared->holds, 1);
    MUST(tg_run_start(run, &err));
    while (!atomic_load(&shared->has_begun))
        sched_yield();
    assert_false(tgi_cut_close(guide.cut, &gives_up)); /* a body is under way */
    pthread_create(&thread, NULL, close_gate, guide.cut);
    while (!atomic_load(&guide.cut->is_closed))
        sched_yield();
    atomic_store(&shared->holds, 0);
    pthread_join(thread, &closed);
    assert_non_null(closed);
    uint32_t n_done = 0, n_begun = 0, n_later = 0;
    for (uint32_t t = 0; t < 60; t++) {
        n_done += atomic_load(&guide.cut->state[t]) == TGI_CUT_DONE;
        n_begun += atomic_load(&shared->n_executed[t]);
    }
    assert_true(n_done > 0 && n_done == n_begun && n_done < 60);
    usleep(2000);
    for (uint32_t t = 0; t < 60; t++)
        n_later += atomic_load(&shared->n_executed[t]);
    assert_int_equal(n_later, n_begun);
    tgi_cut_open(guide.cut);
    MUST(tg_run_wait(run, &err));
    expect_executed(60, 0);
    tg_run_destroy(run);
    tgi_cut_destroy(guide.cut);
    tg_runtime_destroy(rt);
    tg_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_waits_for_bodies_and_holds_up_others),
        cmocka_unit_test(killed_runs_go_on_and_end_with_the_same_bits),
        cmocka_unit_test(a_run_that_is_done_is_not_executed_again),
        cmocka_unit_test(a_journal_cut_off_anywhere_gives_the_state_before_or_the_start),
        cmocka_unit_test(flipped_bytes_are_noticed_wherever_they_are),
        cmocka_unit_test(half_of_a_failed_task_is_not_acknowledged),
        cmocka_unit_test(what_is_no_checkpoint_of_the_graph_is_refused),
        cmocka_unit_test(graphs_with_rounds_are_refused),
    };
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    snprintf(folder, sizeof folder, "/tmp/tgraph-checkpoint-%d", (int)getpid());
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    remove_folder();
    return rc;
}
