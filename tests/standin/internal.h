/* Inside the stand-in driver.  One lock guards everything; every entry point holds it from its first
 * line (BEGIN) to its return, except while a host function runs. */
#ifndef STANDIN_INTERNAL_H
#define STANDIN_INTERNAL_H

#include <pthread.h>
#include <stdlib.h>

#include "tests/standin/standin.h"

#define EXPORT                                   __attribute__((visibility("default")))
#define PROTOTYPE_X(name, symbol, since, params) EXPORT CUresult symbol params;
TGI_CUDA_CALLS(PROTOTYPE_X)
#undef PROTOTYPE_X
#define CONTROL_X(type, name, params) EXPORT type name params;
STANDIN_FUNCTIONS(CONTROL_X)
#undef CONTROL_X

enum { MAX_DEVICES = 16, MAX_RULES = 16, MAX_STACK = 16 };
enum { N_SMS = 16, MAX_THREADS = 1024, MAX_SHARED = 48 << 10, MAX_SHARED_OPTIN = 227 << 10 };

enum call {
#define CALL_X(name, symbol, since, params) CALL_##symbol,
    TGI_CUDA_CALLS(CALL_X)
#undef CALL_X
        N_CALLS
};

/* ---- Objects ------------------------------------------------------------------------------*/

enum object_kind {
    DEAD,
    STREAM,
    EVENT,
    MODULE,
    LIBRARY,
    FUNCTION,
    KERNEL,
    GRAPH,
    NODE,
    EXEC,
    POOL,
    N_OBJECT_KINDS
};
/* First in everything a handle points to.  Dead objects stay readable for a long while, so that a
 * stale handle is noticed. */
struct object {
    enum object_kind kind;
    struct object *next, *previous;
};

void *object_new(enum object_kind kind, size_t size); /* zeroed; NULL: no memory */
void object_kill(void *object);
static inline bool is_object(const void *handle, enum object_kind kind)
{
    return handle && ((const struct object *)handle)->kind == kind;
}

/* ---- Work ---------------------------------------------------------------------------------*/

enum op_kind {
    OP_NOTHING,
    OP_KERNEL,
    OP_COPY,
    OP_SET,
    OP_HOST,
    OP_RECORD,
    OP_WAIT,
    OP_ALLOC,
    OP_FREE,
    OP_GRAPH,
    OP_COND
};

struct copy {
    uint64_t to, from;
    bool is_to_device, is_from_device; /* false: host memory, pinned or not */
    size_t width, height, depth;
    size_t to_pitch, from_pitch, to_slice, from_slice; /* bytes from row to row, from slice to slice */
    unsigned char *staged;                             /* rows copied from pageable memory when queued */
    bool is_to_pinned, is_from_pinned;                 /* when queued; must still be so */
};
struct op {
    enum op_kind kind;
    int device;
    union {
        struct {
            CUfunction function;
            unsigned grid[3], block[3], shared_bytes;
            bool is_cooperative;
            unsigned char *args; /* every parameter at its offset */
        } kernel;
        struct copy copy;
        struct {
            uint64_t to;
            size_t pitch, width, height; /* width in elements */
            unsigned value, element;
        } set;
        struct {
            CUhostFn fn;
            void *user;
        } host;
        CUevent event;
        uint64_t address; /* ALLOC, FREE */
        CUgraph child;    /* owned by the node */
        struct {
            CUgraphConditionalHandle handle;
            CUgraphConditionalNodeType type;
            unsigned n_bodies;
            CUgraph *body; /* owned by the node */
        } cond;
    };
};
CUresult op_clone(struct op *to, const struct op *from); /* not of children and conditionals */
void op_fini(struct op *op);                             /* the same */

/* One launch of an executable graph: the values of its conditionals. */
struct launch {
    unsigned n_refs;
    struct condition {
        CUgraphConditionalHandle handle;
        unsigned value;
    } * condition;
    size_t n_conditions;
    CUgraph graph; /* what it runs; kept until it is over, since bodies of conditionals are looked up there */
};

