/* tgraph: dataflow task graphs on CPUs and GPUs.
 *
 * A program describes named, typed buffers and the tasks that read and write them.  tgraph infers
 * the edges from program order, freezes the graph into a compact immutable form, and runs it on
 * every core and GPU of the machine.  The meaning of a graph is its sequential execution in program order;
 * every way of running it gives that result.
 *
 *     struct tg_error err;
 *     struct tg_graph *graph;
 *     tg_graph_create("saxpy", &graph, &err);
 *     ... tg_graph_add_buffer(), tg_graph_add_kernel(), tg_graph_add_task() ...
 *     tg_graph_freeze(graph, &err);
 *     tg_runtime_create(NULL, &runtime, &err);
 *     tg_run_create(runtime, graph, NULL, &run, &err);
 *     tg_run_start(run, &err);
 *     tg_run_wait(run, &err);
 *
 * Conventions, stated once:
 * - A function that can fail returns 0 or a negative enum tg_status and takes, last, a
 *   caller-owned struct tg_error that may be NULL.  Outputs are written only on success; on
 *   failure the objects passed in are as they were.
 * - create makes an object that destroy ends; destroy accepts NULL and cannot fail.
 * - Pointers must not be NULL unless a comment says what NULL means; err may always be, and so may the
 *   options of create and load, which are then the defaults, an array of length 0, and `user`.
 * - Strings and arrays passed in are copied unless a comment says otherwise.
 * - A graph that is being built belongs to one thread.  A frozen graph is immutable and may be
 *   used by any number of threads and runs.  A runtime may be used by any thread.  A run belongs
 *   to one thread at a time, except tg_run_cancel() and tg_run_poll(), which any thread may call.
 * - The library prints nothing, never exits and installs no signal handlers.
 * - Option structs start with `size`; initialise them with their _INIT macro so that a program
 *   compiled against an older header keeps working. */
#ifndef TGRAPH_H
#define TGRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The library is compiled with hidden visibility; what this header declares is exported. */
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define TG_VERSION_MAJOR 0
#define TG_VERSION_MINOR 1
#define TG_VERSION_PATCH 0
#define TG_VERSION_STRING "0.1.0"

#if defined(__GNUC__)
#define TG_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#else
#define TG_PRINTF(fmt, first)
#endif

/* ---- Status codes -------------------------------------------------------------------------
 *
 * A status is the negated number of a diagnostic: TG_E_UNKNOWN_KERNEL is -203 and is printed as
 * "TG0203".  The hundreds name the area: 00 general, 01 JSON and schema, 02 names and indices,
 * 03 types and shapes, 04 ordering, 05 placement and memory, 06 kernel build, 07 execution,
 * 08 collectives, 09 files, 10 import.  The third column is the exit code of the program. */
