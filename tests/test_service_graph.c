/* Programs of a service that are made of graphs: bodies of built-in kernels and of users, an instance's own tiles, what all share;
 * on the stand-ins for driver and NVRTC.  What comes out is compared with a run of the graph on the CPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>
#include <time.h>

#include "sched/service.h"
#include "tests/device_graph.h"
#include "tests/random_graph.h"

static uint64_t seed;
static struct tg_error err;

#define SECOND UINT64_C(1000000000)
#define LONG_NS (120 * SECOND) /* longer than anything should take on a busy machine */
/* Tiles of 5 words: 40 bytes, which a message fills up to 48. */
enum { N = 5, ROOM = 6, N_X = 2, N_Y = 2, QUEUE = 8, KEPT_ROOM = 512 };

/* X comes with each instance, W is shared, S begins with its init in each, T is written before it is read; Y and X are the answer. */
static const char buffers[] = "'X': {'dtype': 'u64', 'shape': [5], 'tiles': [2], 'init': 'zero'}, "
                              "'W': {'dtype': 'u64', 'shape': [5], 'tiles': [3], 'init': {'iota': true}}, "
                              "'S': {'dtype': 'u64', 'shape': [5], 'tiles': [4], 'init': {'fill': 7}}, "
                              "'T': {'dtype': 'u64', 'shape': [5], 'tiles': [4]}, "
                              "'Y': {'dtype': 'u64', 'shape': [5], 'tiles': [2]}";
/* A user's, which fails if a word of its input is 1300, and takes long if k is even. */
static const char user[] =
    ", 'own': {'params': [{'name': 'n', 'type': 'i32'}, {'name': 'k', 'type': 'u64'}, {'name': 'x', 'type': 'u64*', 'access': 'in'}, "
    "{'name': 'y', 'type': 'u64*', 'access': 'inout'}], 'variants': ["
    "{'on': 'cuda', 'code': 'extern \\\"C\\\" __global__ void own(int n, unsigned long k, const unsigned long *x, unsigned long *y) "
    "{ for (int i = threadIdx.x; i < n; i += blockDim.x) y[i] = y[i] * k + x[i]; }', 'grid': [1], 'block': [32]}, "
    "{'on': 'resident', 'code': ['unsigned own(int n, unsigned long k, const unsigned long *x, unsigned long *y)', '{', "
    "'    unsigned code = 0;', '    for (volatile int j = 0; k % 2 == 0 && j < 40000; j = j + 1) ;', '    for (int i = 0; i < n; i++)', '        code = x[i] == 1300 ? 13 : code;', "
    "'    for (int i = tg_lane(); i < n; i += TG_LANES)', '        y[i] = y[i] * k + x[i];', '    return code;', '}']}, "
    "{'on': 'cpu', 'c': ['#include \\\"tgraph.h\\\"', 'int own(void **a, const struct tg_context *c)', '{', "
    "'unsigned long k = *(unsigned long *)a[1], *x = *(unsigned long **)a[2], *y = *(unsigned long **)a[3];', "
    "'for (int i = 0; i < *(int *)a[0]; i++) y[i] = y[i] * k + x[i];', '(void)c; return 0;', '}']}]}";

static void reset(void)
{
    struct standin_options o = {1, 32u << 20, seed, false};
    standin.standin_reset(&o);
}

static int begin(void **state)
{
    char text[4096] = "";
    (void)state;
    if (standin.standin_leaks(text, sizeof text)) { /* a kernel that a failed test has left never ends */
        fprintf(stderr, "a test has left this, so none of the rest is begun: %s\n", text);
        _exit(1);
    }
    reset();
    return 0;
}

static void must(int status)
{
    char text[4096] = "";
    if (status) {
        standin.standin_violations(text, sizeof text);
        fail_msg("%d: %s\n%s", status, err.text, text);
    }
}

/* ---- Graphs and services ------------------------------------------------------------------*/

