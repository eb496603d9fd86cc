/* The CPU executor's shared structures.
 *
 * A runtime has workers.  A run executes a graph; it has one instance for the graph and one for
 * each body of a control task that has been entered.  An instance holds what changes while a graph
 * is executed, above all the counters of unfinished predecessors.
 *
 * A task becomes ready when its counter reaches zero.  The worker that brought it there keeps one
 * ready task for itself and pushes the others on its own deque; workers without tasks take roots
 * from sources, then steal.  Items of deques are 64-bit words:
 *
 *     task    id << 32 | instance slot << 2 | 01
 *     locked  the same with 11: the task holds all locks of its groups
 *     job     address of a struct tg_job, 00
 *     child   address of a struct tgi_child, 10
 *
 * Life of an instance: the counters are full; roots are published; every task that finishes counts
 * its successors down, the last one refills the counter for the next time; finished sinks are
 * counted in n_left, in batches; the worker that brings n_left to zero finishes the instance. */
#ifndef TGI_SCHED_RUNTIME_H
#define TGI_SCHED_RUNTIME_H

#include <pthread.h>

#include "graph/model.h"
#include "mem/store.h"
#include "sched/cpu_module.h"
#include "sched/deque.h"
#include "sched/parking.h"
#include "sched/record.h"
#include "sched/topology.h"

#define TGI_MAX_INSTANCES 16384u /* at a time, of all runs of a runtime */
#define TGI_N_SOURCES 64u
#define TGI_N_DEQUES (TGI_N_CLASSES + 1)
#define TGI_DEQUE_JOBS TGI_N_CLASSES /* jobs and children have a deque of their own */

enum { TGI_ITEM_JOB = 0, TGI_ITEM_TASK = 1, TGI_ITEM_CHILD = 2, TGI_ITEM_LOCKED = 3 };

struct tgi_instance;
struct tgi_worker;
struct tgi_offload; /* offload.h: execution on devices */
struct tgi_offload_run;
struct tgi_offload_instance;
struct tgi_agenda; /* agenda.h: a policy between workers */
struct tgi_guide;  /* guide.h: what a run is to follow */
struct tgi_cut;    /* cut.h: moments at which no task is half done */

/* ---- A running task, as its kernel sees it ------------------------------------------------*/

#define TGI_EXPLANATION_BYTES 768
/* Children that were spawned without a sync, and the task they belong to. */
struct tgi_family {
    _Atomic uint32_t n_alive; /* children, and the task's own body; zero completes the task */
    _Atomic int32_t status;   /* first failure */
    struct tgi_instance *instance;
    uint32_t task;
    char explanation[256];    /* of the child whose failure is in status; published by the count */
};

struct tg_context {
    struct tgi_worker *worker;
    struct tgi_instance *instance; /* NULL: no task */
    uint32_t task;
    struct tgi_family *family; /* NULL until a child is spawned */
    char *explanation;         /* TGI_EXPLANATION_BYTES: the worker's, or a job's or child's own */
    const struct tg_context *outer; /* what the thread was at when it took this up; NULL: the worker's loop */
};

struct tgi_child {
    tg_job_fn fn;
    struct tgi_family *family;
    _Alignas(16) char arg[];
};

/* ---- Runs and instances -------------------------------------------------------------------*/

/* A kernel as it is called. */
struct tgi_call {
    tg_cpu_fn fn; /* NULL: not a kernel */
    uint32_t n_params;
    uint32_t pointer_mask;
    const struct tgi_default *defaults;
};

/* A task with very many predecessors counts them down in two steps, so that workers that finish
 * distant predecessors at a time do not meet on one word: predecessors are split by id into
 * leaves, and the last of a leaf counts down the task itself. */
