/* tgraph: a service that stays on a GPU.
 *
 * One kernel is launched once and stays.  The program sends it messages and receives answers, without a launch in
 * between: both pass through rings in memory that host and GPU share.
 *
 *     struct tg_service *service;
 *     tg_service_create(NULL, &service, &err);
 *     tg_service_launch(service, &err);
 *     tg_service_activate(service, &err);
 *     tg_service_call(service, &message, timeout_ns, answer, sizeof answer, &n_bytes, &err);
 *     tg_service_terminate(service, timeout_ns, &err);
 *     tg_service_destroy(service);
 *
 * States.  Each call that changes the state is legal in the states on its left, and TG_E_STATE elsewhere:
 *
 *     created                        launch      -> launched     the kernel is there and answers nobody yet
 *     launched, inactive             activate    -> active
 *     active                         deactivate  -> inactive     what it is at is finished, what comes is kept
 *     launched, active, inactive     terminate   -> terminating -> terminated
 *     terminating                    terminate   goes on waiting
 *     any                            destroy
 *
 * Messages are sent in the states launched, active and inactive; answers can be received in all but created.  A call needs an
 * active service.  Every message that was sent before terminate is answered.
 *
 * Answers are received, or given to a callback, or a descriptor says when one can be received; see Completions.
 *
 * Idle exit.  A kernel that has had nothing to do for idle_exit_ns leaves and the GPU is free; the next message
 * brings it back.  Nothing else tells: the state stays, and a launch is added to that message's latency.
 *
 * Back-pressure.  A message takes a place of the queue from send until its answer is received, or dropped after a
 * timeout.  The places are taken in turn: without the next one free, send is TG_E_FULL, and nothing ever overflows.
 *
 * Failures.  A body that fails makes the answer of its message say so; others go on.  A fault of the device, or of the driver,
 * ends the service: it is terminated then, and every call tells the first error again.
 *
 * While the kernel is resident, calls that wait for the whole device, such as cudaFree() and cudaDeviceSynchronize(), wait for
 * the service.
 *
 * Threads.  Any thread may call anything but destroy, which must be the last call; calls exclude each other for
 * short times and no call holds up another while it waits.  Conventions are those of tgraph.h. */
#ifndef TGRAPH_SERVICE_H
#define TGRAPH_SERVICE_H

#include "tgraph.h"

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Lifetime -----------------------------------------------------------------------------*/

struct tg_service_options {
    size_t size;
    uint32_t device;         /* "cuda:0" is 0 */
    uint32_t n_sms_free;     /* multiprocessors that are left to others; two at least are the service's */
    uint32_t queue_capacity; /* messages under way; a power of two, 2 to 65536 */
    uint32_t message_bytes;  /* of a message or an answer, at most; 32 to 65528 */
    uint64_t idle_exit_ns;   /* 0: the kernel stays until it is terminated */
    uint64_t limit_ns;       /* a body that waits longer for another is stuck, which its answer says */
    bool has_telemetry;      /* the kernel counts what it does, for tg_service_metrics() */
    uint64_t host_timeout_ns; /* a kernel that has heard nothing from its host for so long leaves; 0: it never does */
    const struct tg_service_setup *setup; /* programs and clients; NULL: it takes messages alone */
};
#define TG_SERVICE_OPTIONS_INIT \
    {sizeof(struct tg_service_options), 0, 4, 256, 1024, 1000000000u, 10000000000u, true, 500000000u, NULL}

struct tg_service_setup;

enum tg_service_state {
    TG_SERVICE_CREATED,
    TG_SERVICE_LAUNCHED,
    TG_SERVICE_ACTIVE,
    TG_SERVICE_INACTIVE,
    TG_SERVICE_TERMINATING,
    TG_SERVICE_TERMINATED
};
const char *tg_service_state_name(enum tg_service_state state);

struct tg_service;
/* Opens the device, plans the programs and gets all memory that the service will need.  TG_E_NO_DEVICE, TG_E_NO_LIBRARY,
 * TG_E_UNSUPPORTED: the device launches no cooperative kernels; TG_E_INVALID, TG_E_LIMIT: what the setup is. */