#define TG_STATUS_MAP(X)                                                            \
    X(INVALID, 1, 2, "invalid argument")                                            \
    X(STATE, 2, 1, "call not allowed in this state")                                \
    X(INTERNAL, 3, 1, "internal invariant broken")                                  \
    X(USAGE, 4, 2, "wrong command-line usage")                                      \
    X(JSON_SYNTAX, 101, 3, "not valid JSON")                                        \
    X(UNKNOWN_KEY, 102, 1, "unknown key")                                           \
    X(DUPLICATE_KEY, 103, 1, "duplicate key")                                       \
    X(MISSING_KEY, 104, 1, "missing key")                                           \
    X(WRONG_TYPE, 105, 1, "wrong JSON type")                                        \
    X(VERSION, 106, 1, "unsupported format version")                                \
    X(LIMIT, 107, 1, "input exceeds a limit")                                       \
    X(TRUNCATED, 108, 3, "JSON Lines file is truncated")                            \
    X(EXPR_SYNTAX, 109, 1, "malformed expression")                                  \
    X(EXPR_VALUE, 110, 1, "expression has no valid value")                          \
    X(EXPANSION, 111, 1, "template expands beyond the limit")                       \
    X(BAD_VALUE, 112, 1, "value not allowed here")                                  \
    X(UNKNOWN_NAME, 201, 1, "unknown name")                                         \
    X(UNKNOWN_BUFFER, 202, 1, "unknown buffer")                                     \
    X(UNKNOWN_KERNEL, 203, 1, "unknown kernel")                                     \
    X(UNKNOWN_TASK, 204, 1, "unknown task")                                         \
    X(UNKNOWN_GRAPH, 205, 1, "unknown subgraph")                                    \
    X(UNKNOWN_BUILTIN, 206, 1, "unknown built-in kernel")                           \
    X(UNKNOWN_ARGUMENT, 207, 1, "unknown argument")                                 \
    X(MISSING_ARGUMENT, 208, 1, "missing argument")                                 \
    X(DUPLICATE_NAME, 210, 1, "duplicate name")                                     \
    X(BAD_NAME, 211, 1, "malformed name")                                           \
    X(INDEX_RANGE, 214, 1, "tile index out of range")                               \
    X(INDEX_RANK, 215, 1, "wrong number of tile indices")                           \
    X(TILE_ABSENT, 216, 1, "tile excluded by \"only\"")                             \
    X(ROW_RANGE, 217, 1, "row range out of range")                                  \
    X(BAD_REFERENCE, 218, 1, "malformed reference")                                 \
    X(TYPE_MISMATCH, 301, 1, "type mismatch")                                       \
    X(SHAPE_MISMATCH, 302, 1, "shape mismatch")                                     \
    X(DTYPE_UNSUPPORTED, 303, 1, "data type not supported by this kernel")          \
    X(SIZE_OVERFLOW, 304, 1, "size overflows")                                      \
    X(RACE, 401, 1, "data race between unordered tasks")                            \
    X(CYCLE, 402, 1, "dependency cycle")                                            \
    X(FROZEN, 403, 1, "graph is already frozen")                                    \
    X(NOT_FROZEN, 404, 1, "graph is not frozen yet")                                \
    X(UNINITIALISED, 405, 1, "buffer is read before anything writes it")            \
    X(NO_DEVICE, 501, 4, "device not available")                                    \
    X(NO_MEMORY, 502, 4, "out of memory")                                           \
    X(CAPACITY, 503, 4, "task does not fit into device memory")                     \
    X(NO_VARIANT, 504, 1, "no kernel variant for the allowed devices")              \
    X(TOPOLOGY, 505, 4, "machine topology not usable")                              \
    X(COMPILE, 601, 1, "kernel does not compile")                                   \
    X(PLUGIN_REFUSED, 602, 1, "shared objects need --allow-plugins")                \
    X(PLUGIN_LOAD, 603, 1, "shared object cannot be loaded")                        \
    X(NO_COMPILER, 604, 4, "compiler not found")                                    \
    X(SIGNATURE, 605, 1, "kernel signature mismatch")                               \
    X(TASK_FAILED, 701, 1, "task failed")                                           \
    X(TASK_TIMEOUT, 702, 1, "task exceeded its time limit")                         \
    X(CANCELLED, 703, 1, "run was cancelled")                                       \
    X(RUN_TIMEOUT, 704, 124, "run exceeded its time limit")                         \
    X(VERIFY, 705, 5, "a check on the results failed")                              \
    X(DIFFERS, 706, 5, "results differ from sequential execution")                  \
    X(NO_LIBRARY, 707, 4, "library not found")                                      \
    X(SYSTEM, 708, 4, "operating system call failed")                               \
    X(UNSUPPORTED, 709, 1, "not supported by this build or device")                 \
    X(DRIVER, 710, 4, "a device's driver refused a call")                           \
    X(NOT_FINITE, 711, 1, "a task wrote NaN or infinity")                           \
    X(FULL, 712, 1, "queue is full")                                                \
    X(NO_ANSWER, 713, 124, "no answer in time")                                     \
    X(DEADLINE, 714, 1, "deadline missed")                                          \
    X(COLLECTIVE, 801, 1, "collective cannot be performed")                         \
    X(OPEN, 901, 3, "cannot open file")                                             \
    X(READ, 902, 3, "cannot read file")                                             \
    X(WRITE, 903, 4, "cannot write file")                                           \
    X(PATH_ESCAPE, 904, 1, "path leaves the graph's folder")                        \
    X(NPY, 905, 1, "not a usable .npy file")                                        \
    X(DATA_SIZE, 906, 1, "file has the wrong size for the buffer")                  \
    X(RECORD, 907, 3, "not a record of a run, or a damaged one")                    \
    X(CHECKPOINT, 908, 3, "not a checkpoint of this graph, or a damaged one")       \
    X(IMPORT_FORMAT, 1001, 1, "cannot tell the format of the file")                 \
    X(IMPORT_SYNTAX, 1002, 3, "file cannot be imported")

enum tg_status {
    TG_OK = 0,
#define TG_STATUS_X(name, number, exit_code, text) TG_E_##name = -(number),
    TG_STATUS_MAP(TG_STATUS_X)
#undef TG_STATUS_X
};

/* The fixed text of a status ("unknown kernel"); never NULL. */
const char *tg_status_text(int status);
/* The exit code the `tgraph` program uses for a status: 0 to 5 or 124. */
int tg_status_exit_code(int status);

/* What went wrong.  Owned by the caller; plain data, may be copied.  `line` and `column` count
 * from 1 and are 0 where there is no position; `file` and `task` are empty where there is none. */
struct tg_error {
    int status;
    uint32_t line, column;
    char file[256];
    char task[256];
    char text[768];
};

/* ---- Data ---------------------------------------------------------------------------------*/

typedef uint32_t tg_task_id;   /* dense, in program order, from 0 */
typedef uint32_t tg_buffer_id; /* dense, from 0 */
typedef uint32_t tg_kernel_id; /* dense, from 0 */