static const char *any_tile(struct dice *dice, const char *names, char text[16])
{
    static const uint32_t n_tiles[] = {['X'] = N_X, ['W'] = 3, ['S'] = 4, ['T'] = 4};
    char name = names[roll(dice, (uint32_t)strlen(names))];
    snprintf(text, 16, "%c[%u]", name, roll(dice, n_tiles[(int)name]));
    return text;
}

/* Everything writes somewhere, and what it writes shows in Y or X at the end. */
static struct tg_graph *random_graph(uint64_t key, uint32_t n, bool is_slow)
{
    struct dice dice = {key};
    char *tasks = NULL, to[16], one[16], two[16];
    size_t size;
    FILE *f = open_memstream(&tasks, &size);
    for (int i = 0; i < 4; i++)
        fprintf(f, "{'kernel': 'hash', 'args': {'id': %d, 'n': 5, 'out': 'T[%d]', 'in0': '%s'}}, ", i, i, any_tile(&dice, "XWS", one));
    for (uint32_t i = 0; i < n; i++) {
        any_tile(&dice, "SSTX", to);
        do
            any_tile(&dice, "XWST", one);
        while (strcmp(one, to) == 0);
        do
            any_tile(&dice, "XWST", two);
        while (strcmp(two, to) == 0);
        if (i % 10 == 9)
            fprintf(f, "{'barrier': true}, ");
        else if (i % 4 == 3)
            fprintf(f, "{'kernel': 'own', 'args': {'n': 5, 'k': %u, 'x': '%s', 'y': '%s'}}, ", 3 + 2 * i + is_slow, one, to);
        else
            fprintf(f, "{'kernel': 'mix', 'args': {'id': %u, 'n': 5, 'out': '%s', 'in0': '%s', 'in1': '%s'}}, ", i + 10, to, one, two);
    }
    fprintf(f, "{'fill': 'Y[0]', 'value': 5}, {'copy': {'from': 'T[3]', 'to': 'Y[1]'}}");
    for (int i = 0; i < 4; i++)
        fprintf(f, ", {'kernel': 'mix', 'args': {'id': %d, 'n': 5, 'out': 'Y[0]', 'in0': 'S[%d]', 'in1': 'T[%d]'}}", i + 5, i, i);
    fclose(f);
    struct tg_graph *g = device_graph(buffers, user, tasks);
    free(tasks);
    return g;
}

static struct tg_service_program *program_of(const struct tg_graph *g)
{
    const tg_buffer_id in[] = {tg_graph_find_buffer(g, "X")}, out[] = {tg_graph_find_buffer(g, "Y"), tg_graph_find_buffer(g, "X")};
    struct tg_service_program *p;
    must(tg_service_program_of_graph(g, in, 1, out, 2, &p, &err));
    assert_int_equal(tg_service_program_input_bytes(p), N_X * ROOM * 8);
    assert_int_equal(tg_service_program_output_bytes(p), (N_X + N_Y) * ROOM * 8);
    return p;
}

static struct tg_service_options options_of(const struct tg_service_setup *setup)
{
    struct tg_service_options o = TG_SERVICE_OPTIONS_INIT;
    o.n_sms_free = 16 - setup->n_teams * setup->n_blocks_each;
    o.queue_capacity = QUEUE;
    o.message_bytes = KEPT_ROOM * 8;
    o.idle_exit_ns = 0;
    o.host_timeout_ns = 0;
    o.setup = setup;
    return o;
}

static struct tg_service *start(const struct tg_service_options *o)
{
    struct tg_service *s;
    must(tg_service_create(o, &s, &err));
    must(tg_service_launch(s, &err));
    must(tg_service_activate(s, &err));
    return s;
}

static void end(struct tg_service *s)
{
    char text[4096] = "";
    must(tg_service_terminate(s, LONG_NS, &err));
    tg_service_destroy(s);
    if (standin.standin_leaks(text, sizeof text) || standin.standin_violations(text, sizeof text))
        fail_msg("%s", text);
}