int tg_service_create(const struct tg_service_options *options, struct tg_service **service_p, struct tg_error *err);
/* Waits for the kernel's first sign of life; TG_E_NO_ANSWER: there was none within ten seconds, as its multiprocessors are in
 * use.  The service is created then as before. */
int tg_service_launch(struct tg_service *service, struct tg_error *err);
int tg_service_activate(struct tg_service *service, struct tg_error *err);
/* Once it has returned, no message is taken until the service is active again. */
int tg_service_deactivate(struct tg_service *service, struct tg_error *err);
/* Takes no more messages, answers those it has, and waits until the kernel has left.  TG_E_NO_ANSWER: it has not yet; the
 * service is terminating, and the call can be made again. */
int tg_service_terminate(struct tg_service *service, uint64_t timeout_ns, struct tg_error *err);
/* Ends a kernel that is still there as soon as its bodies look up; what has not been answered is lost.  Takes NULL. */
void tg_service_destroy(struct tg_service *service);

/* ---- Messages -----------------------------------------------------------------------------*/

/* What is done with a message's bytes; the answer has as many. */
enum tg_service_body {
    TG_SERVICE_ECHO, /* nothing: they are the answer */
    TG_SERVICE_MIX,  /* every 8 bytes become a 64-bit mix of themselves and the argument; bytes beyond a multiple of 8 stay */
    TG_SERVICE_SPIN, /* `argument` microseconds pass */
    TG_SERVICE_FAIL, /* it fails with the code `argument` */
    TG_SERVICE_N_BODIES
};

struct tg_service_message {
    enum tg_service_body body;
    uint32_t argument;
    const void *data; /* read before send returns; NULL if there are no bytes */
    size_t n_bytes;   /* more than message_bytes: TG_E_LIMIT */
};

struct tg_service_answer {
    uint64_t ticket;
    int status;         /* 0, TG_E_TASK_FAILED, TG_E_TASK_TIMEOUT: it was stuck, TG_E_CANCELLED: another was and the kernel left, or
                           it was cancelled; TG_E_DEADLINE: its turn came too late */
    uint32_t code;      /* of a failure: what the body said */
    size_t n_bytes;
    uint64_t latency_ns; /* from send until the answer was seen */
    bool is_late;        /* done, after its deadline */
    bool is_kept;        /* with TG_E_CANCELLED: its bytes are what it goes on with, tg_service_keep() */
};

/* Returns at once.  *ticket_p, which may be NULL, counts from 0.  TG_E_FULL. */
int tg_service_send(struct tg_service *service, const struct tg_service_message *message, uint64_t *ticket_p,
                    struct tg_error *err);
/* The next answer to a message that was sent, in the order in which they come; room below its n_bytes: TG_E_LIMIT, and
 * it stays.  TG_E_NO_ANSWER: none came in time; 0 only looks. */
int tg_service_receive(struct tg_service *service, uint64_t timeout_ns, struct tg_service_answer *answer_p, void *data,
                       size_t room, struct tg_error *err);
/* Sends and waits for the answer to this message, which receive never sees.  A failure of the body is the status. */
int tg_service_call(struct tg_service *service, const struct tg_service_message *message, uint64_t timeout_ns, void *data,
                    size_t room, size_t *n_bytes_p, struct tg_error *err);

/* ---- Completions --------------------------------------------------------------------------*/

/* Both are for the answers that receive gives or would give, not for those of calls.  Either has a thread of the service's own
 * watch for answers from then on: it sleeps while none is to come, spins for 20 us after the last message was sent or the last of these
 * answers came, then yields for half a millisecond, then looks 16 times in as long as it has waited, between 20,000 and 1,000 times a
 * second.  It finds a failure of the device while answers are to come; of one at another time it hears when some call does. */

/* An answer and its bytes, or NULL, and what has ended the service: that is the last call.  What they point to is valid until the
 * function returns. */
