/* Every call of the driver fails once, in graphs of every kind: the run says so, nothing hangs, nothing is left over.
 *
 * A pass is a runtime's whole life: it is created, runs a graph three times, its tiles are fetched, it is destroyed.  A clean
 * pass counts the calls of each entry point; then the same pass is made again for each of them with the nth call of
 * an entry point failing, once, for ever, or as after a fault of the device.  Quick runs draw some of the n;
 * TGRAPH_TEST_FAULTS=once lets each of them fail once, TGRAPH_TEST_ALL=1 in every way; TGRAPH_TEST_SCENARIO=name and
 * TGRAPH_TEST_CALL=name try those alone. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include "graph/error.h"
#include "tests/device_graph.h"
#include "tests/random_graph.h"

enum { N_STARTS = 2, LIMIT_S = 15, MAX_COMPLAINTS = 40 };

static unsigned n_complaints;

/* ---- Graphs -------------------------------------------------------------------------------*/

#define U64(name, n_tiles, more) "'" name "': {'dtype': 'u64', 'shape': [32], 'tiles': [" #n_tiles "], 'init': {'iota': true}" more "}"
#define HASH(id, out, more)      "{'kernel': 'hash', 'args': {'id': " #id ", 'n': 32, 'out': '" out "'" more "}}"
#define MIX(id, out, more)       "{'kernel': 'mix', 'args': {'id': " #id ", 'n': 32, 'out': '" out "'" more "}}"
/* On some place, with some inputs. */
#define ON(on, kernel, id, out, more) \
    "{'on': '" on "', 'kernel': '" kernel "', 'args': {'id': " #id ", 'n': 32, 'out': '" out "'" more "}}"

struct scenario {
    const char *name, *buffers, *kernels, *tasks;
    int n_devices;
    bool has_no_peers, has_nccl, is_recorded, keeps_data, is_program_memory, is_staged;
    bool has_other_memory; /* the program's, at each other start */
    enum tg_executor executor;
    const char *policy;
    uint64_t device_bytes;
};

static const char collective_buffers[] = U64("A", 4, ", 'home': 'cyclic:{i}'") ", " U64("B", 4, ", 'home': 'cyclic:{i}'");
static const char collective_tasks[] =
    "{'for': ['i in 0:4'], 'kernel': 'mix', 'args': {'id': 'i', 'n': 32, 'out': 'A[i]'}}, "
    "{'for': ['i in 0:4'], 'kernel': 'mix', 'args': {'id': 'i+4', 'n': 32, 'out': 'B[i]'}}, "
    "{'collective': 'allreduce', 'op': 'sum', 'buffers': 'A[*]'}, {'collective': 'broadcast', 'root': 1, 'buffers': 'B[*]'}, "
    "{'collective': 'allgather', 'buffers': 'B[*]'}, {'collective': 'sendrecv', 'buffers': ['A[1]', 'A[2]']}, "
    "{'for': ['i in 0:4'], 'kernel': 'mix', 'args': {'id': 'i+8', 'n': 32, 'out': 'A[i]', 'in0': 'B[i]'}}";