#define TG_NONE UINT32_MAX /* no such task, buffer, kernel, tile */
#define TG_MAX_DIMS 8      /* dimensions of a tile, and of an index space of tiles */
#define TG_MAX_PARAMS 32   /* parameters of a kernel */

enum tg_dtype {
    TG_F16, TG_BF16, TG_F32, TG_F64,
    TG_I8, TG_I16, TG_I32, TG_I64,
    TG_U8, TG_U16, TG_U32, TG_U64,
    TG_C64, TG_C128,
    TG_N_DTYPES
};
size_t tg_dtype_size(enum tg_dtype dtype);        /* bytes of one element */
const char *tg_dtype_name(enum tg_dtype dtype);   /* "f32" */

/* What a buffer of the runtime's own holds when a run starts. */
enum tg_init {
    TG_INIT_NONE,   /* indeterminate: a task must write it first */
    TG_INIT_ZERO,
    TG_INIT_FILL,   /* init_value everywhere */
    TG_INIT_IOTA,   /* the element's index over the whole buffer, tiles in order */
    TG_INIT_RANDOM, /* uniform in [0,1) for floats, all bits for integers, from init_seed */
    TG_INIT_SPD,    /* a symmetric positive definite matrix over a square tile grid, from init_seed */
    TG_INIT_CALL    /* init_call fills each tile */
};

/* Fills one tile before a run; returns 0 or a status, with err filled.  May be called by any
 * worker thread, for different tiles at once. */
typedef int (*tg_init_fn)(void *user, uint32_t tile, void *data, size_t size_bytes, struct tg_error *err);

/* A typed array: one tile, or an index space of equally shaped tiles stored one after the other
 * in row-major order of the index.  The tile is the unit of dependency and placement. */
struct tg_buffer_spec {
    size_t size;
    const char *name;
    enum tg_dtype dtype;
    uint32_t n_dims;
    int64_t shape[TG_MAX_DIMS]; /* of one tile */
    uint32_t n_tile_dims;       /* 0: the buffer is one tile */
    int64_t tiles[TG_MAX_DIMS];
    const uint8_t *present;     /* one byte per tile, 0: the tile does not exist; NULL: all do */
    void *host;                 /* the program's own memory for all tiles, which must outlive every
                                   run and is not copied; NULL: the runtime allocates and inits */
    enum tg_init init;
    double init_value;
    uint64_t init_seed;
    tg_init_fn init_call;
    void *init_user;
    bool is_temp;               /* contents are not needed after the last task that reads them */
    const char *home;           /* placement hint: "cpu", "numa:0", "cuda:1"; NULL: none */
};
#define TG_BUFFER_SPEC_INIT {sizeof(struct tg_buffer_spec), NULL, TG_F32, 0, {0}, 0, {0}, NULL, NULL, \
                             TG_INIT_NONE, 0.0, 0, NULL, NULL, false, NULL}

/* ---- Kernels ------------------------------------------------------------------------------*/

struct tg_context; /* what a running task may ask for; see "Inside a task" */

/* A CPU kernel.  args[i] points to the value of parameter i: to the scalar itself, or to a
 * pointer to the first element of the tile (the layout cuLaunchKernel uses).  Returns 0 or any
 * other number to fail the task. */
typedef int (*tg_cpu_fn)(void **args, const struct tg_context *ctx);

enum tg_access {
    TG_SCALAR,  /* not a buffer: a number passed by value */
    TG_IN,      /* read */
    TG_OUT,     /* overwritten entirely, never read */
    TG_INOUT,   /* read and written */
    TG_REDUCE,  /* accumulated into with an associative, commutative op; neighbours that reduce
                   with the same op may run at once, into private copies that start at identity */
    TG_COMMUTE  /* inout, in any order with its neighbours, one at a time */
};
enum tg_op { TG_SUM, TG_PROD, TG_MIN, TG_MAX };

struct tg_param {
    const char *name;
    enum tg_dtype dtype;
    enum tg_access access;
    enum tg_op op; /* for TG_REDUCE */
};

struct tg_kernel_spec {
    size_t size;
    const char *name;
    uint32_t n_params;
    const struct tg_param *params;
    const char *builtin; /* a built-in kernel by name ("axpy"); params may then be absent */
    tg_cpu_fn cpu;       /* a C function; NULL if builtin is given */
    const char *flops;   /* cost expressions over parameter names, e.g. "2*n"; NULL: unknown */
    const char *bytes;
    const char *us;
};
#define TG_KERNEL_SPEC_INIT {sizeof(struct tg_kernel_spec), NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL}

/* ---- Tasks --------------------------------------------------------------------------------*/