#define TGI_WIDE_PREDS 2048u
#define TGI_WIDE_LEAF 256u /* as many as a worker claims roots at a time */
struct tgi_leaf {
    _Alignas(64) _Atomic uint32_t left; /* unfinished predecessors; the last arrival refills */
    uint32_t full;
};
struct tgi_wide {
    uint32_t task;
    uint32_t first_pred; /* smallest id */
    uint32_t shift;      /* leaf of pred p: (p - first_pred) >> shift */
    uint32_t n_leaves;   /* with at least one predecessor */
    struct tgi_leaf *leaves;
};

enum tgi_mark { TGI_MARK_POISONED = 1, TGI_MARK_FAILED = 2, TGI_MARK_SKIPPED = 4 };

struct tgi_lock; /* of a commute or reduce group; share.c */
struct tgi_share_state;

/* Called when every task is done; by the worker that did the last one. */
typedef void (*tgi_instance_fn)(struct tgi_worker *w, struct tgi_instance *instance);

struct tgi_instance {
    /* constant while it runs */
    const struct tg_graph *graph;
    const struct tgi_node *nodes; /* with gates from n_tasks on (graph/gate.h) */
    const uint32_t *succ;
    uint32_t n_tasks, n_nodes;
    const uint8_t *class_of;  /* the graph's */
    struct tg_run *run;
    uint32_t slot;
    bool is_special;          /* every task takes the long way: a policy is told of each, or a cut */
    struct tgi_span *spans;   /* the run's, or those of the round under way; NULL: nothing is recorded */
    struct tgi_round *round;  /* of a recorded body; the last one begun */
    /* Unfinished predecessors by task.  Each is written by those who finish predecessors, acq_rel;
     * the last refills it, relaxed: the refill happens before the instance finishes. */
    _Atomic uint32_t *left;
    struct tgi_wide *wides;   /* sorted by task */
    uint32_t n_wides;
    uint32_t *roots;          /* NULL: every task is a root, in order */
    uint32_t n_roots;
    uint32_t n_units;         /* what n_left starts from: sinks, or iterations of a loop */
    _Atomic uint8_t *marks;   /* enum tgi_mark by task; each written before the task is released */
    struct tgi_lock *locks;   /* by group; NULL: none */
    struct tgi_share_state *share_states; /* by share */
    /* a loop instead of a graph */
    void (*loop)(void *user, uint32_t i);
    void *loop_user;
    tgi_instance_fn on_done;
    /* With devices; NULL without.  By task: it passes through the submitter when it is ready. */
    const uint8_t *via;
    struct tgi_offload_instance *offload;
    /* A policy decides which ready task is next, and items are tickets; NULL without.  Then `via` is all 0, and is_special. */
    struct tgi_agenda *agenda;
    struct tgi_instance *next_waiting; /* for a source */
    /* a body: the task it belongs to */
    struct tgi_instance *parent;
    uint32_t parent_task;
    uint64_t n_rounds;        /* of the body, done */
    /* Sinks that have not finished.  Written by all workers, in batches. */
    _Alignas(64) _Atomic uint32_t n_left;
};

/* Why a run starts no more bodies. */
enum tgi_stop { TGI_STOP_NO, TGI_STOP_FAILED, TGI_STOP_CANCELLED, TGI_STOP_TIMEOUT };
enum tgi_run_state { TGI_RUN_IDLE, TGI_RUN_ACTIVE, TGI_RUN_DONE };

/* Submitted: no task is left to hand out, or the run is over. */
enum tgi_submission { TGI_NOT_SUBMITTED, TGI_SUBMISSION_AWAITED, TGI_SUBMITTED };

