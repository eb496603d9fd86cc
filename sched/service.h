/* Inside a service (graph/tgraph_service.h): the host's side of the rings and of the kernel's life, and planned programs.
 *
 * service.c has the states and the kernel, service_queue.c the messages, service_instance.c instances, service_program.c programs
 * as users build them, service_graph.c and service_call.c those that are made of graphs, service_tables.c what lies on the device, service_beat.c the thread that says that the host is there,
 * service_watch.c the one that tells of answers. */
#ifndef TGI_SCHED_SERVICE_H
#define TGI_SCHED_SERVICE_H

#include <pthread.h>

#include "graph/tgraph_service.h"
#include "mem/stay.h"
#include "sched/service_graph.h"

/* ---- Programs -----------------------------------------------------------------------------*/

/* A program of which a service executes instances, with one worker warp each; it is not needed after create. */
struct tgi_service_program {
    const struct tgi_resident_program *program;
    uint32_t n_inputs;       /* words; what INPUT's args are below */
    uint32_t n_outputs;
    const uint32_t *outputs; /* tasks whose results are the answer; of a program from a graph words of its seat's tiles */
    const struct tgi_service_graph *graph; /* NULL: it was built task by task */
    const struct tgi_service_words *words; /* what the graph's tasks are given */
};

/* What a service executes beside messages.  All programs are planned for as many blocks and workers, which are a team's. */
struct tgi_service_setup {
    const struct tgi_service_program *programs;
    uint32_t n_programs; /* TGI_TURN_MAX_PROGRAMS at most */
    const struct tg_service_client *clients;
    uint32_t n_clients;  /* 0: one, of weight 1; TGI_TURN_MAX_CLIENTS at most */
    uint32_t n_teams;    /* 0: one.  Each has blocks of its own */
    uint32_t n_ahead;    /* instances under way in a team: 1, 2, 4 or 8; 0: one */
    bool can_keep;       /* instances can be kept; all programs are made of graphs then */
};
/* As tg_service_create(), with a setup that takes the place of the options'; setup may be NULL.  The service takes as many
 * multiprocessors as the teams have blocks.  TG_E_UNSUPPORTED: tasks that are a thread wide, copies, or more workers in a block than leave room for the service's own; programs
 * of different shapes.  TG_E_LIMIT: inputs or outputs that no message holds; more teams times instances than TGI_SERVICE_MAX_SEATS. */
int tgi_service_create(const struct tg_service_options *options, const struct tgi_service_setup *setup,
                       struct tg_service **service_p, struct tg_error *err);

/* A setup of the user's, planned. */
struct tgi_service_planned {
    struct tgi_service_setup setup; /* of what follows, and of the user's clients */
    struct tgi_service_program programs[TGI_TURN_MAX_PROGRAMS];
    struct tgi_service_words words[TGI_TURN_MAX_PROGRAMS];
};
/* Plans each program for the shape of a team, on devices to which the calling thread is attached.  TG_E_INVALID, TG_E_LIMIT: programs or
 * workers that a service cannot have; what tgi_service_graph_plan() says. */
int tgi_service_plan(const struct tg_service_setup *setup, struct tgi_devices *devices, struct tgi_service_planned *planned,
                     struct tg_error *err);
void tgi_service_planned_fini(struct tgi_service_planned *planned);

/* ---- Tables -------------------------------------------------------------------------------*/