enum tg_arg_kind {
    TG_ARG_INT,   /* a number; converted to the parameter's type, out of range is an error */
    TG_ARG_FLOAT,
    TG_ARG_TILE,  /* one tile */
    TG_ARG_ROWS,  /* rows [row_begin, row_end) of a tile; the kernel gets the address of row_begin */
    TG_ARG_ALL    /* every tile of the buffer; the kernel gets the address of the first, the others
                     follow it in memory */
};
struct tg_arg {
    enum tg_arg_kind kind;
    tg_buffer_id buffer;
    uint32_t tile; /* linear index, row-major over the tile index space */
    uint32_t row_begin, row_end;
    union {
        int64_t i;
        double f;
    } value;
};
static inline struct tg_arg tg_arg_int(int64_t i)
{
    struct tg_arg a = {TG_ARG_INT, 0, 0, 0, 0, {0}};
    a.value.i = i;
    return a;
}
static inline struct tg_arg tg_arg_float(double f)
{
    struct tg_arg a = {TG_ARG_FLOAT, 0, 0, 0, 0, {0}};
    a.value.f = f;
    return a;
}
static inline struct tg_arg tg_arg_tile(tg_buffer_id buffer, uint32_t tile)
{
    struct tg_arg a = {TG_ARG_TILE, 0, 0, 0, 0, {0}};
    a.buffer = buffer;
    a.tile = tile;
    return a;
}
static inline struct tg_arg tg_arg_rows(tg_buffer_id buffer, uint32_t tile, uint32_t begin, uint32_t end)
{
    struct tg_arg a = {TG_ARG_ROWS, 0, 0, 0, 0, {0}};
    a.buffer = buffer;
    a.tile = tile;
    a.row_begin = begin;
    a.row_end = end;
    return a;
}
static inline struct tg_arg tg_arg_all(tg_buffer_id buffer)
{
    struct tg_arg a = {TG_ARG_ALL, 0, 0, 0, 0, {0}};
    a.buffer = buffer;
    return a;
}

enum tg_task_kind {
    TG_TASK_KERNEL,     /* kernel + args, one per parameter, in order */
    TG_TASK_COPY,       /* args: to, from; same number of bytes */
    TG_TASK_FILL,       /* args: target, number */
    TG_TASK_COLLECTIVE, /* collective, op; args: the tiles that take part, in rank order */
    TG_TASK_HOST,       /* a kernel that runs on the host wherever its neighbours run */
    TG_TASK_BARRIER,    /* after everything before it, before everything after it */
    TG_TASK_REPEAT,     /* body, count times */
    TG_TASK_WHILE,      /* body while args[0], a tile whose first element is an integer, is not 0;
                           at most count times */
    TG_TASK_IF          /* body if args[0] is not 0, otherwise body_else if there is one */
};
enum tg_collective {
    TG_ALLREDUCE,     /* every tile becomes the element-wise op over all tiles */
    TG_BROADCAST,     /* every tile becomes a copy of tile `root` */
    TG_REDUCE_TO,     /* tile `root` becomes the element-wise op over all tiles */
    TG_ALLGATHER,     /* chunk r of every tile becomes chunk r of tile r */
    TG_REDUCESCATTER, /* chunk r of tile r becomes the op over chunk r of all tiles */
    TG_ALLTOALL,      /* chunk s of tile r becomes what chunk r of tile s was */
    TG_SENDRECV       /* the second tile becomes a copy of the first */
};

struct tg_graph;
struct tg_task_spec {
    size_t size;
    const char *name; /* unique in the graph; NULL: none */
    enum tg_task_kind kind;
    tg_kernel_id kernel;
    uint32_t n_args;
    const struct tg_arg *args;
    uint32_t n_after; /* control edges: tasks that must finish first; may name later tasks */
    const tg_task_id *after;
    int32_t priority; /* higher runs earlier among ready tasks */
    enum tg_collective collective;
    enum tg_op op;
    uint32_t root;
    struct tg_graph *body, *body_else; /* from tg_graph_create_body(); the graph takes them over */
    uint64_t count;
    const char *on;     /* allowed devices: "cpu", "cuda", "cuda:1", "cpu+cuda"; NULL: any */
    const char *prefer; /* the same, as a hint */
    uint32_t retries;
    uint32_t timeout_ms; /* 0: none */
};
#define TG_TASK_SPEC_INIT {sizeof(struct tg_task_spec), NULL, TG_TASK_KERNEL, TG_NONE, 0, NULL, 0, NULL, 0, \
                           TG_ALLREDUCE, TG_SUM, 0, NULL, NULL, 0, NULL, NULL, 0, 0}

/* ---- The graph ----------------------------------------------------------------------------*/

/* name: for messages and pictures; NULL: none. */
int tg_graph_create(const char *name, struct tg_graph **graph_p, struct tg_error *err);
/* A graph for the body of a repeat, while or if task of `parent`: it shares the parent's buffers
 * and kernels and has tasks of its own.  Destroy it only if it was not given to a task. */
int tg_graph_create_body(struct tg_graph *parent, struct tg_graph **body_p, struct tg_error *err);
/* Its runs have been destroyed.  One that a task has not returned to (tg_run_destroy) keeps the graph until it goes. */
void tg_graph_destroy(struct tg_graph *graph);