struct item {
    struct op op;
    unsigned n_refs;
    bool is_done, has_body; /* has_body: a conditional that waits for its body */
    bool is_late;           /* done when nothing else can be: somebody was to wait for it and was made not to */
    unsigned n_waiting;
    struct item **after, **before; /* after: who waits for us; before: whom we wait for, kept alive */
    size_t n_after, n_before;
    uint64_t mark;  /* of the demand that needs it */
    unsigned speed; /* of its stream, drawn: a preference among the ready */
    size_t ready_at;
    struct item *next, *previous; /* pending */
    double time_us;               /* when done */
    struct launch *launch;
    bool is_again, was_again;  /* a kernel that waits: it is to be called once more; has a place since then */
    double began_us;           /* to wait */
    int (*stay)(void *state); /* a kernel that stays; NULL: it does not */
    void *stay_state;
};

struct CUstream_st {
    struct object object;
    CUcontext ctx;
    bool is_blocking, is_legacy;
    int priority;
    unsigned speed;
    struct item *tail;
    struct capture *capture;
    CUgraphNode *deps; /* while capturing: what the next node comes after */
    size_t n_deps;
};
struct CUevent_st {
    struct object object;
    CUcontext ctx;
    unsigned flags;
    struct item *last;
    uint64_t capture_id; /* recorded in a capture, which may have ended; 0: not */
    CUgraphNode *deps;
    size_t n_deps;
};
struct CUctx_st {
    int device;
    unsigned n_retained, flags;
    bool reaches[MAX_DEVICES];
    struct CUstream_st legacy, per_thread;
    CUmemoryPool pool;
};
struct capture {
    struct capture *next;
    uint64_t id;
    CUgraph graph;
    CUstream origin;
    CUstreamCaptureMode mode;
    bool is_invalid;
    pthread_t owner;
};

CUresult stream_find(CUstream handle, CUstream *stream_p);
/* Takes over what op owns, also on failure.  Goes into the graph if the stream is being captured. */
CUresult stream_enqueue(CUstream stream, struct op *op);
/* The same, but always into the stream; *item_p, if not NULL, gets the item with a reference. */
CUresult stream_append(CUstream stream, struct op *op, struct item **item_p);
struct item *item_new(struct op *op, unsigned speed); /* a reference for the pending list; takes op over */
bool item_order(struct item *first, struct item *second);
void item_start(struct item *item); /* after its orders are known */
void item_release(struct item *item);
void launch_release(struct launch *launch);
void stream_set_tail(CUstream stream, struct item *item);
/* Who must come before the next item of the stream. */
bool stream_order(CUstream stream, struct item *item);
CUresult demand(struct item *item);
CUresult demand_device(int device);
void poll_some(void);
/* A call that may wait for all that a device does: a violation while a kernel stays. */
void forbid_while_staying(const char *call);
bool host_thread_ready(void); /* starts the thread for host functions */
void work_reset(void);
CUresult expand(CUgraph graph, struct launch *launch, unsigned speed, struct item *before,
                struct item *after);

/* ---- Memory -------------------------------------------------------------------------------*/

enum { POISON_NEW = 0xff, POISON_FREED = 0xf7 }; /* bytes that nobody has written */
struct alloc {
    uint64_t base;
    size_t size;
    int device; /* -1: pinned host memory */
    bool is_registered;
    bool is_coming, is_leaving; /* its allocation, its release is queued */
    CUmemoryPool pool;
    unsigned char *written; /* a bit per byte; NULL for host memory */
};
struct CUmemPoolHandle_st {
    struct object object;
    int device;
    uint64_t threshold;
    size_t in_use, peak;
    bool reaches[MAX_DEVICES];
};
CUresult memory_reset(int n_devices, size_t bytes);
CUresult copy_from_3d(const CUDA_MEMCPY3D *p, struct copy *copy_p); /* for graph nodes */
CUresult memory_alloc(int device, size_t bytes, bool is_async, CUmemoryPool pool, CUdeviceptr *ptr_p);
void memory_free(struct alloc *a);
struct alloc *memory_find(uint64_t address);
CUresult memory_insert(struct alloc *a); /* host memory, which is nobody's yet */
bool memory_overlaps(uint64_t base, size_t n);
void memory_leave_pool(CUmemoryPool pool); /* what was allocated from it is nobody's from now on */
/* Where a kernel or copy on `device` finds [address, address+n); false after a fault.  device -1: a copy,
 * which needs no peer access. */