static const struct scenario scenarios[] = {
    {.name = "one device",
     .buffers = U64("A", 4, "") ", 'N': {'dtype': 'u64', 'shape': [32], 'tiles': [2], 'init': 'none'}, "
                "'H': {'dtype': 'u16', 'shape': [32], 'init': 'none'}",
     .tasks = HASH(1, "A[0]", "") ", " MIX(2, "A[1]", ", 'in0': 'A[0]'") ", " MIX(3, "A[2]", ", 'in0': 'A[0]'") ", "
              MIX(4, "A[3]", ", 'in0': 'A[1]', 'in1': 'A[2]'") ", {'fill': 'N[0]', 'value': 4294967297}, "
              "{'fill': 'N[1]', 'value': 77}, {'fill': 'H', 'value': 7}, {'copy': {'from': 'A[3]', 'to': 'A[0]'}}, {'barrier': true}, "
              MIX(5, "A[1]", ", 'in0': 'N[0]', 'in1': 'N[1]'"),
     .n_devices = 1},
    {.name = "two devices",
     .buffers = U64("A", 4, ", 'home': 'cyclic:{i}'"),
     .tasks = "{'for': ['r in 0:2'], 'do': ["
              "{'for': ['i in 0:4'], 'kernel': 'mix', 'args': {'id': 'r*4+i', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+1)%4]'}}]}",
     .n_devices = 2},
    {.name = "three devices that do not reach each other",
     .buffers = U64("A", 3, ", 'home': 'cyclic:{i}'"),
     .tasks = "{'for': ['i in 0:6'], 'kernel': 'mix', 'args': {'id': 'i', 'n': 32, 'out': 'A[i%3]', 'in0': 'A[(i+1)%3]'}}",
     .n_devices = 3,
     .has_no_peers = true},
    {.name = "little memory",
     .buffers = U64("A", 8, ""),
     .tasks = "{'for': ['r in 0:2', 'i in 0:8'], 'kernel': 'mix', "
              "'args': {'id': 'r*8+i', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+3)%8]'}}",
     .n_devices = 1,
     .device_bytes = 3 * 256},
    {.name = "little memory on two devices",
     .buffers = U64("A", 8, ", 'home': 'cyclic:{i}'"),
     .tasks = "{'for': ['r in 0:2', 'i in 0:8'], 'kernel': 'mix', "
              "'args': {'id': 'r*8+i', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+3)%8]'}}",
     .n_devices = 2,
     .device_bytes = 2 * 256},
    {.name = "collectives by NCCL",
     .buffers = collective_buffers,
     .tasks = collective_tasks,
     .n_devices = 4,
     .has_nccl = true},
    {.name = "exchanges in little memory",
     .buffers = U64("A", 2, ", 'home': 'cyclic:{i}'") ", " U64("B", 2, ", 'home': 'cyclic:{i}'"),
     .tasks = "{'for': ['r in 0:2'], 'do': [{'for': ['i in 0:2'], 'kernel': 'mix', 'args': {'id': 'r*8+i', 'n': 32, 'out': 'A[i]'}}, "
              "{'collective': 'alltoall', 'buffers': 'A[*]'}, "
              "{'for': ['i in 0:2'], 'kernel': 'mix', 'args': {'id': 'r*8+i+2', 'n': 32, 'out': 'B[i]', 'in0': 'A[i]'}}, "
              "{'collective': 'alltoall', 'buffers': 'B[*]'}]}",
     .n_devices = 2,
     .has_nccl = true,
     .device_bytes = 2 * 256},
    {.name = "collectives by the host",
     .buffers = U64("A", 3, ", 'home': 'cyclic:{i}'"),
     .tasks = "{'for': ['i in 0:3'], 'kernel': 'mix', 'args': {'id': 'i', 'n': 32, 'out': 'A[i]'}}, "
              "{'collective': 'allreduce', 'op': 'sum', 'buffers': 'A[*]'}, "
              "{'for': ['i in 0:3'], 'kernel': 'mix', 'args': {'id': 'i+8', 'n': 32, 'out': 'A[i]'}}",
     .n_devices = 3},
    {.name = "bodies",
     .buffers = U64("A", 2, "") ", 'x': {'dtype': 'f64', 'shape': [1], 'init': {'fill': 8}}, "
                "'go': {'dtype': 'i32', 'shape': [1], 'init': {'fill': 1}}",
     .tasks = MIX(1, "A[0]", "") ", {'repeat': 2, 'do': [" MIX(2, "A[0]", ", 'in0': 'A[1]'") ", " MIX(3, "A[1]", ", 'in0': 'A[0]'")
              "]}, {'while': 'go', 'max': 9, 'do': [" MIX(4, "A[0]", "") ", "
              "{'kernel': 'scale', 'args': {'n': 1, 'a': 0.5, 'x': 'x'}}, "
              "{'kernel': 'is_above', 'args': {'x': 'x', 'limit': 3, 'go': 'go'}}]}, "
              "{'if': 'go', 'then': [" MIX(5, "A[1]", "") "], 'else': [" MIX(6, "A[1]", "") "]}, " MIX(7, "A[1]", ", 'in0': 'A[0]'"),
     .n_devices = 1},
    {.name = "devices and CPUs",
     .buffers = U64("A", 4, ""),
     .tasks = ON("cuda", "mix", 1, "A[0]", "") ", " ON("cpu", "mix", 2, "A[1]", "") ", "
              ON("cpu", "mix", 3, "A[2]", ", 'in0': 'A[0]'") ", " ON("cuda", "mix", 4, "A[3]", ", 'in0': 'A[1]', 'in1': 'A[2]'") ", "
              ON("cpu", "mix", 5, "A[0]", ", 'in0': 'A[3]'") ", " ON("cuda", "mix", 6, "A[1]", ", 'in0': 'A[0]'"),
     .n_devices = 2},
    {.name = "groups",
     .buffers = U64("A", 3, ""),
     .tasks = "{'for': ['i in 0:4'], 'kernel': 'add', 'args': {'id': 'i', 'n': 32, 'acc': 'A[0]', 'in0': 'A[1]'}}, "
              "{'for': ['i in 0:4'], 'on': 'cuda', 'kernel': 'commute', 'args': {'id': 'i', 'n': 32, 'acc': 'A[1]'}}, "
              "{'for': ['i in 0:4'], 'on': 'cpu+cuda', 'kernel': 'commute', 'args': {'id': 'i+9', 'n': 32, 'acc': 'A[2]'}}",
     .n_devices = 1},
    {.name = "a kernel from source",
     .buffers = U64("A", 2, ""),
     .kernels = ", 'twice': {'params': [{'name': 'n', 'type': 'i32'}, {'name': 'x', 'type': 'u64*', 'access': 'inout'}], "
                "'variants': [{'on': 'cuda', 'grid': ['ceildiv(n, 32)'], 'block': [32], 'cluster': [1], 'code': ["
                "'extern \\'C\\' __global__ void twice(int n, unsigned long long *x)', "
                "'{ int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) x[i] = 2 * x[i] + 1; }']}, "
                "{'on': 'cpu', 'c': ['#include \\'tgraph.h\\'', '#include <stdint.h>', "
                "'int twice(void **args, const struct tg_context *c) { (void)c; uint64_t *x = *(uint64_t **)args[1];', "
                "'for (int i = 0; i < *(int *)args[0]; i++) x[i] = 2 * x[i] + 1; return 0; }']}]}",
     .tasks = MIX(1, "A[0]", "") ", {'kernel': 'twice', 'args': {'n': 32, 'x': 'A[0]'}}, " MIX(2, "A[1]", ", 'in0': 'A[0]'"),
     .n_devices = 1},
    {.name = "a recorded run",
     .buffers = U64("A", 2, ", 'home': 'cyclic:{i}'"),
     .tasks = MIX(1, "A[0]", "") ", {'repeat': 2, 'do': [" MIX(2, "A[1]", ", 'in0': 'A[0]'") "]}, "
              MIX(3, "A[0]", ", 'in0': 'A[1]'") ", {'fill': 'A[1]', 'value': 3}",
     .n_devices = 2,
     .is_recorded = true},
    {.name = "data that stays",
     .buffers = U64("A", 4, ""),
     .tasks = "{'for': ['i in 0:4'], 'kernel': 'mix', 'args': {'id': 'i', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+1)%4]'}}",
     .n_devices = 2,
     .keeps_data = true},
    {.name = "the program's memory",
     .buffers = U64("A", 2, "") ", " U64("B", 2, ""),
     .tasks = MIX(1, "A[0]", ", 'in0': 'B[0]'") ", " MIX(2, "A[1]", ", 'in0': 'A[0]'") ", " ON("cpu", "mix", 3, "B[1]", ", 'in0': 'A[1]'"),
     .n_devices = 1,
     .is_program_memory = true},
    {.name = "a graph",
     .buffers = U64("A", 4, "") ", 'N': {'dtype': 'u64', 'shape': [32], 'tiles': [2], 'init': 'none'}",
     .tasks = HASH(1, "A[0]", "") ", " MIX(2, "A[1]", ", 'in0': 'A[0]'") ", " MIX(3, "A[2]", ", 'in0': 'A[0]'") ", "
              MIX(4, "A[3]", ", 'in0': 'A[1]', 'in1': 'A[2]'") ", {'fill': 'N[0]', 'value': 4294967297}, "
              "{'fill': 'N[1]', 'value': 77}, {'copy': {'from': 'A[3]', 'to': 'A[0]'}}, {'barrier': true}, "
              MIX(5, "A[1]", ", 'in0': 'N[0]', 'in1': 'N[1]'"),
     .n_devices = 1,
     .executor = TG_EXECUTOR_GRAPH},
    {.name = "a graph on two devices, of the program's memory",
     .buffers = U64("A", 2, ", 'home': 'cyclic:{i}'") ", " U64("B", 2, ", 'home': 'cyclic:{i}'"),
     .tasks = "{'for': ['r in 0:2', 'i in 0:2'], 'kernel': 'mix', "
              "'args': {'id': 'r*2+i', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+1)%2]', 'in1': 'B[i]'}}",
     .n_devices = 2,
     .is_program_memory = true,
     .executor = TG_EXECUTOR_GRAPH},
    {.name = "bodies in a graph",
     .buffers = U64("A", 2, "") ", 'x': {'dtype': 'f64', 'shape': [1], 'init': {'fill': 8}}, "
                "'go': {'dtype': 'i32', 'shape': [1], 'init': {'fill': 1}}",
     .tasks = MIX(1, "A[0]", "") ", {'repeat': 2, 'do': [" MIX(2, "A[0]", ", 'in0': 'A[1]'") ", " MIX(3, "A[1]", ", 'in0': 'A[0]'")
              "]}, {'while': 'go', 'max': 9, 'do': [" MIX(4, "A[0]", "") ", "
              "{'kernel': 'scale', 'args': {'n': 1, 'a': 0.5, 'x': 'x'}}, "
              "{'if': 'go', 'then': [" MIX(5, "A[1]", "") "], 'else': [" MIX(6, "A[1]", "") "]}, "
              "{'kernel': 'is_above', 'args': {'x': 'x', 'limit': 3, 'go': 'go'}}]}, " MIX(7, "A[1]", ", 'in0': 'A[0]'"),
     .n_devices = 1,
     .executor = TG_EXECUTOR_GRAPH},
    {.name = "a graph whose tasks are timed",
     .buffers = U64("A", 2, ", 'home': 'cyclic:{i}'"),
     .tasks = MIX(1, "A[0]", "") ", {'repeat': 2, 'do': [" MIX(2, "A[1]", ", 'in0': 'A[0]'") "]}, "
              MIX(3, "A[0]", ", 'in0': 'A[1]'") ", {'on': 'cuda', 'fill': 'A[1]', 'value': 3}",
     .n_devices = 2,
     .is_recorded = true,
     .executor = TG_EXECUTOR_GRAPH},
    {.name = "inside a resident kernel",
     .buffers = U64("A", 4, ""),
     .tasks = HASH(1, "A[0]", "") ", {'for': ['r in 0:2', 'i in 0:4'], 'kernel': 'mix', "
              "'args': {'id': 'r*4+i+2', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+1)%4]'}}",
     .n_devices = 1,
     .executor = TG_EXECUTOR_RESIDENT},
    {.name = "where a policy decides",
     .buffers = U64("A", 4, ""),
     .tasks = "{'for': ['r in 0:2', 'i in 0:4'], 'on': 'cuda', 'kernel': 'mix', "
              "'args': {'id': 'r*4+i', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+1)%4]'}}",
     .n_devices = 2,
     .policy = "heft"},
    {.name = "memory that is not pinned",
     .buffers = "'A': {'dtype': 'u64', 'shape': [32768], 'tiles': [2], 'init': {'iota': true}}",
     .tasks = MIX(1, "A[0]", ", 'in0': 'A[1]'") ", " MIX(2, "A[1]", ", 'in0': 'A[0]'"),
     .n_devices = 1,
     .is_program_memory = true,
     .is_staged = true},
    {.name = "a graph whose copies go elsewhere each time",
     .buffers = U64("A", 2, ""),
     .tasks = MIX(1, "A[0]", ", 'in0': 'A[1]'") ", " MIX(2, "A[1]", ", 'in0': 'A[0]'"),
     .n_devices = 1,
     .is_program_memory = true,
     .has_other_memory = true,
     .executor = TG_EXECUTOR_GRAPH},
    {.name = "collectives in a graph",
     .buffers = collective_buffers,
     .tasks = collective_tasks,
     .n_devices = 4,
     .has_nccl = true,
     .executor = TG_EXECUTOR_GRAPH},
};
enum { N_SCENARIOS = sizeof scenarios / sizeof *scenarios };