/* All of the device's memory that a service has: one reservation, in parts. */
struct tgi_service_tables {
    uint64_t memory, bytes; /* 0: none yet */
    uint64_t zero_at, zero_bytes; /* what is zeroed before each launch */
    uint64_t shared_at[TGI_TURN_MAX_PROGRAMS]; /* of programs from graphs: what all their instances share */
    uint32_t head_bytes;                       /* before the tiles of an instance that can be kept; 0: none can */
    uint64_t key[TGI_TURN_MAX_PROGRAMS];       /* then: says which program what was kept is of, and how it was planned */
};
/* Whether a service can execute these programs for these clients. */
int tgi_service_check_setup(const struct tgi_service_setup *setup, uint32_t message_bytes, struct tg_error *err);
/* What the view says of the setup, addresses aside; before the number of blocks is known. */
void tgi_service_tables_describe(struct tg_service *s, const struct tgi_service_setup *setup);
/* Reserves and fills the view's addresses; n_blocks of the kernel. */
int tgi_service_tables_reserve(struct tg_service *s, const struct tgi_service_setup *setup, uint32_t n_blocks,
                               struct tg_error *err);
/* Brings everything there, in the kernel's lane. */
int tgi_service_tables_upload(struct tg_service *s, const struct tgi_service_setup *setup, struct tg_error *err);

/* ---- The service --------------------------------------------------------------------------*/

enum tgi_place_state { TGI_PLACE_FREE, TGI_PLACE_SENT, TGI_PLACE_ANSWERED };

/* A place of the queue: of the messages whose ticket is its index modulo the capacity, one after the other. */
struct tgi_service_place {
    enum tgi_place_state state;
    bool is_call;    /* its sender waits for this answer */
    bool is_dropped; /* nobody waits any more */
    bool is_instance;
    uint32_t client; /* of an instance */
    uint32_t outcome, n_bytes, code;
    uint32_t next; /* in the list of answers to be received; TG_NONE: the last */
    uint64_t ticket, sent_ns, latency_ns;
};

/* A thread that tells the kernel that the host is there, and whoever wants to know how the service is doing. */
struct tgi_service_beat {
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool is_there, is_over; /* whether there is a thread, whether it shall end */
};

/* A thread that watches for answers, if the program wants to be told of them.  Everything is guarded by the service's lock. */
struct tgi_service_watch {
    bool is_there, is_over; /* whether there is a thread, whether it shall end */
    enum { TGI_WATCH_AWAKE, TGI_WATCH_NAPS, TGI_WATCH_SLEEPS } rest; /* whoever wakes it makes it AWAKE */
    pthread_t thread;
    pthread_cond_t changed;
    uint64_t n_posted; /* messages whose answers are received, since the service was made */
    uint64_t n_due;    /* those of them whose answers have not come */
    uint64_t n_seen;   /* n_posted when it lay down for a nap */
    int fd;            /* -1: none was asked for */
    bool is_readable;  /* what poll says of fd */
    bool is_calling, has_told; /* fn is being called; it was told that the service has broken down */
    tg_service_answer_fn fn; /* NULL: none */
    void *user;
    unsigned char *bytes; /* of the answer that fn has */
};

struct tg_service {
    struct tg_service_options options;
    struct tgi_devices *devices;
    struct tgi_stay *kernel;
    struct tgi_service_tables tables;
    unsigned char *host;      /* what both reach: shared, messages, answers */
    unsigned char *answers;   /* message_bytes for each place: copies of what the ring had */
    uint32_t n_blocks;
    uint32_t n_clients;
    struct tg_service_client clients[TGI_TURN_MAX_CLIENTS];

    struct tgi_service_beat beat;

    pthread_mutex_t lock; /* guards everything below */
    struct tgi_service_view view; /* of the launch under way; addresses never change */
    enum tg_service_state state;
    bool is_resident;     /* a launch has not been seen to end */
    uint64_t n_commands;  /* given to kernels */
    struct tg_error broken; /* status 0: it is not */
    struct tgi_service_place *places;
    uint64_t n_sent;      /* the next ticket */
    uint64_t n_taken;     /* answers taken from the ring; the position of the next */
    uint32_t first, last; /* list of answers to be received, by place; TG_NONE: empty */
    uint64_t n_in_flight; /* places that are not free */
    uint64_t client_in_flight[TGI_TURN_MAX_CLIENTS];
    uint64_t n_cancels;   /* asked for */
    struct tgi_service_watch watch;
    struct tg_service_metrics metrics;
};