int tg_graph_add_buffer(struct tg_graph *graph, const struct tg_buffer_spec *spec, tg_buffer_id *id_p,
                        struct tg_error *err);
int tg_graph_add_kernel(struct tg_graph *graph, const struct tg_kernel_spec *spec, tg_kernel_id *id_p,
                        struct tg_error *err);
/* id_p may be NULL. */
int tg_graph_add_task(struct tg_graph *graph, const struct tg_task_spec *spec, tg_task_id *id_p,
                      struct tg_error *err);
/* One more control edge: `task` starts after `earlier` has finished. */
int tg_graph_add_edge(struct tg_graph *graph, tg_task_id earlier, tg_task_id task, struct tg_error *err);

/* Infers the edges, removes redundant ones, looks for cycles and computes levels.  One-way: the
 * graph cannot change afterwards.  On failure it can still be changed. */
int tg_graph_freeze(struct tg_graph *graph, struct tg_error *err);

struct tg_graph_stats {
    uint64_t n_tasks, n_edges; /* bodies of control tasks not counted in */
    uint64_t n_roots, n_sinks;
    uint32_t depth;            /* tasks on the longest path */
    uint32_t width;            /* most tasks on one level */
    uint64_t n_redundant;      /* edges that freeze removed because others imply them */
    uint64_t memory_bytes;     /* of the frozen graph itself, without buffers */
    uint64_t data_bytes;       /* of all tiles */
};
/* Only for a frozen graph. */
int tg_graph_stats(const struct tg_graph *graph, struct tg_graph_stats *stats_p, struct tg_error *err);

/* Look-ups by name; TG_NONE if there is none. */
tg_task_id tg_graph_find_task(const struct tg_graph *graph, const char *name);
tg_buffer_id tg_graph_find_buffer(const struct tg_graph *graph, const char *name);

/* ---- Files --------------------------------------------------------------------------------*/

/* A message about a file.  Valid during the call of the sink only. */
struct tg_diagnostic {
    int status;
    bool is_warning;
    const char *message;      /* one line */
    const char *file;
    uint32_t line, column;    /* from 1; 0: none */
    uint32_t length;          /* of the offending token in characters; 0: unknown */
    const char *label;        /* short remark under the caret; NULL: none */
    const char *help;         /* suggestion; NULL: none */
    const char *bindings;     /* "k=0, m=16 (...)"; NULL: none */
    const char *pointer;      /* JSON pointer of the offending value; NULL: none */
};
typedef void (*tg_diagnostic_fn)(void *user, const struct tg_diagnostic *diagnostic);

struct tg_load_options {
    size_t size;
    uint32_t n_params;              /* overrides of "params": "NT=32", "B=1<<10" */
    const char *const *params;
    tg_diagnostic_fn on_diagnostic; /* NULL: only the first error is reported, in err */
    void *user;
    bool allow_plugins;             /* lets variants name shared objects */
    uint64_t max_bytes;             /* of a .json file; 0: 64 MiB */
    uint64_t max_tasks;             /* after expansion; 0: 50 million */
    uint32_t n_cuda;                /* what ndev('cuda') gives, at least what the file requires */
    uint32_t (*count_cuda)(void *user); /* asked instead, once, if the file wants to know; NULL: n_cuda */
};
#define TG_LOAD_OPTIONS_INIT {sizeof(struct tg_load_options), 0, NULL, NULL, NULL, false, 0, 0, 0, NULL}

/* Reads a graph from a .json or .jsonl file ("-": standard input), not yet frozen.  options may
 * be NULL.  Reading executes nothing that the file contains. */
int tg_graph_load(const char *path, const struct tg_load_options *options, struct tg_graph **graph_p,
                  struct tg_error *err);
/* Writes the graph, expanded, as .json or .jsonl by extension, through a temporary file. */
int tg_graph_save(const struct tg_graph *graph, const char *path, struct tg_error *err);

/* ---- The runtime and its runs -------------------------------------------------------------*/

struct tg_runtime_options {
    size_t size;
    uint32_t n_workers;     /* CPU workers; 0: one per core this process may use */
    bool is_unbound;        /* do not bind workers to cores */
    const char *topology;   /* hwloc synthetic description or XML file for tests; NULL: this machine */
    size_t stack_bytes;     /* of a worker thread; 0: the system's default */
    uint64_t memory_bytes;  /* limit for all buffers; 0: none */
    const char *devices;    /* beside CPUs: "cuda" for all, "cuda:0,2"; NULL: none.  Asked for and not there is
                               TG_E_NO_DEVICE or TG_E_NO_LIBRARY.  With "+cpu", tasks that both can execute go to CPUs
                               where these were measured to be faster; without, they go to devices */
    uint64_t device_bytes;  /* limit on each device; 0: most of what is free */
    void (*on_thread)(void *user); /* called first by every worker thread, for its name, its signal stack ..;
                                      NULL: nothing is */
    void *user;
    bool has_devices_alone; /* nothing else in this process makes its devices wait for each other, as collectives of its own
                               would: then TG_EXECUTOR_AUTO may also take kernels that are on several devices at once */
};
#define TG_RUNTIME_OPTIONS_INIT {sizeof(struct tg_runtime_options), 0, false, NULL, 0, 0, NULL, 0, NULL, NULL, false}