/* ---- Calls --------------------------------------------------------------------------------*/

static const char *const call_names[] = {
#define NAME_X(name, symbol, since, params) #name,
    TGI_CUDA_CALLS(NAME_X)
#undef NAME_X
};
enum { N_CALLS = sizeof call_names / sizeof *call_names };

static bool is_answer(const char *call, int code)
{
    return strcmp(call, "cuFuncGetParamInfo") == 0 && code == CUDA_ERROR_INVALID_VALUE;
}

/* The stand-in for NCCL looks up, changes and restores the thread's context; that is not what is tested here. */
static bool is_for_nccl(const struct scenario *s, const char *call)
{
    return s->has_nccl && (strcmp(call, "cuCtxGetCurrent") == 0 || strcmp(call, "cuCtxSetCurrent") == 0);
}

/* Where no report is right, a failure is no loss: a slower way is taken or something is given back that goes with the
 * process at the latest.  Nothing else may fail in silence. */
static bool may_be_silent(const char *call, int code, enum standin_fail how)
{
    static const char *const calls[] = {
        "cuMemHostRegister",         /* copies from memory that is not pinned are slower */
        "cuPointerGetAttributes",    /* so are those from memory of which nobody can say whether it is */
        "cuGraphExecMemcpyNodeSetParams", /* the graph is made anew */
        "cuMemHostUnregister",       /* the rest: ends of things */
        "cuMemFree",
        "cuMemFreeHost",
        "cuEventDestroy",
        "cuGraphDestroy",
        "cuGraphExecDestroy",
        "cuStreamDestroy",
        "cuModuleUnload",
        "cuCtxPopCurrent",
        "cuDevicePrimaryCtxRelease",
        "cuGetErrorName",            /* names of errors, of which there are none */
        "cuGetErrorString",
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (strcmp(call, calls[i]) == 0)
            return true;
    /* This is how the driver says that a kernel has no such argument. */
    if (is_answer(call, code))
        return true;
    /* On the way to memory: tried once more, with less or after other tiles have gone. */
    bool is_reserving = strcmp(call, "cuMemAlloc") == 0 || strcmp(call, "cuMemHostAlloc") == 0 || strcmp(call, "cuCtxSetCurrent") == 0 ||
                        strcmp(call, "cuCtxPushCurrent") == 0;
    return is_reserving && code == CUDA_ERROR_OUT_OF_MEMORY && how == STANDIN_ONCE;
}

/* A thread that cannot enter does not take the submitter's place, and the submitter's own thread does the work. */
static bool may_be_declined(const char *call) { return strcmp(call, "cuCtxPushCurrent") == 0; }

enum phase { OPENING, PREPARING, RUNNING };

/* ---- A pass -------------------------------------------------------------------------------*/

static struct {
    const struct scenario *scenario;
    struct tg_graph *graph;
    uint64_t *expected, *have;
    uint64_t *memory, *other; /* the program's */
    const char *call; /* the case at hand, for reports */
    uint64_t nth;
    int code;
    enum standin_fail how;
} at;

struct outcome {
    int status;          /* the first failure */
    enum phase phase;    /* of it */
    bool has_tile_failed, has_tile_failed_first;
    bool has_told_why;   /* a graph was asked for, and the run went to streams */
    bool is_hit_in_time; /* the call failed before things were given back, of which nobody is told */
    struct tg_error err;
};

static void describe(char *text, size_t size)
{
    static const char *const how[] = {"once", "for ever", "like a fault of the device", "not at all"};
    snprintf(text, size, "\"%s\", call %llu of %s fails with %d %s", at.scenario->name, (unsigned long long)at.nth,
             at.call ? at.call : "none", at.code, how[at.how]);
}

#define COMPLAIN(...)                                        \
    do {                                                     \
        char case_[256];                                     \
        describe(case_, sizeof case_);                       \
        fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, case_); \
        fprintf(stderr, __VA_ARGS__);                        \
        fputc('\n', stderr);                                 \
        if (++n_complaints == MAX_COMPLAINTS)                \
            abort();                                         \
    } while (0)