typedef void (*tg_service_answer_fn)(void *user, const struct tg_service_answer *answer, const void *data, const struct tg_error *why);
/* From now on fn is called with each answer, in the order in which they come, by one thread, which holds no lock meanwhile.  It may send,
 * submit and activate and ask for status and metrics; what waits (call, run, cancel, deactivate, terminate) is TG_E_STATE there, and destroy is
 * not allowed.  The answer's place in the queue is free by then.  Terminate waits until fn has returned from all answers, after which it
 * is not called again; destroy waits for a call that is under way.  Legal in the state created, once, and not after tg_service_fd(), as from
 * then on receive and tg_service_fd() are TG_E_STATE. */
int tg_service_set_callback(struct tg_service *service, tg_service_answer_fn fn, void *user, struct tg_error *err);
/* A descriptor that poll, select and epoll find readable while receive would return at once: because there is an answer, or because
 * the service is terminated, when receive says why no answer is to come.  Receiving the last answer that there is makes it
 * unreadable.  Where several threads receive, another may have been faster.  It is the service's, the same each time, and closed by
 * destroy; the program does nothing with it but wait.  Legal in every state, unless there is a callback. */
int tg_service_fd(struct tg_service *service, int *fd_p, struct tg_error *err);

/* ---- Programs and instances ---------------------------------------------------------------*/

/* A program is a graph of fine tasks, each of which makes a word of 64 bits from the words of those before it: from their sum,
 * without order, modulo 2^64.  Negative numbers are in two's complement.  It is planned once, when a service is made with it,
 * and an instance of it is submitted as often as there are inputs for it:
 *
 *     tg_service_program_create(n_inputs, &program, &err);
 *     tg_service_program_add_task(program, TG_SERVICE_OP_INPUT, 0, NULL, 0, &x, &err);
 *     tg_service_program_add_task(program, TG_SERVICE_OP_SCALE, 3, &x, 1, &y, &err);
 *     tg_service_program_add_output(program, y, &err);
 *
 * Or a program is a graph of tgraph.h whose tasks have resident variants (tgraph_resident.h, docs/RESIDENT.md), as with the
 * executor `resident`: tg_service_program_of_graph(). */
enum tg_service_op {
    TG_SERVICE_OP_INPUT, /* word number `argument` of the instance's inputs; comes after nothing */
    TG_SERVICE_OP_SUM,   /* the sum of the words before it and the argument */
    TG_SERVICE_OP_SCALE, /* the sum of the words before it, times the argument */
    TG_SERVICE_OP_RAMP,  /* as SUM, and 0 where that is negative */
    TG_SERVICE_OP_SPIN,  /* 0, once `argument` nanoseconds have passed */
    TG_SERVICE_OP_FAIL,  /* none: the instance fails with the code `argument`, below 2^32 */
    TG_SERVICE_N_OPS
};

struct tg_service_program;
int tg_service_program_create(uint32_t n_inputs, struct tg_service_program **program_p, struct tg_error *err);
/* Any time; a service keeps nothing of it.  Takes NULL. */
void tg_service_program_destroy(struct tg_service_program *program);
/* Tasks are numbered from 0 on; those it comes after have been added, and none is named twice.  *task_p may be left out, with
 * NULL.  TG_E_INVALID. */
int tg_service_program_add_task(struct tg_service_program *program, enum tg_service_op op, uint64_t argument, const uint32_t *after,
                                uint32_t n_after, uint32_t *task_p, struct tg_error *err);
/* The next word of an instance's answer is this task's. */
int tg_service_program_add_output(struct tg_service_program *program, uint32_t task, struct tg_error *err);

/* A program from a graph, which is frozen and lasts at least until the services that are made with it are there.  Each instance has
 * the tiles of all buffers that tasks write, and begins as a run of the graph would: those that have an init or memory of the
 * program's hold what that says, as it is when a service is created; what no task writes is there once and shared by all instances,
 * such as weights.  The tiles of the input buffers come with each instance, those of the outputs are its answer: both in the order
 * of the buffers and of their tiles, each filled up to a multiple of 16 bytes.  Neither may be larger than message_bytes.
 *
 * Tasks are kernels whose CUDA variant has a resident one beside it, built-in or the user's, fills, copies and barriers.
 * TG_E_STATE: the graph is not frozen.  TG_E_UNSUPPORTED: a task is a collective, has a body of tasks, or reduces or commutes with
 * others.  TG_E_INVALID: a buffer is read that nothing has been written to, or cannot be an output as no task writes it.  Whether
 * each kernel can be a task of a service shows when one is created, which asks for NVRTC (TG_E_NO_LIBRARY, TG_E_COMPILE). */