struct tg_run {
    struct tg_runtime *runtime;
    const struct tg_graph *graph;
    struct tg_run_options options;
    struct tgi_store *store;
    void *const *tiles;       /* store->tile */
    struct tgi_call *calls;   /* by op */
    char **variant_text;      /* by op */
    struct tgi_cpu_module **modules;
    uint32_t n_modules;
    struct tgi_offload_run *offload; /* NULL: on CPUs alone */
    struct tgi_agenda *agenda;       /* of its graph; NULL: none, or devices take part */
    const struct tgi_guide *guide;   /* while it is created; NULL: none */
    struct tg_run *next_abandoned;   /* after tg_run_destroy(), if a task has not returned */
    struct tgi_cut *cut;             /* the guide's; NULL: none */
    struct tgi_instance *main;
    struct tgi_instance init; /* loop over tiles to initialise */
    struct tgi_init_item {
        uint32_t buffer, tile;
    } *init_items;
    uint32_t n_init_all, n_init_written; /* the written ones come first */
    uint32_t n_init_due;      /* of the start under way */
    bool has_started;
    bool is_initialised;      /* once: the other tiles hold what they should */
    bool has_deadlines;
    bool needs_serial;        /* one task at a time: deterministic, or looked at one by one */
    struct tgi_span *spans;   /* by task of the main graph; NULL: not recorded */
    bool has_lent_spans;      /* they are not the run's own */
    struct tgi_run_log log;   /* all NULL: there is none */
    struct tgi_rounds rounds; /* of bodies, if recorded; under the lock */
    struct tgi_worker_stats *worker_stats; /* by worker: at the start, then what the run added */
    /* By whoever begins the main graph; relaxed: a run that its time limit has ended is asked about while the submitter
     * may still be beginning it, and any value will do then. */
    _Atomic uint64_t begin_ns;
    uint64_t init_begin_ns, end_ns;
    _Atomic uint64_t last_ended_ns; /* when all tasks had ended, if something had to be done after that before the run could end; 0: nothing */
    /* By op: the instances of a control task's bodies, made on first use and kept.  Each is written
     * by the worker that executes the task. */
    struct tgi_instance *(*bodies)[2];
    pthread_mutex_t lock;     /* error, rounds */
    struct tg_error error;    /* the first failure */
    /* Read for every task: nonzero sends tasks the long way.  Written on failure and cancel. */
    _Alignas(64) _Atomic uint32_t attention;
    _Atomic uint32_t stop;    /* enum tgi_stop; the first one stays, but for a failure after it */
    /* enum tgi_run_state; release by the finishing worker publishes all results; a futex. */
    _Atomic uint32_t state;
    _Atomic uint32_t has_init_failed; /* by any worker, for some tile */
    _Atomic uint32_t has_ended; /* exchanged by whoever ends the run */
    /* enum tgi_submission; by the submitter or whoever ends the run, release, but for who begins to wait; a futex. */
    _Atomic uint32_t submission;
    _Atomic uint32_t is_settled; /* every task is accounted for: memory may go */
    _Alignas(64) _Atomic uint64_t n_failed;
    _Atomic uint64_t n_skipped, n_retried;
    bool has_unnamed_failure; /* a kernel or collective on a device, nobody knows which; by the submitter, once it has started */
};

/* What a worker counts.  Written by the worker alone, relaxed; read by anybody for statistics. */
struct tgi_counts {
    _Atomic uint64_t busy_ns, n_tasks, n_steals, n_failed_steals, n_parks;
};
static inline void tgi_count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

/* ---- Workers ------------------------------------------------------------------------------*/

struct tgi_worker {
    struct tg_runtime *runtime;
    uint32_t index;
    uint32_t *victims;
    struct tg_context context;  /* of the task in execution */
    const struct tg_context *running; /* innermost: the task's, or a job's or child's; for signal handlers */
    /* Finished sinks not yet counted in their instance's n_left. */
    struct tgi_instance *batch;
    uint32_t n_batch;
    /* Predecessors of a gate, finished here and not yet counted down (release.h); 0: none. */
    uint32_t n_held, held_gate;
    struct tgi_instance *held;
    bool is_serial;             /* in a deterministic run: children run at once, here */
    uint32_t robbed;            /* out of whose deque the last item was stolen; n_workers: the submitter's */
    uint64_t random;
    struct tgi_counts counts;
    char explanation[TGI_EXPLANATION_BYTES];
    /* For the watchdog: when the body in execution is overdue (0: no limit), and what it is. */
    _Alignas(64) _Atomic uint64_t deadline_ns;
    _Atomic(struct tgi_instance *) watched;
    _Atomic uint32_t watched_task;
    struct tgi_parking_seat seat;
    struct tgi_deque deques[TGI_N_DEQUES];
    /* The owner's: bit d is set if deque d may hold something, so that taking looks at few of them. */
    uint32_t used_deques;
};