static void too_long(int signal)
{
    char text[300];
    (void)signal;
    describe(text, sizeof text);
    fprintf(stderr, "%s: not over after %d seconds\n", text, LIMIT_S);
    abort();
}

static void note(struct outcome *o, int status, enum phase phase, const struct tg_error *err)
{
    if (status == 0 || o->status)
        return;
    o->status = status;
    o->phase = phase;
    o->has_tile_failed_first = o->has_tile_failed;
    o->err = *err;
    if (err->status != status || !err->text[0])
        COMPLAIN("status %d, but the error has %d and the text \"%s\"", status, err->status, err->text);
}

static void check_data(struct tg_run *run, struct outcome *o)
{
    o->has_tile_failed |= !device_read(run, at.graph, at.have);
    if (o->status == 0 && !o->has_tile_failed && memcmp(at.have, at.expected, device_words(at.graph) * sizeof *at.have))
        COMPLAIN("success, but the results are wrong");
}

/* The buffers of one graph are all of the same size where the program owns them. */
static size_t buffer_words(const struct tg_graph *g) { return device_words(g) / g->space->n_buffers; }

static int init_memory(struct tg_run *run, int start, struct tg_error *err)
{
    int rc = 0;
    for (uint32_t b = 0; rc == 0 && at.scenario->is_program_memory && b < at.graph->space->n_buffers; b++) {
        uint64_t *words = (at.scenario->has_other_memory && start % 2 ? at.other : at.memory) + buffer_words(at.graph) * b;
        rc = tg_run_bind(run, b, words, err);
        for (size_t i = 0; i < buffer_words(at.graph); i++)
            words[i] = i;
    }
    return rc;
}