int tg_service_program_of_graph(const struct tg_graph *graph, const tg_buffer_id *inputs, uint32_t n_inputs, const tg_buffer_id *outputs,
                                uint32_t n_outputs, struct tg_service_program **program_p, struct tg_error *err);
/* Of an instance, and of its answer. */
size_t tg_service_program_input_bytes(const struct tg_service_program *program);
size_t tg_service_program_output_bytes(const struct tg_service_program *program);

/* Who submits instances.  While several have something waiting, each gets a part of the workers' time in proportion to its weight. */
struct tg_service_client {
    uint32_t weight;         /* 1 to 1000 */
    uint32_t most_running;   /* instances at once; 0: as many as there is room for */
    uint32_t most_in_flight; /* sent and not received, beyond which TG_E_FULL; 0: as many as the queue holds */
};

/* What a service executes beside messages.  Instances go to teams of workers; all workers of one take its instances in the same
 * order, so that those of one team end in the order in which they began. */
struct tg_service_setup {
    size_t size;
    struct tg_service_program *const *programs;
    uint32_t n_programs; /* 1 to TG_SERVICE_MAX_PROGRAMS; all made of graphs, or none */
    uint32_t n_clients;  /* 0: one, of weight 1; TG_SERVICE_MAX_CLIENTS at most */
    const struct tg_service_client *clients;
    uint32_t n_teams;        /* times n_blocks_each: the service's multiprocessors, at least two */
    uint32_t n_blocks_each;  /* of a team */
    uint32_t n_workers_each; /* of a block; 1 to 15 */
    uint32_t n_ahead;        /* instances under way in a team at a time: 1, 2, 4 or 8; with n_teams no more than 32 */
    bool can_keep;           /* instances can be kept, which costs each task a look; all programs are made of graphs */
};
#define TG_SERVICE_SETUP_INIT {sizeof(struct tg_service_setup), NULL, 0, 0, NULL, 4, 1, 8, 4, false}
#define TG_SERVICE_MAX_PROGRAMS 8
#define TG_SERVICE_MAX_CLIENTS  16

/* How an instance is to be executed; zero is good for all but inputs. */
struct tg_service_instance {
    uint32_t program, client; /* numbers in the setup */
    uint32_t urgency;         /* 0 to 3; the greatest goes first, whoever it is of */
    uint64_t deadline_ns;     /* from now; 0: none.  Not begun by then: TG_E_DEADLINE; ended later: the answer is late */
    const uint64_t *inputs;   /* as many words as the program has inputs; read before submit returns */
    const void *data;         /* of a program from a graph: its inputs, with NULL for `inputs` */
    const void *kept;         /* not NULL, it goes on with this instead of beginning; a copy will do */
    size_t n_kept_bytes;
};
/* As tg_service_send() and tg_service_call(): tickets are shared with messages, and tg_service_receive() gives the answers, whose
 * bytes are the words of the outputs, or their tiles.  TG_E_FULL also if the client has as many in flight as it may. */
int tg_service_submit(struct tg_service *service, const struct tg_service_instance *instance, uint64_t *ticket_p, struct tg_error *err);
int tg_service_run(struct tg_service *service, const struct tg_service_instance *instance, uint64_t timeout_ns, void *outputs,
                   struct tg_error *err);
/* An instance that has not been answered becomes TG_E_CANCELLED: at once if it waits, else as soon as its tasks have been gone
 * through without their bodies; it may still end otherwise if it was about to.  TG_E_STATE: it has been answered; TG_E_INVALID: it is
 * no instance. */
int tg_service_cancel(struct tg_service *service, uint64_t ticket, struct tg_error *err);