/* What a run on the CPU gives for an input. */
struct reference {
    struct tg_runtime *rt;
    struct tg_run *run;
    const struct tg_graph *g;
    uint64_t x[N_X * N];
};

static void reference_open(struct reference *r, const struct tg_graph *g)
{
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    ro.n_workers = 1;
    ro.devices = "cpu";
    options.is_deterministic = true;
    r->g = g;
    must(tg_runtime_create(&ro, &r->rt, &err));
    must(tg_run_create(r->rt, g, &options, &r->run, &err));
    must(tg_run_bind(r->run, tg_graph_find_buffer(g, "X"), r->x, &err));
}

static void reference_close(struct reference *r)
{
    tg_run_destroy(r->run);
    tg_runtime_destroy(r->rt);
}

static void check(struct reference *r, const uint64_t *input, const uint64_t *got)
{
    for (int t = 0; t < N_X; t++)
        memcpy(r->x + t * N, input + t * ROOM, N * 8);
    must(tg_run_execute(r->run, &err));
    for (uint32_t t = 0; t < N_Y; t++)
        assert_memory_equal(got + t * ROOM, tg_run_tile(r->run, tg_graph_find_buffer(r->g, "Y"), t), N * 8);
    for (int t = 0; t < N_X; t++)
        assert_memory_equal(got + (N_Y + t) * ROOM, r->x + t * N, N * 8);
}

/* ---- Tests --------------------------------------------------------------------------------*/

static void exchange(struct tg_service *s, struct reference *r, uint32_t n_programs, uint64_t n_rounds)
{
    uint64_t input[QUEUE][N_X * ROOM], got[(N_X + N_Y) * ROOM];
    for (uint64_t n = 0; n < n_rounds; n++) {
        for (uint32_t i = 0; i < QUEUE; i++) {
            for (uint32_t j = 0; j < N_X * ROOM; j++)
                input[i][j] = mix64(seed + n * 1000 + i * 20 + j) | 1; /* not 1300 */
            must(tg_service_submit(s, &(struct tg_service_instance){.program = i % n_programs, .data = input[i]}, NULL, &err));
        }
        for (uint32_t i = 0; i < QUEUE; i++) {
            struct tg_service_answer a;
            must(tg_service_receive(s, LONG_NS, &a, got, sizeof got, &err));
            assert_int_equal(a.status, 0);
            assert_int_equal(a.n_bytes, sizeof got);
            check(&r[a.ticket % QUEUE % n_programs], input[a.ticket % QUEUE], got);
        }
    }
}

static void instances_give_what_runs_give(void **state)
{
    static const struct {
        uint32_t n_teams, n_blocks_each, n_workers_each, n_ahead;
    } shapes[] = {{2, 1, 3, 4}, {1, 2, 2, 2}, {2, 1, 1, 1}};
    (void)state;
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        struct tg_graph *g[2] = {random_graph(seed + k, 20, false), random_graph(seed + k + 100, 60, false)};
        struct tg_service_program *programs[2] = {program_of(g[0]), program_of(g[1])};
        struct tg_service_setup setup = TG_SERVICE_SETUP_INIT;
        struct reference r[2];
        reset();
        setup.programs = programs;
        setup.n_programs = 2;
        setup.n_teams = shapes[k].n_teams;
        setup.n_blocks_each = shapes[k].n_blocks_each;
        setup.n_workers_each = shapes[k].n_workers_each;
        setup.n_ahead = shapes[k].n_ahead;
        struct tg_service_options o = options_of(&setup);
        o.idle_exit_ns = k == 0 ? 1000000 : 0;
        for (int i = 0; i < 2; i++)
            reference_open(&r[i], g[i]);
        struct tg_service *s = start(&o);
        for (int i = 0; i < 2; i++)
            tg_service_program_destroy(programs[i]);
        exchange(s, r, 2, ROUNDS(10));
        for (int i = 0; k == 0 && i < 3; i++) { /* what is shared outlasts a launch */
            nanosleep(&(struct timespec){0, 30000000}, NULL);
            exchange(s, r, 2, 1);
        }
        struct tg_service_metrics m;
        must(tg_service_metrics(s, &m, &err));
        assert_true(k || m.n_launches > 1);
        end(s);
        for (int i = 0; i < 2; i++) {
            reference_close(&r[i]);
            tg_graph_destroy(g[i]);
        }
    }
}