/* False without memory. */
static inline bool tgi_worker_deque_push_owner(struct tgi_worker *w, uint32_t deque, uint64_t item)
{
    w->used_deques |= 1u << deque;
    return tgi_deque_push_owner(&w->deques[deque], item);
}

/* Roots of an instance that nobody has claimed yet.  The word holds a generation and the number of
 * roots left; a successful claim of at least one root keeps the instance alive, so the other
 * fields are valid for whoever made it. */
struct tgi_source {
    _Alignas(64) _Atomic uint64_t word; /* generation << 32 | left; 0 left: free */
    _Atomic(struct tgi_instance *) instance;
};

struct tg_runtime {
    uint32_t n_workers;
    struct tgi_worker **workers;
    pthread_t *threads;
    uint32_t n_threads;
    struct tgi_topology *topology;
    bool is_bound;
    uint32_t *worker_of_cpu;         /* if bound, by the system's number of a processor; TG_NONE: no worker's */
    uint32_t n_cpus;                 /* of these */
    struct tgi_offload *offload;     /* NULL: no devices */
    struct tgi_worker *submitter;    /* its worker, whose deques are stolen from as well; NULL: no devices */
    uint64_t memory_bytes;
    bool has_devices_alone;
    uint64_t topology_ns, devices_ns, threads_ns; /* what opening them took; the first two at once */
    void (*on_thread)(void *user);
    void *on_thread_user;
    struct tgi_parking parking;
    struct tgi_source sources[TGI_N_SOURCES];
    _Atomic uint32_t n_sources;      /* in use; a hint */
    /* Instances that found no source free, in order; written by holders of the lock. */
    struct tgi_instance *first_waiting, *last_waiting;
    _Atomic uint32_t n_waiting;
    _Atomic uint32_t is_ending;
    _Atomic(struct tgi_instance *) *instances; /* by slot */
    pthread_mutex_t lock;            /* slots, sources' allocation, watchdog */
    uint32_t *free_slots;
    uint32_t n_free_slots;
    /* watchdog.c */
    pthread_t watchdog;
    _Atomic uint32_t has_abandoned;  /* a run was given up with a task still at it, which keeps its worker */
    struct tg_run *abandoned;        /* such runs after tg_run_destroy(), under `lock` */
    bool has_watchdog;
    _Atomic uint32_t watchdog_ends;
    struct tg_run *timed_runs[16];   /* with a limit of their own */
};

/* ---- Who does what ------------------------------------------------------------------------*/

uint64_t tgi_now_ns(void);
/* When tasks began, of tgi_now_ns(). */
static inline uint64_t tgi_run_begin_ns(const struct tg_run *run)
{
    return atomic_load_explicit(&((struct tg_run *)run)->begin_ns, memory_order_relaxed);
}
static inline void tgi_run_set_begin_ns(struct tg_run *run, uint64_t ns)
{
    atomic_store_explicit(&run->begin_ns, ns, memory_order_relaxed);
}

/* record.c */
/* A round of a recorded body begins: its tasks get spans of their own, unless there are too many. */
void tgi_record_round(struct tgi_instance *body, struct tgi_instance *parent, uint32_t task, uint64_t number);
void tgi_record_clear(struct tg_run *run);