static inline const struct tgi_stay_ops *tgi_service_ops(const struct tg_service *s) { return s->devices->ops->stay; }

uint64_t tgi_service_now_ns(void);

int tgi_service_beat_begin(struct tg_service *s, struct tg_error *err);
void tgi_service_beat_end(struct tg_service *s);

void tgi_service_watch_init(struct tgi_service_watch *w);
/* Stops the thread, which needs the kernel no more; and gives back what it had. */
void tgi_service_watch_end(struct tg_service *s);
void tgi_service_watch_fini(struct tgi_service_watch *w);
/* Whether answers that have come are not with the callback yet. */
bool tgi_service_watch_is_busy_locked(const struct tg_service *s);
/* Whether this thread may wait for the service, which a callback may not. */
int tgi_service_watch_check_locked(const struct tg_service *s, const char *what, struct tg_error *err);
/* Gives the lock back, once descriptor and thread know of what has been done.  For whoever may have drained, sent or broken down. */
void tgi_service_unlock(struct tg_service *s);

/* Gives the kernel a command; the one it has again makes it look at `cancel`. */
void tgi_service_command_locked(struct tg_service *s, enum tgi_service_command command);
/* Waits until the kernel has seen all commands, leaves or has left. */
int tgi_service_await_obedience_locked(struct tg_service *s, struct tg_error *err);
/* Takes what answers there are from the ring. */
void tgi_service_drain_locked(struct tg_service *s);
/* Sees whether the kernel is still there, and launches it again if there is something to do.  Fails once the service is broken. */
int tgi_service_look_locked(struct tg_service *s, struct tg_error *err);
/* After a message or a command: if the kernel leaves, waits for that and launches it again. */
int tgi_service_wake_locked(struct tg_service *s, struct tg_error *err);

/* Who waits spins, then lets others run, then sleeps between looks at the kernel. */
enum { TGI_SERVICE_LOOK_EVERY_NS = 50000, TGI_SERVICE_SPIN_NS = 20000, TGI_SERVICE_YIELD_NS = 500000 };

/* One wait: until when, and when the kernel is to be looked at next. */
struct tgi_service_wait {
    uint64_t until_ns, look_ns, spin_ns;
};
void tgi_service_wait_init(struct tgi_service_wait *w, uint64_t timeout_ns);
/* Between two looks at whatever is waited for; others can use the service meanwhile.  TG_E_NO_ANSWER: time is up, without a
 * message; or what look says. */
int tgi_service_wait_locked(struct tg_service *s, struct tgi_service_wait *w, struct tg_error *err);

/* ---- Messages -----------------------------------------------------------------------------*/

/* The first of the answers to be received, of which there is one; with room for its bytes.  Its place is free then. */
void tgi_service_take_first_locked(struct tg_service *s, struct tg_service_answer *answer_p, void *data);

struct tgi_service_parcel {
    enum tgi_service_kind kind;
    uint32_t argument;
    const void *data;
    size_t n_bytes;
    bool is_call;
    uint32_t client;      /* of an instance */
    uint64_t deadline_ns; /* the same; by the host's clock, 0: none */
    size_t n_head_bytes;  /* before the others: zeros, but for a first word */
    uint64_t head;        /* which is this */
};
int tgi_service_send(struct tg_service *s, const struct tgi_service_parcel *m, uint64_t *ticket_p, struct tg_error *err);
int tgi_service_call(struct tg_service *s, const struct tgi_service_parcel *m, uint64_t timeout_ns, void *data, size_t room,
                     size_t *n_bytes_p, struct tg_error *err);

/* Whether a call is legal now; the states as a set of bits. */
int tgi_service_check_locked(const struct tg_service *s, const char *what, uint32_t states, struct tg_error *err);
#define TGI_STATE(name) (1u << TG_SERVICE_##name)

#endif