struct tg_runtime;
int tg_runtime_create(const struct tg_runtime_options *options, struct tg_runtime **runtime_p, struct tg_error *err);
/* Every run must have been destroyed. */
void tg_runtime_destroy(struct tg_runtime *runtime);
uint32_t tg_runtime_n_workers(const struct tg_runtime *runtime);

struct tg_run;
typedef void (*tg_run_fn)(void *user, struct tg_run *run, int status);

enum tg_executor {
    TG_EXECUTOR_STREAMS, /* tasks on devices are enqueued one by one, with each start */
    TG_EXECUTOR_GRAPH,   /* a start is recorded and replayed as one CUDA graph, which later starts launch again; a run that
                            this cannot be done with goes to streams, and tg_run_executor() says why */
    TG_EXECUTOR_RESIDENT, /* the same, and tasks that have a resident variant are executed inside one kernel, the others as
                            before; a run without such tasks is a graph, and tg_run_executor() says why */
    TG_EXECUTOR_AUTO     /* streams at first, and a graph once it pays, by times measured in this run and in earlier ones and
                            by n_starts_expected, with resident kernels for those of its tasks that gain by them;
                            tg_run_executor() says what was chosen and why */
};

struct tg_run_options {
    size_t size;
    bool keep_going;        /* after a failure, still run what does not depend on it */
    bool is_deterministic;  /* one task at a time, in an order drawn from seed; 0: program order */
    uint64_t seed;
    bool keep_data;         /* a second start continues on the data the first one left, instead of
                               initialising again what tasks write */
    bool is_recorded;       /* keep start, end and worker of every task; about 60 ns a task */
    uint64_t timeout_ns;    /* for a whole run; 0: none */
    tg_run_fn on_done;      /* called once per start, by a worker thread, before wait returns; must
                               not wait for or destroy the run */
    void *user;
    bool check_finite;      /* fails the first task in program order that leaves NaN or infinity in what it writes:
                               one task at a time, on devices as well, and what it wrote is looked at on the host */
    const char *policy;     /* who decides what runs on which device: "eager", "steal", "heft", "bandwidth" (sched/policy.h);
                               NULL: tasks go to the owners of what they write, and idle devices take some over.  The
                               string need not last.  On CPUs alone it decides which ready task is next.  TG_E_UNSUPPORTED for
                               one task at a time */
    enum tg_executor executor; /* of tasks on devices */
    uint64_t n_starts_expected; /* for TG_EXECUTOR_AUTO: how often the run will be started; 0: not known */
    uint64_t graph_bytes;      /* most memory that the run's graphs may take, on the host and, as far as the driver tells, on
                                  devices; those replayed longest ago go, but the last one stays.  0: no limit, eight of them */
};
#define TG_RUN_OPTIONS_INIT \
    {sizeof(struct tg_run_options), false, false, 0, false, false, 0, NULL, NULL, false, NULL, TG_EXECUTOR_STREAMS, 0, 0}

/* Prepares a frozen graph for execution: resolves kernel variants (compiling C sources on first
 * use) and allocates buffers.  The graph and the runtime must outlive the run. */
int tg_run_create(struct tg_runtime *runtime, const struct tg_graph *graph, const struct tg_run_options *options,
                  struct tg_run **run_p, struct tg_error *err);
/* Waits for a run that is under way.  After a time limit only for a moment: to a task that has not returned by then its run and the
 * graph are left, and memory of the program's that it uses must be there.  What is left goes with the runtime if the task has returned
 * by then. */
void tg_run_destroy(struct tg_run *run);
/* Uses the program's memory for a buffer from the next start on; it is neither initialised nor
 * copied and must hold all tiles. */
int tg_run_bind(struct tg_run *run, tg_buffer_id buffer, void *host, struct tg_error *err);
/* Initialises data and starts; returns at once.  May be called again after wait. */
int tg_run_start(struct tg_run *run, struct tg_error *err);
/* Waits until the run is over; the calling thread works in place of a parked worker meanwhile, on that one's processor
 * if its own is in use.  Returns the first failure, with the task's name in err. */
int tg_run_wait(struct tg_run *run, struct tg_error *err);
/* Starts and waits.  The calling thread works from the first task on, which makes this the cheapest
 * way to run a small graph. */
int tg_run_execute(struct tg_run *run, struct tg_error *err);
/* 1 if the run is over or was never started, 0 if it is under way. */
int tg_run_poll(const struct tg_run *run);
/* Starts no further task; what runs is finished.  Safe in a signal handler. */
void tg_run_cancel(struct tg_run *run);