/* worker.c */
/* Works until the run is done (run NULL: until the runtime ends).  The caller owns worker w. */
void tgi_worker_loop(struct tgi_worker *w, struct tg_run *until);
/* A task's body is done, or will not be run: release its successors.  Ready ones are pushed. */
void tgi_worker_complete(struct tgi_worker *w, struct tgi_instance *instance, uint32_t task);
void tgi_worker_push(struct tgi_worker *w, struct tgi_instance *instance, uint32_t task, uint32_t tag);
/* The same for a task that workers execute, whatever it passed through. */
void tgi_worker_push_here(struct tgi_worker *w, struct tgi_instance *instance, uint32_t task, uint32_t tag);
void tgi_worker_wake(struct tg_runtime *rt);
/* After announcing a seat: takes the announcement back and calls its thread if there is work. */
void tgi_worker_wake_if_work(struct tg_runtime *rt, uint32_t seat);
/* Steals from a deque of somebody else's; TGI_DEQUE_EMPTY: nothing found. */
uint64_t tgi_worker_steal(struct tgi_worker *w, uint32_t first_deque, uint32_t end_deque);
void tgi_worker_execute_item(struct tgi_worker *w, uint64_t item);
/* The worker in whose place the calling thread works; NULL: none.  Safe in a signal handler. */
struct tgi_worker *tgi_worker_of_thread(void);
/* The calling thread takes up something else than the task it is at, and comes back to that. */
static inline void tgi_worker_enter(struct tgi_worker *w, struct tg_context *ctx)
{
    ctx->outer = w->running;
    w->running = ctx;
}
static inline void tgi_worker_return(struct tgi_worker *w, const struct tg_context *ctx)
{
    w->running = ctx->outer;
}
/* Counts what the worker has finished; may finish instances. */
void tgi_worker_flush(struct tgi_worker *w);

/* task.c: the long way */
/* Runs the body, with everything that needs: locks, retries, deadline, record, control.  True if
 * the task is done and its successors can be released now; otherwise somebody else will do so. */
bool tgi_task_execute(struct tgi_worker *w, struct tgi_instance *instance, uint32_t task, bool has_locks);
/* After the body has returned rc, on the worker that ran it: false if children are still at it. */
bool tgi_task_leave(struct tgi_worker *w, struct tgi_instance *instance, uint32_t task, int rc);
/* The last child of a task is done. */
void tgi_task_family_done(struct tgi_worker *w, struct tgi_family *family);
/* Elements that an argument word stands for. */
uint64_t tgi_word_elems(const struct tgi_space *space, uint64_t word, const struct tgi_buffer **buffer_p);
void tgi_run_fail(struct tg_run *run, struct tgi_instance *instance, uint32_t task, int status, const char *text);
/* A failure that is known by the tile it is about; TG_NONE: not known. */
void tgi_run_fail_tile(struct tg_run *run, uint32_t tile, const char *text);
/* When all of a run on devices is over: what was executed with what a failed task left counts as skipped, as does what may have failed
 * itself where nobody knows which task has. */
void tgi_run_spread_failures(struct tg_run *run);
/* No task is to blame: the run fails and starts nothing more. */
void tgi_run_fail_whole(struct tg_run *run, int status, const char *text);
/* Whether the task is not to run any more. */
bool tgi_task_is_skipped(struct tgi_instance *instance, uint32_t task);
/* The task, or the rest of a control task, will not run. */
void tgi_task_skip(struct tgi_instance *instance, uint32_t task);
/* The task has failed or was skipped: what comes after it will be skipped, and the control task whose
 * body it is in has failed. */
void tgi_poison_successors(struct tgi_instance *instance, uint32_t task);
/* Pointer values of a kernel's arguments; ptrs[i] points to values[i]. */
void tgi_task_args(const struct tgi_instance *instance, uint32_t task, void **ptrs, uint64_t *values);