static void a_body_that_fails_fails_its_instance_alone(void **state)
{
    (void)state;
    struct tg_service_setup setup = TG_SERVICE_SETUP_INIT;
    struct reference r;
    uint64_t input[N_X * ROOM] = {0}, got[(N_X + N_Y) * ROOM];
    static const char tasks[] = "{'id': 'good', 'kernel': 'own', 'args': {'n': 5, 'k': 3, 'x': 'W[2]', 'y': 'X[0]'}}, "
                                "{'id': 'bad', 'kernel': 'own', 'args': {'n': 5, 'k': 3, 'x': 'X[1]', 'y': 'X[0]'}}, "
                                "{'copy': {'from': 'X[0]', 'to': 'Y[0]'}}, {'copy': {'from': 'X[1]', 'to': 'Y[1]'}}";
    struct tg_graph *g = device_graph(buffers, user, tasks);
    struct tg_service_program *p = program_of(g);
    setup.programs = &p;
    setup.n_programs = 1;
    setup.n_teams = 2;
    setup.n_workers_each = 2;
    struct tg_service_options o = options_of(&setup);
    reference_open(&r, g);
    struct tg_service *s = start(&o);
    for (int n = 0; n < 20; n++) {
        input[ROOM + n % N] = n % 3 == 1 ? 1300 : 40;
        input[0] = (uint64_t)n;
        int rc = tg_service_run(s, &(struct tg_service_instance){.data = input}, LONG_NS, got, &err);
        if (n % 3 == 1) {
            assert_int_equal(rc, TG_E_TASK_FAILED);
            assert_non_null(strstr(err.text, "code 13"));
        } else {
            must(rc);
            check(&r, input, got);
        }
        input[ROOM + n % N] = 40;
    }
    struct tg_service_status status;
    must(tg_service_status(s, &status, &err));
    assert_int_equal(status.panic.kind, 2);
    assert_int_equal(status.panic.task, 1);
    assert_int_equal(status.panic.code, 13);
    end(s);
    reference_close(&r);
    tg_service_program_destroy(p);
    tg_graph_destroy(g);
}

/* ---- Keeping ------------------------------------------------------------------------------*/

/* A service whose instances take some time and can be kept; alike each time. */
struct keeper {
    struct tg_graph *g;
    struct tg_service_program *program;
    struct tg_service *s;
    size_t n_kept_bytes;
};

static void keeper_open(struct keeper *k, uint64_t key)
{
    struct tg_service_setup setup = TG_SERVICE_SETUP_INIT;
    k->g = random_graph(key, 60, true);
    k->program = program_of(k->g);
    setup.programs = &k->program;
    setup.n_programs = 1;
    setup.n_teams = 2;
    setup.n_workers_each = 3;
    setup.can_keep = true;
    struct tg_service_options o = options_of(&setup);
    k->s = start(&o);
    k->n_kept_bytes = tg_service_kept_bytes(k->s, 0);
    assert_true(k->n_kept_bytes > tg_service_program_input_bytes(k->program));
}

static void keeper_close(struct keeper *k)
{
    must(tg_service_terminate(k->s, LONG_NS, &err));
    tg_service_destroy(k->s);
    tg_service_program_destroy(k->program);
    tg_graph_destroy(k->g);
}

/* How many tasks are done, by what was kept. */
static uint32_t n_done(const void *kept)
{
    const uint32_t *by_worker = tgi_service_n_done(kept);
    return by_worker[0] + by_worker[1] + by_worker[2];
}