/* Memory of a tile, valid until the next start, bind or destroy of the run; NULL for an absent
 * tile, or if its contents were on a device that has been lost.  Contents are defined once wait has returned; what
 * is on a device is copied when it is asked for here. */
void *tg_run_tile(const struct tg_run *run, tg_buffer_id buffer, uint32_t tile);
/* The same, which tells why.  0 and NULL: an absent tile.  TG_E_STATE: after a time limit something is still at work, or a
 * program inserted elsewhere has the contents (tg_program_insert); else what the device failed with. */
int tg_run_read_tile(const struct tg_run *run, tg_buffer_id buffer, uint32_t tile, void **address_p, struct tg_error *err);

enum tg_task_state { TG_TASK_WAITING, TG_TASK_DONE, TG_TASK_FAILED, TG_TASK_SKIPPED };
struct tg_run_stats {
    uint64_t makespan_ns;  /* from start to the end of the last task, without initialisation */
    uint64_t init_ns;
    uint64_t n_done, n_failed, n_skipped, n_retried;
    uint64_t n_steals, n_parks;
    uint32_t n_workers;
};
int tg_run_stats(const struct tg_run *run, struct tg_run_stats *stats_p, struct tg_error *err);
/* What executed the last start, after wait.  *why_p, which may be NULL: why that is not what was asked for, as text that
 * lasts until the next start; NULL: it is.  Of TG_EXECUTOR_AUTO: why this was chosen, with the times. */
enum tg_executor tg_run_executor(const struct tg_run *run, const char **why_p);
/* State of a task after wait; for keep_going runs.  TG_TASK_WAITING while the run is under way.  A device tells of a failure
 * when what follows may have been executed with what it left: that is TG_TASK_SKIPPED as well, and of several failures, of which one
 * is told, so is everything that may be another. */
enum tg_task_state tg_run_task_state(const struct tg_run *run, tg_task_id task);

/* ---- Streams of the program ---------------------------------------------------------------
 *
 * For programs that use CUDA themselves.  A run can begin after what a stream has been given so far, the stream can go
 * on after the run, and its kernels can read and write tiles where they lie:
 *
 *     tg_run_device_tile(run, x, 0, 0, TG_OUT, stream, &address, &err);
 *     cudaMemcpyAsync((void *)address, ..., stream);
 *     tg_run_start_on(run, 0, stream, &err);
 *     tg_run_wait_on(run, 0, stream, &err);
 *     tg_run_device_tile(run, y, 0, 0, TG_IN, stream, &address, &err);
 *     kernel<<<..., stream>>>((const float *)address);
 *     tg_run_wait(run, &err);
 *
 * `device` is the number of one of the runtime's devices on this machine, as in "cuda:0"; TG_E_NO_DEVICE: it is none of
 * them.  `stream` is a cudaStream_t or CUstream of this device's primary context, the one that the CUDA runtime uses
 * (TG_E_INVALID: of another); NULL is the default stream.  It stays the program's, must not be capturing, and is used
 * during the call only.  A refusal of the driver is TG_E_DRIVER. */

/* As tg_run_start(), but the run comes after everything that `stream` has been given so far.  Returns at once: devices
 * wait by themselves.  If some task is placed on CPUs, the whole run begins once the stream has come to here; for a run that
 * uses no device the call itself waits for that.  Only the initialisation of tiles on the host waits for nothing.  On failure
 * the run has not started.  Devices execute the runs of a runtime together: another run may come to wait for the stream too. */
int tg_run_start_on(struct tg_run *run, uint32_t device, void *stream, struct tg_error *err);
/* What `stream` is given from now on comes after the run that was started last, copies to the program's own memory
 * included.  Returns as soon as no task is left to hand out: the host does not wait for devices, but for room in their
 * queues; tasks on CPUs, and rounds of repeat and while, are done when it returns.  For any number of streams.  0 says
 * nothing about the tasks: tg_run_wait() does, and is due before the next start.  If the run fails, is cancelled or exceeds
 * its time, the stream waits for no more than what devices had already got.  After an error the stream may wait for a part. */
int tg_run_wait_on(struct tg_run *run, uint32_t device, void *stream, struct tg_error *err);
/* The address of a tile in the memory of `device`, for commands that `stream` is given from now on, which is to come after
 * the run (tg_run_wait_on, or tg_run_wait):
 *   TG_IN     they read it: the tile is copied to the device if it is not valid there, and the stream waits for that;
 *   TG_OUT    they write all of it: this is what the next start finds, in place of the tile's initial contents;
 *   TG_INOUT  both.
 * The address holds until the next start, bind or destroy of the run, which must come after those commands: start on this
 * stream, or wait for it.  So must tg_run_tile() for a tile that they write; and after tg_run_tile(), which
 * allows writing on the host, the address is to be asked for again.  The memory does not move meanwhile: TG_E_NO_MEMORY if
 * there is none left.  TG_E_STATE while the run is under way and tg_run_wait_on() has not returned. */