static struct outcome pass(void)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct outcome o = {0};
    struct tg_runtime *rt;
    struct tg_run *run;
    struct tg_error err;
    options.is_recorded = at.scenario->is_recorded;
    options.keep_data = at.scenario->keeps_data;
    options.executor = at.scenario->executor;
    options.policy = at.scenario->policy;
    memset(&err, 0, sizeof err);
    int rc = device_try_runtime("cuda", at.scenario->device_bytes, &rt, &err);
    note(&o, rc, OPENING, &err);
    o.is_hit_in_time = true;
    if (rc)
        return o;
    rc = tg_run_create(rt, at.graph, &options, &run, &err);
    note(&o, rc, PREPARING, &err);
    for (int i = 0; rc == 0 && i < N_STARTS; i++) {
        int answer = init_memory(run, i, &err);
        answer = answer ? answer : tg_run_execute(run, &err);
        const char *why;
        note(&o, answer, RUNNING, &err);
        tg_run_executor(run, &why);
        o.has_told_why |= why != NULL;
        if (i == N_STARTS - 1 || !options.keep_data)
            check_data(run, &o);
    }
    o.is_hit_in_time = standin.standin_fail_hits() > 0;
    if (rc == 0)
        tg_run_destroy(run);
    tg_runtime_destroy(rt);
    return o;
}

/* ---- Cases --------------------------------------------------------------------------------*/

static void expect_nothing_left(void)
{
    char text[4096];
    if (standin.standin_pending_accesses())
        COMPLAIN("work is still queued");
    if (nccl.standin_nccl_alive()) /* first, as it lets go of what aborted ones held */
        COMPLAIN("communicators are left over");
    if (standin.standin_leaks(text, sizeof text))
        COMPLAIN("left over: %s", text);
    if (standin.standin_violations(text, sizeof text))
        COMPLAIN("seen: %s", text);
}

/* Calls that are made for a task alone; a graph is launched for all of them. */
static bool is_for_a_task(const char *call)
{
    static const char *const calls[] = {"cuLaunchKernel", "cuLaunchKernelEx", "cuMemsetD16Async", "cuMemcpyHtoDAsync", "cuMemcpyPeerAsync", "cuMemAlloc",
                                        "cuMemsetD32Async", "cuStreamWaitEvent", "cuEventElapsedTime",
                                        "cuGraphAddKernelNode", "cuGraphAddChildGraphNode", "cuGraphAddMemsetNode"};
    if (at.scenario->executor != TG_EXECUTOR_STREAMS && strcmp(call, "cuStreamWaitEvent") == 0)
        return false;
    if (at.scenario->executor == TG_EXECUTOR_GRAPH && at.scenario->is_recorded && strcmp(call, "cuLaunchKernel") == 0) /* it looks at a clock */
        return false;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (strcmp(call, calls[i]) == 0)
            return true;
    return false;
}

static void expect_report(const struct outcome *o)
{
    if (o->status == 0) {
        if (!o->has_tile_failed && !o->has_told_why && o->is_hit_in_time && !may_be_silent(at.call, at.code, at.how) &&
            !may_be_declined(at.call))
            COMPLAIN("nobody was told");
        return;
    }
    bool is_librarys = at.scenario->has_nccl && strstr(o->err.text, "NCCL says");
    /* Where the failure itself is ignored, what the fault does to later calls is told. */
    bool is_later = may_be_silent(at.call, at.code, at.how) || o->has_tile_failed_first ||
                    (o->phase != OPENING && may_be_declined(at.call));
    if (!strstr(o->err.text, is_later ? "returned CUDA_ERROR" : at.call) && !is_librarys &&
        !is_answer(at.call, at.code))
        COMPLAIN("the text does not name it: %s", o->err.text);
    bool is_of_many = strstr(o->err.text, "a resident program") != NULL; /* which is all tasks inside it */
    if (o->phase == RUNNING && is_for_a_task(at.call) && !is_later && !is_of_many && (!o->err.task[0] || !strstr(o->err.text, o->err.task)))
        COMPLAIN("the text does not name the task: %s", o->err.text);
    if (tg_status_exit_code(o->status) == 0)
        COMPLAIN("status %d lets a program exit with 0", o->status);
}

static void expect_new_runtime_works(void)
{
    const char *call = at.call;
    struct outcome o;
    standin.standin_fail_clear();
    o = pass();
    at.call = call;
    if (o.status || o.has_tile_failed)
        COMPLAIN("a new runtime does not work afterwards: %s", o.err.text);
    expect_nothing_left();
}