bool memory_span(int device, uint64_t address, size_t n, const char *what, unsigned char **p,
                 struct alloc **a_p);
void memory_mark_written(struct alloc *a, uint64_t address, size_t n);
bool memory_is_written(const struct alloc *a, uint64_t address, size_t n);
/* Bytes nobody has written stay such when they are copied between devices. */
void memory_copy_marks(struct alloc *to, uint64_t to_address, const struct alloc *from, uint64_t from_address, size_t n);
void execute_copy(struct op *op);
void execute_set(struct op *op);
void execute_alloc(struct op *op);
void execute_free(struct op *op);
void memory_leaks(size_t *n_device, size_t *device_bytes, size_t *n_pinned, size_t *n_registered);
bool is_device_address(uint64_t address);

/* ---- Code and graphs ----------------------------------------------------------------------*/

struct CUfunc_st {
    struct object object;
    CUmodule module;
    const struct standin_kernel *kernel; /* its registration */
    int registers, shared, max_threads, max_dynamic_shared;
    size_t args_size;
};
size_t function_offset(CUfunction function, unsigned param);
int register_locked(const struct standin_kernel *kernel); /* standin_register_kernel() with the lock held */
/* False if there is none of the name.  Either output may be NULL. */
bool module_global(CUmodule module, const char *name, CUdeviceptr *ptr_p, size_t *bytes_p);
CUresult function_op(CUfunction function, const unsigned *grid, const unsigned *block, unsigned shared_bytes,
                     bool is_cooperative, void **args, void **extra, struct op *op);
bool function_fits(const struct op *op);
void execute_kernel(struct item *item);
/* Calls what is registered for a kernel from within another one's launch, with these arguments, each in a word.  The lock is
 * held while its pointers are looked at, since threads of that launch may do the same.  0, what it failed with, or negative. */
int call_registered(const char *name, const struct standin_launch *within, const uint64_t *words, unsigned n_words,
                    pthread_mutex_t *lock);
/* The same for what a module has by that name. */
int call_of_module(CUmodule module, const char *name, const struct standin_launch *within, const uint64_t *words, unsigned n_words,
                   pthread_mutex_t *lock);
/* And with words that have addresses of the host, as such a function has made them. */
int call_as_is(CUmodule module, const char *name, const struct standin_launch *within, const uint64_t *words, unsigned n_words,
               pthread_mutex_t *lock);
bool is_held(const struct op *op);
void code_reset(void);

struct CUgraphNode_st {
    struct object object;
    CUgraph graph;
    struct op op;
    size_t index; /* in graph->node */
    CUgraphNode *before;
    size_t n_before;
    CUgraphNode origin; /* in a clone: the node it was copied from */
};
struct CUgraph_st {
    struct object object;
    bool is_owned;    /* by a node, a capture or an executable graph: not for cuGraphDestroy */
    unsigned n_users; /* launches under way */
    bool is_doomed;   /* to be freed after the last of them */
    CUgraphNode *node;
    size_t n_nodes;
    struct {
        CUgraphConditionalHandle handle;
        unsigned initial;
        bool is_assigned;
    } * condition;
    size_t n_conditions;
};
struct CUgraphExec_st {
    struct object object;
    CUgraph graph; /* a clone */
    struct item *last;
};
CUgraph graph_new(bool is_owned);
void graph_free(CUgraph graph);
/* Takes over what op owns, also on failure. */
/* Whether this part of a graph is the one that a test leaves out; counts it. */
bool is_left_out(enum standin_part what);
CUresult graph_add(CUgraph graph, const CUgraphNode *before, size_t n, struct op *op, CUgraphNode *node_p);
CUgraph graph_clone(CUgraph from, bool is_owned); /* NULL: no memory */
void op_drop(struct op *op);                      /* with its children */
/* What nodes of these parameters do. */
CUresult kernel_op(const CUDA_KERNEL_NODE_PARAMS *p, struct op *op);
CUresult set_op(const CUDA_MEMSET_NODE_PARAMS *p, CUcontext ctx, struct op *op);
CUresult copy_op(const CUDA_MEMCPY3D *p, CUcontext ctx, struct op *op);
CUresult host_op(const CUDA_HOST_NODE_PARAMS *p, struct op *op);
CUresult node_set(CUgraphNode node, struct op *op); /* takes op over */
void node_free(CUgraphNode node);                   /* which is in no graph any more */