/* Keeping.  An instance of a service whose setup says so (can_keep) is stopped between its tasks: those under way end, none begins.
 * Its answer is TG_E_CANCELLED then, and what it goes on with are the answer's bytes (is_kept): which tasks are done, and all its
 * tiles.  Submitted in place of inputs they make an instance that executes the other tasks, in this service or another, of this
 * process or another, that was set up alike with the same graphs and data; else submit is TG_E_INVALID.  All of it passes as a
 * message, so create is TG_E_LIMIT where message_bytes are too few.  One that has not begun is cancelled without bytes; one that was about
 * to end may end otherwise.  TG_E_STATE: instances of the service cannot be kept, or it has been answered; TG_E_INVALID: it is no
 * instance, or one of tg_service_run(), whose answer nobody would get. */
int tg_service_keep(struct tg_service *service, uint64_t ticket, struct tg_error *err);
/* What a kept instance of the program has; 0: it cannot be kept. */
size_t tg_service_kept_bytes(const struct tg_service *service, uint32_t program);

/* ---- Watching -----------------------------------------------------------------------------*/

/* The first failure of a body since the kernel was launched last, as soon as it is known. */
struct tg_service_panic {
    uint32_t kind; /* 0: there was none; 1: stuck, 2: a body failed */
    uint32_t task; /* of a program; of a message the low half of its ticket */
    uint32_t worker;
    uint32_t code; /* of a body that failed */
};

struct tg_service_status {
    enum tg_service_state state;
    bool is_resident;    /* whether the kernel is on the GPU now, as far as the host knows */
    uint32_t n_blocks;   /* of the kernel; each has a multiprocessor, at most */
    uint64_t n_in_flight; /* sent, answers not received */
    uint32_t device, queue_capacity; /* as the options said */
    struct tg_service_panic panic;
};
int tg_service_status(struct tg_service *service, struct tg_service_status *status_p, struct tg_error *err);

/* Bucket i of the histogram counts latencies below tg_service_bucket_ns(i), and not below that of i - 1. */
#define TG_SERVICE_N_BUCKETS 64
uint64_t tg_service_bucket_ns(uint32_t bucket); /* the last: UINT64_MAX */

struct tg_service_client_metrics {
    uint64_t weight, n_begun, n_waiting, n_running, n_late, n_cancelled, n_in_flight;
    uint64_t used_ns; /* of the workers' time */
};

struct tg_service_metrics {
    uint64_t n_sent, n_answered, n_failed, n_full, n_timeouts, n_dropped;
    uint64_t n_late, n_cancelled; /* instances that missed their deadline, that were cancelled */
    uint64_t sent_bytes, answered_bytes;
    uint64_t n_launches;   /* of the kernel; one, and one more for each return after an idle exit */
    uint64_t n_in_flight;
    uint64_t latency_sum_ns;
    uint64_t latency[TG_SERVICE_N_BUCKETS];
    /* By the kernel, since the service was created; 0 without telemetry.  They may lag behind by some microseconds. */
    uint64_t n_polls, n_messages, n_batches, n_instances, n_tasks;
    uint64_t n_waiting, n_running; /* instances, now */
    uint64_t up_ns;                /* for so long there was a kernel */
    uint64_t busy_ns;              /* and so long its teams had instances, the times of all teams added up */
    uint32_t n_teams, n_clients;
    struct tg_service_client_metrics clients[TG_SERVICE_MAX_CLIENTS];
};
/* Any time after create. */
int tg_service_metrics(struct tg_service *service, struct tg_service_metrics *metrics_p, struct tg_error *err);

/* Lets `tgraph top` of the same user see status and metrics: a thread writes them to a file four times a second, below
 * $XDG_RUNTIME_DIR/tgraph, else /tmp/tgraph-UID, until it is hidden, which must be before the service is destroyed.  A copy of the name
 * is kept; up to 63 bytes are shown.  TG_E_SYSTEM: the folder cannot be made, or others could write to it. */
struct tg_service_show;
int tg_service_show(struct tg_service *service, const char *name, struct tg_service_show **show_p, struct tg_error *err);
void tg_service_hide(struct tg_service_show *show); /* takes NULL */

#ifdef __cplusplus
}
#endif

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#endif