static void try_one(const char *call, uint64_t nth, int code, enum standin_fail how, uint64_t seed)
{
    at.call = call;
    at.nth = nth;
    at.code = code;
    at.how = how;
    alarm(LIMIT_S);
    device_reset(at.scenario->n_devices, seed, !at.scenario->has_no_peers);
    standin.standin_fail(call, nth, code, how);
    struct outcome o = pass();
    bool is_hit = standin.standin_fail_hits() > 0;
    if (is_hit)
        expect_report(&o);
    else if (o.status || o.has_tile_failed)
        COMPLAIN("failed all the same: %s", o.err.text);
    if (how == STANDIN_ONCE || !is_hit) {
        expect_nothing_left();
        expect_new_runtime_works();
    }
    alarm(0);
}

/* Which of n calls to let fail: all, or the first and the last, or one of them. */
static bool is_chosen(uint64_t nth, uint64_t n, enum standin_fail how, struct dice *d)
{
    bool is_end = how == STANDIN_ONCE && !IS_SLOW && (nth == 1 || nth == n);
    if (getenv("TGRAPH_TEST_ALL") || (how == STANDIN_ONCE && getenv("TGRAPH_TEST_FAULTS")))
        return true;
    return is_end || roll(d, (uint32_t)n * (IS_SLOW ? 4 : 1)) == 0;
}

static void open_scenario(const struct scenario *s)
{
    memset(&at, 0, sizeof at);
    at.scenario = s;
    at.how = STANDIN_SKIP;
    at.graph = device_graph(s->buffers, s->kernels ? s->kernels : "", s->tasks);
    at.expected = device_expected(at.graph, s->keeps_data, N_STARTS);
    at.have = calloc(device_words(at.graph) + 1, sizeof *at.have);
    at.memory = calloc(device_words(at.graph) + 1, sizeof *at.memory);
    at.other = calloc(device_words(at.graph) + 1, sizeof *at.other);
    assert_true(at.have && at.memory && at.other);
    for (uint32_t b = 0; s->is_program_memory && b < at.graph->space->n_buffers; b++)
        at.graph->space->buffers[b].host = at.memory + buffer_words(at.graph) * b;
    setenv("TGRAPH_NCCL", s->has_nccl ? device_nccl_path : "off", 1); /* off: there is no such library */
    if (s->is_staged)
        setenv("TGRAPH_PINNING", "off", 1);
}

static void close_scenario(void)
{
    unsetenv("TGRAPH_PINNING");
    tg_graph_destroy(at.graph);
    free(at.expected);
    free(at.have);
    free(at.memory);
    free(at.other);
}

static void count_calls(uint64_t *counts, uint64_t seed)
{
    device_reset(at.scenario->n_devices, seed, !at.scenario->has_no_peers);
    alarm(LIMIT_S);
    struct outcome o = pass();
    alarm(0);
    if (o.status || o.has_tile_failed)
        COMPLAIN("failed: %s", o.err.text);
    expect_nothing_left();
    for (int i = 0; i < N_CALLS; i++)
        counts[i] = standin.standin_calls(call_names[i]);
}

static void fail_calls(enum standin_fail how, const int *codes, int n_codes)
{
    uint64_t seed = test_seed(1), n_cases = 0;
    const char *only = getenv("TGRAPH_TEST_SCENARIO"), *only_call = getenv("TGRAPH_TEST_CALL");
    struct dice d = {mix64(seed)};
    for (int s = 0; s < N_SCENARIOS; s++) {
        uint64_t counts[N_CALLS];
        if (only && strcmp(only, scenarios[s].name))
            continue;
        open_scenario(&scenarios[s]);
        count_calls(counts, seed);
        for (int c = 0; c < N_CALLS; c++) {
            if (is_for_nccl(&scenarios[s], call_names[c]) || (only_call && strcmp(only_call, call_names[c])))
                continue;
            for (uint64_t nth = 1; nth <= counts[c]; nth++)
                if (is_chosen(nth, counts[c], how, &d)) {
                    try_one(call_names[c], nth, codes[roll(&d, (uint32_t)n_codes)], how, seed + nth);
                    n_cases++;
                }
        }
        close_scenario();
    }
    printf("%llu cases\n", (unsigned long long)n_cases);
    assert_int_equal(n_complaints, 0);
}

static void a_call_that_fails_once_is_reported_and_leaves_nothing(void **state)
{
    (void)state;
    static const int codes[] = {CUDA_ERROR_INVALID_VALUE, CUDA_ERROR_OUT_OF_MEMORY, CUDA_ERROR_UNKNOWN};
    fail_calls(STANDIN_ONCE, codes, 3);
}

static void a_call_that_fails_for_ever_hangs_nothing(void **state)
{
    (void)state;
    static const int codes[] = {CUDA_ERROR_INVALID_VALUE, CUDA_ERROR_OUT_OF_MEMORY, CUDA_ERROR_UNKNOWN};
    fail_calls(STANDIN_FOREVER, codes, 3);
}

static void a_fault_of_the_device_at_any_call_ends_the_run(void **state)
{
    (void)state;
    static const int codes[] = {CUDA_ERROR_ILLEGAL_ADDRESS, CUDA_ERROR_LAUNCH_FAILED, CUDA_ERROR_ECC_UNCORRECTABLE};
    fail_calls(STANDIN_STICKY, codes, 3);
}