/* Begins or goes on, and is kept after some time.  True: it has ended, and its answer is in `got`. */
static bool go_on(struct keeper *k, const uint64_t *input, void *kept, uint64_t *got, uint64_t after_ns)
{
    struct tg_service_instance instance = {.data = input, .kept = kept, .n_kept_bytes = kept ? k->n_kept_bytes : 0};
    uint64_t bytes[KEPT_ROOM];
    struct tg_service_answer a;
    uint64_t ticket;
    must(tg_service_submit(k->s, &instance, &ticket, &err));
    nanosleep(&(struct timespec){0, (long)after_ns}, NULL);
    int rc = tg_service_keep(k->s, ticket, &err);
    assert_true(rc == 0 || rc == TG_E_STATE);
    must(tg_service_receive(k->s, LONG_NS, &a, bytes, sizeof bytes, &err));
    assert_int_equal(a.ticket, ticket);
    if (a.status == 0) {
        assert_int_equal(a.n_bytes, (N_X + N_Y) * ROOM * 8);
        memcpy(got, bytes, a.n_bytes);
        return true;
    }
    assert_int_equal(a.status, TG_E_CANCELLED);
    assert_int_equal(a.n_bytes, a.is_kept ? k->n_kept_bytes : 0);
    if (!a.is_kept) /* it had not begun */
        return go_on(k, input, kept, got, after_ns);
    assert_true(!kept || n_done(bytes) >= n_done(kept));
    memcpy(kept ? kept : got, bytes, k->n_kept_bytes);
    return false;
}

static void what_is_kept_goes_on_elsewhere_where_it_stopped(void **state)
{
    (void)state;
    struct keeper k[2];
    struct reference r;
    struct dice dice = {seed};
    uint64_t input[N_X * ROOM], got[KEPT_ROOM];
    uint32_t n_kept = 0, n_partly = 0, n_tasks;
    keeper_open(&k[0], seed + 40);
    keeper_open(&k[1], seed + 40);
    reference_open(&r, k[0].g);
    n_tasks = k[0].g->n_tasks;
    for (uint64_t round = 0; round < ROUNDS(40) + 5; round++) {
        uint64_t kept[KEPT_ROOM];
        for (uint32_t j = 0; j < N_X * ROOM; j++)
            input[j] = mix64(seed + round * 20 + j) | 1;
        bool is_done = go_on(&k[0], input, NULL, got, roll(&dice, 500000));
        memcpy(kept, got, sizeof kept);
        for (uint32_t i = 1; !is_done; i++) {
            n_kept++;
            n_partly += n_done(kept) > 0 && n_done(kept) < n_tasks;
            is_done = go_on(&k[i % 2], NULL, kept, got, roll(&dice, 500000) * (uint64_t)(i < 6 ? 1 : 20));
        }
        check(&r, input, got);
    }
    printf("# %u times kept, %u of them with a part done\n", n_kept, n_partly);
    assert_true(n_partly > 0);
    reference_close(&r);
    keeper_close(&k[0]);
    keeper_close(&k[1]);
}

/* What passes from one process to the other. */
struct passed {
    uint64_t seed, input[N_X * ROOM], kept[KEPT_ROOM];
};

/* The other process: reads what was kept and ends it. */
static int go_on_here(const char *path)
{
    struct passed passed;
    struct keeper k;
    struct reference r;
    uint64_t got[KEPT_ROOM];
    FILE *f = fopen(path, "r");
    if (!f || fread(&passed, sizeof passed, 1, f) != 1 || fclose(f) || !device_load())
        return 2;
    seed = passed.seed;
    reset();
    keeper_open(&k, seed + 50);
    reference_open(&r, k.g);
    must(tg_service_run(k.s, &(struct tg_service_instance){.kept = passed.kept, .n_kept_bytes = k.n_kept_bytes}, LONG_NS, got, &err));
    check(&r, passed.input, got);
    reference_close(&r);
    keeper_close(&k);
    device_unload();
    return 0;
}