/* instance.c */
int tgi_instance_create(struct tg_run *run, const struct tg_graph *g, struct tgi_instance **instance_p,
                        struct tg_error *err);
void tgi_instance_destroy(struct tgi_instance *instance);
/* How a wide task is counted down. */
struct tgi_wide *tgi_instance_wide(struct tgi_instance *instance, uint32_t task);
/* Publishes the roots; w is the calling worker, or NULL from outside. */
void tgi_instance_start(struct tg_runtime *rt, struct tgi_worker *w, struct tgi_instance *instance);
/* A source has become free: the instances that wait for one get theirs. */
void tgi_sources_serve(struct tg_runtime *rt);
void tgi_instance_finish(struct tgi_worker *w, struct tgi_instance *instance);
int tgi_slot_take(struct tg_runtime *rt, struct tgi_instance *instance, struct tg_error *err);
void tgi_slot_give(struct tg_runtime *rt, struct tgi_instance *instance);

/* control.c: repeat, while, if */
/* Starts a control task; true if it is done at once. */
bool tgi_control_begin(struct tgi_worker *w, struct tgi_instance *parent, uint32_t task);
/* A round of the body is over, and what decides about the next is there. */
void tgi_control_continue(struct tgi_worker *w, struct tgi_instance *body);
/* The instance of the body to execute now, after n_rounds of it; NULL: none, the task is done, or
 * has failed for want of memory. */
struct tgi_instance *tgi_control_next(struct tgi_instance *parent, uint32_t task, uint64_t n_rounds);
/* The instance of its body, 0, or of its other one, 1; made with the first call.  TG_E_NO_MEMORY, TG_E_LIMIT. */
int tgi_control_body(struct tgi_instance *parent, uint32_t task, uint32_t which, struct tgi_instance **body_p,
                     struct tg_error *err);

/* share.c */
bool tgi_locks_create(struct tgi_instance *instance);
void tgi_locks_destroy(struct tgi_instance *instance);
/* Takes all locks of a task; false: it waits and will be pushed when it has them. */
bool tgi_locks_acquire(struct tgi_worker *w, struct tgi_instance *instance, uint32_t task);
/* Redirects reduce arguments to private copies where a lock was not to be had. */
void tgi_locks_redirect(struct tgi_instance *instance, uint32_t task, uint64_t *values);
void tgi_locks_release(struct tgi_worker *w, struct tgi_instance *instance, uint32_t task);

/* serial.c */
/* Executes a whole instance on one worker, in an order drawn from seed (0: program order). */
void tgi_serial_execute(struct tgi_worker *w, struct tgi_instance *instance, uint64_t seed);

/* spawn.c */
void tgi_job_execute(struct tgi_worker *w, struct tg_job *job);
void tgi_child_execute(struct tgi_worker *w, struct tgi_child *child);
/* The first failure of a family counts.  The caller is counted in n_alive. */
void tgi_family_fail(struct tgi_family *family, int rc, const char *explanation);

/* resolve.c */
int tgi_run_resolve(struct tg_run *run, struct tg_error *err);
void tgi_run_unresolve(struct tg_run *run);

/* run.c */
/* The last task is done. */
void tgi_run_done(struct tg_run *run);
/* No task is left to hand out; also said by tgi_run_end(). */
void tgi_run_submitted(struct tg_run *run);
/* Ends the run for those who wait, whether or not tasks are still at it; false: it has ended. */
bool tgi_run_end(struct tg_run *run);
/* TG_E_STATE: the run is under way. */
int tgi_run_check_idle(const struct tg_run *run, struct tg_error *err);

/* watchdog.c */
int tgi_watchdog_need(struct tg_runtime *rt, struct tg_error *err);
int tgi_watchdog_add(struct tg_run *run, struct tg_error *err);
void tgi_watchdog_remove(struct tg_run *run);
void tgi_watchdog_end(struct tg_runtime *rt);

#endif