/* ---- Libraries ----------------------------------------------------------------------------*/

static const struct scenario *find_scenario(const char *name)
{
    for (int i = 0; i < N_SCENARIOS; i++)
        if (strcmp(scenarios[i].name, name) == 0)
            return &scenarios[i];
    abort();
}

/* One pass with a call of a library failing; false: it was not called so often. */
static bool try_nccl(const char *call, unsigned nth)
{
    at.call = call;
    at.nth = nth;
    alarm(LIMIT_S);
    device_reset(at.scenario->n_devices, nth, true);
    nccl.standin_nccl_fail(call, nth, ncclSystemError);
    struct outcome o = pass();
    bool is_hit = nccl.standin_nccl_fail_hits() > 0;
    /* Without a version there is no library that will do, and the host does the work; the rest: ends of things. */
    bool may_be_silent = strcmp(call, "ncclGetVersion") == 0 || strcmp(call, "ncclCommDestroy") == 0;
    if (is_hit && o.status == 0 && !may_be_silent)
        COMPLAIN("nobody was told");
    /* What is noticed at the end of a run may be of any of its collectives. */
    bool has_no_task = !o.err.task[0] && strcmp(call, "ncclCommGetAsyncError") != 0;
    if (o.status && (!strstr(o.err.text, "NCCL says: unhandled system error") || !strstr(o.err.text, "over cuda:") || has_no_task))
        COMPLAIN("the text does not name library, devices and task: %s", o.err.text);
    expect_nothing_left();
    nccl.standin_nccl_fail(call, 1, ncclSuccess);
    expect_new_runtime_works();
    alarm(0);
    return is_hit;
}

static void a_call_of_nccl_that_fails_is_reported(void **state)
{
    static const char *const calls[] = {"ncclGetVersion", "ncclCommInitAll", "ncclCommDestroy", "ncclCommGetAsyncError",
                                        "ncclGroupStart", "ncclGroupEnd", "ncclAllReduce", "ncclBroadcast",
                                        "ncclAllGather", "ncclSend", "ncclRecv"};
    static const char *const names[] = {"collectives by NCCL", "exchanges in little memory", "collectives in a graph"};
    (void)state;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        size_t n_called = 0;
        open_scenario(find_scenario(names[k]));
        for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
            unsigned nth = 1;
            while (try_nccl(calls[i], nth) && nth < (IS_SLOW ? 2 : 12))
                nth++;
            n_called += nth > 1;
        }
        close_scenario();
        assert_int_equal(n_called, k == 1 ? 8 : sizeof calls / sizeof *calls); /* exchanges are sent and received */
    }
    assert_int_equal(n_complaints, 0);
}

/* What a rank waits for never comes, and the library alone knows. */
static void an_error_that_nccl_notices_by_itself_ends_the_run(void **state)
{
    struct tg_run *run;
    struct tg_error err;
    (void)state;
    open_scenario(find_scenario("collectives by NCCL"));
    device_reset(at.scenario->n_devices, 1, true);
    alarm(LIMIT_S);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    assert_int_equal(tg_run_create(rt, at.graph, NULL, &run, &err), 0);
    assert_int_equal(tg_run_execute(run, &err), 0);
    nccl.standin_nccl_hang(true);
    assert_int_equal(tg_run_start(run, &err), 0);
    while (nccl.standin_nccl_operations() < 2 * 4) /* all of both starts are enqueued */
        usleep(1000);
    nccl.standin_nccl_async(ncclRemoteError);
    assert_int_not_equal(tg_run_wait(run, &err), 0);
    assert_non_null(strstr(err.text, "over cuda:"));
    assert_non_null(strstr(err.text, "NCCL says: remote process exited"));
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    expect_nothing_left();
    expect_new_runtime_works();
    close_scenario();
    alarm(0);
    assert_int_equal(n_complaints, 0);
}

/* Its commands end like any others then: only the library says that what they were to write is not there. */
static void a_collective_that_ends_without_its_data_fails_its_run(void **state)
{
    struct tg_run *run, *other;
    struct tg_error err;
    (void)state;
    setenv("TGRAPH_NCCL", device_nccl_path, 1);
    struct tg_graph *g = device_graph(U64("A", 2, ", 'home': 'cyclic:{i}'"), "",
                                      MIX(1, "A[0]", "") ", " MIX(2, "A[1]", "") ", {'id': 'sum', 'collective': 'allreduce', "
                                      "'op': 'sum', 'buffers': 'A[*]'}");
    for (int by_other = 0; by_other < 2; by_other++) {
        device_reset(2, 1, true);
        alarm(LIMIT_S);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        assert_int_equal(tg_run_create(rt, g, NULL, &run, &err), 0);
        assert_int_equal(tg_run_create(rt, g, NULL, &other, &err), 0);
        uint64_t before = nccl.standin_nccl_operations();
        standin.standin_hold("tgk_hash_inout", true);
        assert_int_equal(tg_run_start(run, &err), 0);
        while (nccl.standin_nccl_operations() == before)
            usleep(1000);
        if (by_other) { /* what fails ends everything that the library is at */
            nccl.standin_nccl_fail("ncclAllReduce", 1, ncclSystemError);
            assert_int_equal(tg_run_start(other, &err), 0);
            while (nccl.standin_nccl_fail_hits() == 0)
                usleep(1000);
        } else {
            nccl.standin_nccl_async(ncclRemoteError);
        }
        standin.standin_hold("tgk_hash_inout", false);
        assert_int_equal(tg_run_wait(run, &err), TG_E_TASK_FAILED);
        assert_non_null(strstr(err.text, by_other ? "NCCL says: unhandled system error" : "NCCL says: remote process exited"));
        if (by_other)
            assert_int_equal(tg_run_wait(other, &err), TG_E_TASK_FAILED);
        nccl.standin_nccl_fail("ncclAllReduce", 1, ncclSuccess);
        tg_run_destroy(run);
        tg_run_destroy(other);
        tg_runtime_destroy(rt);
        expect_nothing_left();
        alarm(0);
    }
    assert_int_equal(n_complaints, 0);
    tg_graph_destroy(g);
}