static void what_is_kept_goes_on_in_another_process(void **state)
{
    (void)state;
    struct passed passed = {.seed = seed};
    struct keeper k;
    uint64_t got[KEPT_ROOM];
    char path[200], command[600], self[256] = "";
    keeper_open(&k, seed + 50);
    for (uint32_t tries = 0; tries < 200; tries++) {
        for (uint32_t j = 0; j < N_X * ROOM; j++)
            passed.input[j] = mix64(seed + tries * 20 + j) | 1;
        if (!go_on(&k, passed.input, NULL, got, 100000 + tries * 20000) && n_done(got) > 0 && n_done(got) < k.g->n_tasks)
            break;
        assert_true(tries < 199);
    }
    memcpy(passed.kept, got, sizeof passed.kept);
    keeper_close(&k);
    snprintf(path, sizeof path, "%s/passed", device_folder);
    FILE *f = fopen(path, "w");
    assert_true(f && fwrite(&passed, sizeof passed, 1, f) == 1 && fclose(f) == 0);
    assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    snprintf(command, sizeof command, "%s --go-on %s", self, path);
    assert_int_equal(system(command), 0);
}

static void what_cannot_be_kept_or_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct keeper k, other;
    uint64_t input[N_X * ROOM] = {0}, got[KEPT_ROOM], ticket;
    struct tg_service_setup setup = TG_SERVICE_SETUP_INIT;
    struct tg_service_answer a;
    struct tg_service *s;
    keeper_open(&k, seed + 60);
    keeper_open(&other, seed + 61);
    bool is_done = true;
    for (int tries = 0; is_done && tries < 200; tries++)
        is_done = go_on(&k, input, NULL, got, 0);
    assert_false(is_done);
    struct tg_service_instance instance = {.kept = got, .n_kept_bytes = k.n_kept_bytes};
    assert_int_equal(tg_service_submit(other.s, &instance, NULL, &err), TG_E_INVALID);
    assert_non_null(strstr(err.text, "not of program 0"));
    instance.n_kept_bytes -= 8;
    assert_int_equal(tg_service_submit(k.s, &instance, NULL, &err), TG_E_INVALID);
    assert_int_equal(tg_service_keep(k.s, 1000, &err), TG_E_STATE);
    must(tg_service_send(k.s, &(struct tg_service_message){.body = TG_SERVICE_ECHO}, &ticket, &err));
    int rc = tg_service_keep(k.s, ticket, &err);
    assert_true(rc == TG_E_INVALID || rc == TG_E_STATE);
    must(tg_service_receive(k.s, LONG_NS, &a, NULL, 0, &err));
    /* Cancelling is what it is without. */
    must(tg_service_submit(k.s, &(struct tg_service_instance){.data = input}, &ticket, &err));
    rc = tg_service_cancel(k.s, ticket, &err);
    must(tg_service_receive(k.s, LONG_NS, &a, got, sizeof got, &err));
    assert_true((a.status == TG_E_CANCELLED && !a.is_kept && a.n_bytes == 0) || (a.status == 0 && a.n_bytes));
    keeper_close(&other);
    /* A service that keeps nothing; messages that are too short. */
    setup.programs = &k.program;
    setup.n_programs = 1;
    setup.n_workers_each = 3;
    struct tg_service_options o = options_of(&setup);
    s = start(&o);
    assert_int_equal(tg_service_kept_bytes(s, 0), 0);
    assert_int_equal(tg_service_keep(s, 0, &err), TG_E_STATE);
    instance.n_kept_bytes = k.n_kept_bytes;
    assert_int_equal(tg_service_submit(s, &instance, NULL, &err), TG_E_STATE);
    must(tg_service_terminate(s, LONG_NS, &err));
    tg_service_destroy(s);
    setup.can_keep = true;
    o.message_bytes = (uint32_t)k.n_kept_bytes - 8;
    assert_int_equal(tg_service_create(&o, &s, &err), TG_E_LIMIT);
    keeper_close(&k);
}

/* ---- Refusals -----------------------------------------------------------------------------*/