int tg_run_device_tile(struct tg_run *run, tg_buffer_id buffer, uint32_t tile, uint32_t device, enum tg_access access,
                       void *stream, uint64_t *address_p, struct tg_error *err);

/* ---- Graphs of the program ----------------------------------------------------------------
 *
 * For programs that make CUDA graphs themselves.  A start of a run becomes one node of such a graph, a child graph, between
 * nodes of the program's own that write and read tiles where they lie:
 *
 *     tg_run_device_tile(run, x, 0, 0, TG_OUT, stream, &x_at, &err);          where nodes of the program write x
 *     tg_run_add_to_graph(run, graph, &writes_x, 1, &node, &err);
 *     tg_run_device_tile(run, y, 0, 0, TG_IN, stream, &y_at, &err);           where they find y, after `node`
 *     ... more nodes, cuGraphInstantiate(), cuGraphLaunch() as often as there is something to compute, cuStreamSynchronize() ...
 *     tg_run_end_graphs(run, &err);
 *
 * Each launch does what a start does, but for the initialisation of tiles on the host.  What tasks write and the host has
 * initialised begins with those contents again, buffers that are bound (tg_run_bind) with what the program has there by then,
 * which may be new with each launch; and what lies on a device alone with what is there: what nodes of the program or the launch
 * before have written.  Results that are due in bound memory are there when the node is done.
 *
 * Who owns what.  The graph, its instances and the node are the program's.  All that the node uses stays the run's: code, the memory
 * of all its tiles, on the host and on devices, and the libraries' workspaces and communicators of the runtime, so run and
 * runtime must outlive the last launch, and bound memory must stay.  Until tg_run_end_graphs() the run cannot be started or bound
 * (TG_E_STATE), its memory on devices does not move, and tg_run_tile() gives the memory of bound buffers alone.  Two launches must
 * not overlap, nor must one and another run of the runtime, which has one set of those workspaces. */

/* Adds a start of the run to `graph`, a cudaGraph_t or CUgraph of the primary contexts, after `n_after` nodes of it; *node_p is the
 * new node.  Waits until nothing of the run is under way.  The first start of a run calls libraries for the first time and
 * moves what is constant to devices, so one start or two before this make a better node.  TG_E_UNSUPPORTED: the run cannot be a
 * graph, err says why; TG_E_STATE: it is under way, or starts have not come to begin and end with data in the same
 * places, which another one changes.  After an error `graph` is as it was. */
int tg_run_add_to_graph(struct tg_run *run, void *graph, void *const *after, size_t n_after, void **node_p, struct tg_error *err);
/* The program will launch no graph with this run's node any more, and none is executing.  Returns what a kernel of the run has
 * failed with since, naming the task; the run can be started again either way. */
int tg_run_end_graphs(struct tg_run *run, struct tg_error *err);

/* ---- Inside a task ------------------------------------------------------------------------
 *
 * Functions that only a running task may call, with the context it was given. */

tg_task_id tg_context_task(const struct tg_context *ctx);
uint32_t tg_context_worker(const struct tg_context *ctx); /* 0 .. n_workers-1 */
bool tg_context_is_cancelled(const struct tg_context *ctx);
/* Sets the text that explains why the task is about to fail.  The last call counts. */
void tg_context_explain(const struct tg_context *ctx, const char *format, ...) TG_PRINTF(2, 3);

/* What the calling thread executes, for handlers of SIGSEGV and the like: safe there.  depth 0 is the
 * innermost task, 1 the one that waits on this thread for a job meanwhile, ..; false: there is no such.
 * The strings belong to the graph. */
struct tg_thread_task {
    tg_task_id task;
    const char *name; /* NULL: it has none */
    const char *kernel;
};
bool tg_thread_task(uint32_t depth, struct tg_thread_task *task_p);

/* A child that runs in parallel with its parent.  The storage is the caller's, usually on its
 * stack, and must live until tg_sync(). */
typedef int (*tg_job_fn)(void *arg, const struct tg_context *ctx);
struct tg_job {
    tg_job_fn fn;
    void *arg;
    void *opaque[2]; /* the runtime's own */
};
/* Makes the job available to any worker. */
void tg_spawn(const struct tg_context *ctx, struct tg_job *job, tg_job_fn fn, void *arg);
/* Waits for one job; jobs are waited for in the reverse order of their spawns.  Runs the job
 * itself if nobody has taken it yet.  Returns what its function returned. */
int tg_sync(const struct tg_context *ctx, struct tg_job *job);
/* A child without a sync: arg_bytes of arg are copied, and the task as a whole (its successors
 * included) waits for the child.  A child that fails fails the task. */
int tg_spawn_detached(const struct tg_context *ctx, tg_job_fn fn, const void *arg, size_t arg_bytes);

#ifdef __cplusplus
}
#endif

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#endif