/* Time is counted from where the collective can begin: the first run, which waits longer than that for a kernel, is none. */
static void a_collective_that_hangs_is_given_up_in_time(void **state)
{
    struct tg_run *run;
    struct tg_error err;
    (void)state;
    setenv("TGRAPH_NCCL", device_nccl_path, 1);
    struct tg_graph *g = device_graph(U64("A", 2, ", 'home': 'cyclic:{i}'"), "",
                                      MIX(1, "A[0]", "") ", " MIX(2, "A[1]", "") ", {'id': 'sum', 'collective': 'allreduce', "
                                      "'op': 'sum', 'buffers': 'A[*]', 'timeout_ms': 60}, " MIX(3, "A[0]", ""));
    device_reset(2, 1, true);
    alarm(LIMIT_S);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    assert_int_equal(tg_run_create(rt, g, NULL, &run, &err), 0);
    standin.standin_hold("tgk_hash_inout", true);
    assert_int_equal(tg_run_start(run, &err), 0);
    usleep(150000);
    standin.standin_hold("tgk_hash_inout", false);
    assert_int_equal(tg_run_wait(run, &err), 0);
    nccl.standin_nccl_hang(true);
    assert_int_equal(tg_run_start(run, &err), 0);
    assert_int_equal(tg_run_wait(run, &err), TG_E_TASK_TIMEOUT);
    assert_string_equal(err.text, "task \"sum\" (allreduce) failed: allreduce over cuda:0, cuda:1 did not come to an end within 60 ms");
    assert_string_equal(err.task, "sum");
    assert_true(err.line > 0);
    nccl.standin_nccl_hang(false);
    assert_int_equal(tg_run_execute(run, &err), TG_E_TASK_FAILED); /* until there is another runtime */
    assert_non_null(strstr(err.text, "was given up"));
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    expect_nothing_left();
    alarm(0);
    assert_int_equal(n_complaints, 0);
    tg_graph_destroy(g);
}

static void a_call_of_nvrtc_that_fails_is_reported(void **state)
{
    /* GetLoweredName: then the name is what the graph says, as with extern "C". */
    static const char *const calls[] = {"nvrtcVersion", "nvrtcCreateProgram", "nvrtcAddNameExpression", "nvrtcCompileProgram",
                                        "nvrtcGetCUBINSize", "nvrtcGetCUBIN", "nvrtcGetLoweredName", "nvrtcDestroyProgram"};
    (void)state;
    open_scenario(find_scenario("a kernel from source"));
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char folder[sizeof device_folder + 16];
        struct outcome o;
        snprintf(folder, sizeof folder, "%s/cache-%zu", device_folder, i); /* nothing is found there */
        setenv("TGRAPH_CACHE_DIR", folder, 1);
        at.call = calls[i];
        at.nth = 1;
        alarm(LIMIT_S);
        device_reset(1, i, true);
        rtc.standin_nvrtc_fail(calls[i], 1, NVRTC_ERROR_INTERNAL_ERROR);
        o = pass();
        assert_true(rtc.standin_nvrtc_has_failed());
        if (i == 0 && o.status != TG_E_NO_LIBRARY)
            COMPLAIN("status %d, text %s", o.status, o.err.text);
        if (i > 0 && i < 6 && (o.status != TG_E_COMPILE || !strstr(o.err.text, calls[i]) || !strstr(o.err.text, "\"twice\"") ||
                               !strstr(o.err.text, "NVRTC_ERROR_INTERNAL_ERROR") || !o.err.line))
            COMPLAIN("status %d, line %u, text %s", o.status, o.err.line, o.err.text);
        if (i >= 6 && o.status)
            COMPLAIN("failed: %s", o.err.text);
        expect_nothing_left();
    }
    setenv("TGRAPH_CACHE_DIR", device_folder, 1);
    expect_new_runtime_works();
    close_scenario();
    alarm(0);
    assert_int_equal(n_complaints, 0);
}

static int load(void **state)
{
    signal(SIGALRM, too_long);
    return device_group_load(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_of_nvrtc_that_fails_is_reported), /* first: the library is not loaded yet */
        cmocka_unit_test(a_call_of_nccl_that_fails_is_reported),
        cmocka_unit_test(an_error_that_nccl_notices_by_itself_ends_the_run),
        cmocka_unit_test(a_collective_that_ends_without_its_data_fails_its_run),
        cmocka_unit_test(a_collective_that_hangs_is_given_up_in_time),
        cmocka_unit_test(a_call_that_fails_once_is_reported_and_leaves_nothing),
        cmocka_unit_test(a_call_that_fails_for_ever_hangs_nothing),
        cmocka_unit_test(a_fault_of_the_device_at_any_call_ends_the_run),
    };
    return cmocka_run_group_tests(tests, load, device_group_unload);
}