static void a_graph_that_cannot_be_a_program_is_refused_and_the_task_named(void **state)
{
    static const struct {
        const char *tasks, *in, *out;
        int status;
        const char *text;
    } cases[] = {
        {"{'id': 'again', 'repeat': 3, 'do': [{'copy': {'from': 'X[0]', 'to': 'Y[0]'}}]}", "X", "Y", TG_E_UNSUPPORTED,
         "task \"again\": it has a body of tasks"},
        {"{'for': ['i in 0:2'], 'id': 'c[{i}]', 'kernel': 'commute', 'args': {'id': 'i', 'n': 5, 'acc': 'S[0]', 'in0': 'X[0]'}}", "X", "S", TG_E_UNSUPPORTED,
         "task \"c[0]\": it reduces or commutes"},
        {"{'copy': {'from': 'T[0]', 'to': 'Y[0]'}}", "X", "Y", TG_E_INVALID, "buffer \"T\" is read before"},
        {"{'copy': {'from': 'X[0]', 'to': 'Y[0]'}}", "X", "Y", TG_E_INVALID, "buffer \"Y\" is an output"},
        {"{'copy': {'from': 'X[0]', 'to': 'Y[0]'}}", "X", "W", TG_E_INVALID, "buffer \"W\" is an output"},
        {"{'copy': {'from': 'X[0]', 'to': 'Y[0]'}}", "", "X", TG_E_INVALID, "buffer \"X\" is an output"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tg_graph *g = device_graph(buffers, user, cases[i].tasks);
        const tg_buffer_id in = *cases[i].in ? tg_graph_find_buffer(g, cases[i].in) : 0, out = tg_graph_find_buffer(g, cases[i].out);
        struct tg_service_program *p;
        assert_int_equal(tg_service_program_of_graph(g, &in, *cases[i].in != '\0', &out, 1, &p, &err), cases[i].status);
        if (!strstr(err.text, cases[i].text))
            fail_msg("\"%s\" does not say \"%s\"", err.text, cases[i].text);
        tg_graph_destroy(g);
    }
}

static void what_a_service_cannot_be_made_of_is_said(void **state)
{
    (void)state;
    struct tg_graph *g = random_graph(seed, 10, false), *other;
    struct tg_service_program *p[2] = {program_of(g)};
    struct tg_service_setup setup = TG_SERVICE_SETUP_INIT;
    struct tg_service *s;
    setup.programs = p;
    setup.n_programs = 2;
    setup.n_workers_each = 5; /* of a kernel that has not been compiled for another test */
    struct tg_service_options o = options_of(&setup);
    assert_int_equal(tg_service_program_add_task(p[0], TG_SERVICE_OP_SUM, 0, NULL, 0, NULL, &err), TG_E_STATE);
    assert_int_equal(tg_service_program_add_output(p[0], 0, &err), TG_E_STATE);
    must(tg_service_program_create(0, &p[1], &err));
    must(tg_service_program_add_task(p[1], TG_SERVICE_OP_SUM, 0, NULL, 0, NULL, &err));
    assert_int_equal(tg_service_create(&o, &s, &err), TG_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "a service's are alike"));
    tg_service_program_destroy(p[1]);
    setup.n_programs = 1;
    o.message_bytes = 64; /* one tile and not two */
    assert_int_equal(tg_service_create(&o, &s, &err), TG_E_LIMIT);
    o.message_bytes = KEPT_ROOM * 8;
    rtc.standin_nvrtc_fail("nvrtcCompileProgram", 1, NVRTC_ERROR_COMPILATION);
    assert_int_equal(tg_service_create(&o, &s, &err), TG_E_COMPILE);
    rtc.standin_nvrtc_fail("", 0, NVRTC_SUCCESS);
    tg_service_program_destroy(p[0]);
    /* A kernel without a resident variant. */
    other = device_graph(buffers,
                         ", 'turn': {'params': [{'name': 'x', 'type': 'u64*', 'access': 'inout'}], 'variants': ["
                         "{'on': 'cuda', 'code': 'extern \\\"C\\\" __global__ void turn(unsigned long *x) { *x = ~*x; }', 'grid': [1], 'block': [1]}]}",
                         "{'id': 'odd one', 'kernel': 'turn', 'args': {'x': 'X[0]'}}");
    const tg_buffer_id x = tg_graph_find_buffer(other, "X");
    must(tg_service_program_of_graph(other, &x, 1, &x, 1, &p[0], &err));
    assert_int_equal(tg_service_create(&o, &s, &err), TG_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "task \"odd one\" cannot be one of a service"));
    tg_service_program_destroy(p[0]);
    tg_graph_destroy(other);
    /* One whose functions are wider or narrower than a warp. */
    for (int i = 0; i < 2; i++) {
        char kernel[512], text[64];
        snprintf(kernel, sizeof kernel,
                 ", 'turn': {'params': [{'name': 'x', 'type': 'u64*', 'access': 'inout'}], 'variants': ["
                 "{'on': 'cuda', 'code': 'extern \\\"C\\\" __global__ void turn(unsigned long *x) { *x = ~*x; }', 'grid': [1], 'block': [1]}, "
                 "{'on': 'resident', 'width': '%s', 'code': 'void turn(unsigned long *x) { *x = ~*x; }'}]}",
                 i ? "thread" : "block");
        snprintf(text, sizeof text, "its resident function is a %s wide", i ? "thread" : "block");
        other = device_graph(buffers, kernel, "{'id': 'odd one', 'kernel': 'turn', 'args': {'x': 'X[0]'}}");
        must(tg_service_program_of_graph(other, &x, 1, &x, 1, &p[0], &err));
        assert_int_equal(tg_service_create(&o, &s, &err), TG_E_UNSUPPORTED);
        if (!strstr(err.text, text))
            fail_msg("\"%s\" does not say \"%s\"", err.text, text);
        tg_service_program_destroy(p[0]);
        tg_graph_destroy(other);
    }
    /* One that is a block wide, where all are a warp wide. */
    other = device_graph(buffers,
                         ", 'turn': {'params': [{'name': 'x', 'type': 'u64*', 'access': 'inout'}], 'variants': ["
                         "{'on': 'cuda', 'code': 'extern \\\"C\\\" __global__ void turn(unsigned long *x) { *x = ~*x; }', 'grid': [1], 'block': [1]}, "
                         "{'on': 'resident', 'width': 'block', 'code': 'void turn(unsigned long *x) { if (tg_block_thread() == 0) *x = ~*x; }'}]}",
                         "{'id': 'wide one', 'kernel': 'turn', 'args': {'x': 'X[0]'}}");
    must(tg_service_program_of_graph(other, &x, 1, &x, 1, &p[0], &err));
    assert_int_equal(tg_service_create(&o, &s, &err), TG_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "task \"wide one\" cannot be one of a service: its resident function is a block wide"));
    tg_service_program_destroy(p[0]);
    tg_graph_destroy(other);
    char text[4096] = "";
    if (standin.standin_leaks(text, sizeof text))
        fail_msg("%s", text);
    tg_graph_destroy(g);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--go-on") == 0)
        return go_on_here(argv[2]);
    seed = test_seed(1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(instances_give_what_runs_give, begin),
        cmocka_unit_test_setup(a_body_that_fails_fails_its_instance_alone, begin),
        cmocka_unit_test_setup(what_is_kept_goes_on_elsewhere_where_it_stopped, begin),
        cmocka_unit_test_setup(what_is_kept_goes_on_in_another_process, begin),
        cmocka_unit_test_setup(what_cannot_be_kept_or_does_not_fit_is_refused, begin),
        cmocka_unit_test_setup(a_graph_that_cannot_be_a_program_is_refused_and_the_task_named, begin),
        cmocka_unit_test_setup(what_a_service_cannot_be_made_of_is_said, begin),
    };
    return cmocka_run_group_tests(tests, device_group_load, device_group_unload);
}