struct capture *capture_find(uint64_t id);
void captures_reset(void);
/* For a call that captures of this thread, or of all with CU_STREAM_CAPTURE_MODE_GLOBAL, forbid. */
CUresult capture_forbid(void);
CUresult capture_invalidate(struct capture *capture, CUresult rc);
bool capture_blocks_legacy(CUcontext ctx);

/* ---- The whole ----------------------------------------------------------------------------*/

struct state {
    pthread_mutex_t lock;
    pthread_cond_t progress; /* something was done, or a hold ended */
    bool is_initialised;     /* cuInit was called */
    int n_devices;
    size_t memory_bytes;
    bool has_peers, is_all_linked;
    uint64_t random;
    CUresult sticky;
    struct CUctx_st ctx[MAX_DEVICES];
    uint64_t n_calls[N_CALLS], n_calls_all;
    struct rule {
        int call; /* enum call; -1: all */
        uint64_t left;
        CUresult code;
        enum standin_fail how;
    } rule[MAX_RULES];
    unsigned n_rules;
    uint64_t n_hits;
    bool spares_libraries, is_lazy;
    uint64_t n_parts[STANDIN_N_PARTS], left_out[STANDIN_N_PARTS];
    unsigned n_violations;
    char violations[4096];
    struct standin_stats stats;
    double clock_us;
    size_t in_use[MAX_DEVICES];
    struct object *objects[N_OBJECT_KINDS]; /* alive */
    unsigned patience_us;
    unsigned n_places;   /* for kernels that wait, on each device */
    void (*watch)(void *user, const char *kernel, void **args); /* NULL: nobody */
    void *watch_user;
};
extern struct state state;
extern __thread unsigned n_libraries;   /* this thread is in so many calls of libraries */
extern __thread bool is_host_function; /* this thread is running one */

uint64_t draw(uint64_t below); /* from the seed */
void violation(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The end of the process's use of the driver. */
void fault(CUresult code, const char *format, ...) __attribute__((format(printf, 2, 3)));
CUresult current_ctx(CUcontext *ctx_p);

struct scope {
    CUresult late; /* of a rule that fails a call which has its effect all the same */
    bool is_skipped; /* a rule makes the call do nothing */
};
enum enter_how { ENTER, ENTER_ANY, ENTER_RELEASE };
/* CUDA_SUCCESS: go on.  Otherwise the call returns *rc_p. */
bool enter(struct scope *scope, enum call call, enum enter_how how, CUresult *rc_p);
void leave(struct scope *scope);
#define BEGIN_HOW(symbol, how)                                \
    struct scope scope __attribute__((cleanup(leave))) = {0}; \
    CUresult rc;                                              \
    if (!enter(&scope, CALL_##symbol, how, &rc))              \
        return rc;                                            \
    rc = CUDA_SUCCESS
#define BEGIN(symbol)         BEGIN_HOW(symbol, ENTER)
#define BEGIN_ANY(symbol)     BEGIN_HOW(symbol, ENTER_ANY)     /* works before cuInit and after a fault */
#define BEGIN_RELEASE(symbol) BEGIN_HOW(symbol, ENTER_RELEASE) /* releases even where it reports an error */
#define DONE(result)                                       \
    do {                                                   \
        CUresult done_ = (result);                         \
        return done_ != CUDA_SUCCESS ? done_ : scope.late; \
    } while (0)

#endif
