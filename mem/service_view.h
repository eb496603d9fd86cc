/* What the host and a service's kernel share: the words they tell each other beside messages, and what a launch is given.
 *
 * Three kinds of memory.  Of the host, which both reach: the rings and tgi_service_shared; of the GPU's warps only the
 * controller touches it.  Of the device, as long as the service: tables of the programs, instances that wait, and
 * tgi_service_state, where a launch leaves what the next one goes on with.  Of the device, zero at the beginning of each launch:
 * seats, teams and the mails.
 *
 * Teams and seats.  A team is as many blocks as a program has.  All its workers execute the same instances in the same
 * order, whichever programs they are of, each its own part; a worker that has done its part of one goes on with the next and
 * waits for nobody, so several are under way in a team at a time, up to `n_ahead`.  Each of these has a seat: counters,
 * cells, results and a control block of its own.  As all take the same order, instances end in the order in which they began,
 * the seat of the i-th is i modulo n_ahead, and none can wait for one behind it.
 *
 * Leaving.  A controller that has had nothing to do writes its launch's number to `gone` and looks at the ring and the
 * command once more; the host writes a message or a command and looks at `gone`.  All four are seq_cst, so not both
 * miss each other: either the controller stays and writes 0, or the host knows that the kernel leaves, waits for it
 * and launches it again (tests/model/service_leave.pml). */
#ifndef TGI_MEM_SERVICE_VIEW_H
#define TGI_MEM_SERVICE_VIEW_H

#include "mem/resident_program.h"
#include "mem/service_ring.h"
#include "mem/service_turn.h"

/* Codes of messages: first those of enum tg_service_body. */
enum tgi_service_kind {
    TGI_SERVICE_ECHO,
    TGI_SERVICE_MIX,
    TGI_SERVICE_SPIN,
    TGI_SERVICE_FAIL,
    TGI_SERVICE_PROGRAM /* an instance: the bytes are its inputs, the answer's its outputs; its tag TGI_SERVICE_INSTANCE */
};
#define TGI_SERVICE_INSTANCE(program, client, urgency) ((urgency) << 16 | (client) << 8 | (program))

/* The second word of an instance's slot: until when it may begin, by the host's clock; 0: whenever.  By the host before the
 * message, and CANCELLED later, which the controller sees when it would begin. */
#define TGI_SERVICE_CANCELLED_ALREADY UINT64_C(1)

/* Codes of answers.  With FAILED and STUCK comes a struct tgi_resident_panic. */
enum tgi_service_outcome {
    TGI_SERVICE_DONE,
    TGI_SERVICE_FAILED,
    TGI_SERVICE_STUCK,
    TGI_SERVICE_GIVEN_UP,  /* the kernel left while it was at work */
    TGI_SERVICE_CANCELLED, /* as the host asked */
    TGI_SERVICE_MISSED,    /* its deadline had passed before its turn came */
    TGI_SERVICE_DONE_LATE,
    TGI_SERVICE_KEPT       /* as the host asked: the bytes are what it goes on with */
};

enum tgi_service_command {
    TGI_SERVICE_HOLD,  /* leave messages where they are */
    TGI_SERVICE_SERVE,
    TGI_SERVICE_STOP,  /* serve what is there, then leave */
    TGI_SERVICE_ABORT  /* leave at once */
};

struct tgi_service_counts {
    uint64_t n_polls, n_messages, n_batches, n_instances, n_tasks, up_ns; /* up: of all launches */
};
struct tgi_service_client_counts {
    uint64_t used_ns, n_begun, n_late, n_cancelled, n_waiting, n_running;
};

/* A command has a number, so that the controller can say which it obeys: the same one may come again. */
#define TGI_SERVICE_COMMAND(number, command) ((uint64_t)(number) << 8 | (command))
#define TGI_SERVICE_COMMAND_OF(word)         ((word) & 0xffu)

#define TGI_SERVICE_CANCEL(number, keeps, ticket) ((uint64_t)((uint32_t)(number) << 1 | (keeps)) << 32 | (ticket))
#define TGI_SERVICE_CANCEL_KEEPS(word)            ((uint32_t)((word) >> 32) & 1u)

/* A line to each writer and time. */
struct tgi_service_shared {
    uint64_t command; /* by the host */
    uint64_t cancel;  /* by the host before a command: TGI_SERVICE_CANCEL, an instance that is to be cancelled, or kept */
    uint64_t beat_ns; /* by the host, relaxed: what its clock says, every now and then */
    uint64_t pad0[13];
    uint64_t obeyed; /* by the controller, release: the last command it has seen; nothing is done by the one before any more */
    uint64_t pad1[15];
    uint64_t alive; /* by the controller: the number of its launch */
    uint64_t pad2[15];
    uint64_t gone; /* by the controller: the number of its launch, which leaves; or 0, it stays after all */
    uint64_t pad3[15];
    uint64_t is_panic; /* by the controller, release: publishes panic; by the host, 0, before a launch */
    struct tgi_resident_panic panic;
    uint64_t pad4[11];
    struct tgi_service_counts counts; /* by the controller, relaxed: figures for whoever watches */
    uint64_t pad5[10];
    struct tgi_service_client_counts clients[TGI_TURN_MAX_CLIENTS]; /* the same */
};

/* Written when a launch ends and read when the next one begins. */
struct tgi_service_state {
    uint32_t taken, answered; /* positions in the two rings */
    struct tgi_service_counts counts;
    struct tgi_turns turns; /* clients first by the host; of entries in the view */
};

#define TGI_SERVICE_LEAVE     UINT32_MAX
#define TGI_SERVICE_MAX_AHEAD 8u
#define TGI_SERVICE_MAX_SEATS 32u /* a bit each */
#define TGI_SERVICE_MAX_WARPS 16u /* of a block, one of them the service's own: 128 registers for each thread */

/* By the controller, release: epoch of the seat's program << 32 | program << 24 | the low 24 bits of the instance's number in its team,
 * from 1 on; in the word of its seat.  All ones: leave. */
struct tgi_service_team {
    uint64_t go[TGI_SERVICE_MAX_AHEAD];
    uint64_t pad[8];
};
#define TGI_SERVICE_GO(number, program, epoch) ((uint64_t)(epoch) << 32 | (uint64_t)(program) << 24 | ((number) & 0xffffffu))
#define TGI_SERVICE_GO_LEAVE                   UINT64_MAX
#define TGI_SERVICE_GO_PROGRAM(word)           ((uint32_t)(word) >> 24)
#define TGI_SERVICE_GO_EPOCH(word)             ((uint32_t)((word) >> 32))

/* What the instance in a seat has for itself; that of its program follows. */
struct tgi_service_seat {
    uint32_t done; /* by every worker that has done its part of an instance: adds one, release */
    uint32_t pad[31];
    struct tgi_resident_control control;
};

#define TGI_SEAT_IS_KEPT 2u

/* An instance that can be kept has before its tiles, in front of its inputs, a word that says which program it is of and how many tasks
 * of each worker are done: what it goes on with is this and all of its tiles, in one piece. */
#define TGI_SERVICE_KEPT_HEAD(n_workers) ((8u + (n_workers) * 4u + 15u) / 16u * 16u) /* bytes of both */
#ifdef __CUDACC__
static __device__ __forceinline__
#else
static inline
#endif
uint32_t *tgi_service_n_done(const uint64_t *inputs)
{
    return (uint32_t *)(uintptr_t)(inputs + 1);
}

/* What the controller knows of its instances, in its block's shared memory. */
struct tgi_service_desk_seat {
    uint64_t began_ns, deadline_ns, charged; /* by the GPU's clock; deadline 0: none */
    uint32_t ticket, n_uses;
    uint8_t program, client;
    uint8_t is_cancelled; /* TGI_SEAT_IS_KEPT: its answer is what it goes on with */
    uint8_t pad;
    uint32_t epochs[TGI_TURN_MAX_PROGRAMS]; /* how often it has had an instance of each */
};
struct tgi_service_desk_team {
    uint32_t n_begun, n_ended;
    uint64_t ended_ns; /* the last one */
};
struct tgi_service_desk {
    struct tgi_turns turns; /* of the state, while a launch is there */
    struct tgi_service_desk_seat seats[TGI_SERVICE_MAX_SEATS];
    struct tgi_service_desk_team teams[TGI_SERVICE_MAX_SEATS];
};

/* A message in the hands of a worker of its own.  Its bytes follow. */
struct tgi_service_mail {
    uint32_t go; /* by the controller, release: messages given so far, or LEAVE */
    uint32_t pad0[31];
    uint32_t done; /* by the worker, release: messages done so far */
    uint32_t pad1[31];
    /* By the controller before go. */
    uint32_t kind, argument, n_bytes, ticket;
    /* By the worker before done. */
    uint32_t outcome, detail;
    uint32_t pad2[26];
};
#define TGI_SERVICE_MAX_MAILS 32u /* a bit each */

/* A program; its view is that of the first seat. */
struct tgi_service_program_view {
    struct tgi_resident_view view;
    uint64_t *inputs;        /* what view.inputs points to; of a program from a graph its tiles, those of inputs first */
    const uint32_t *outputs; /* slots whose results are the answer; of a program from a graph words of tiles, counted from results */
    uint64_t n_words;        /* of what CALLs are given, for each seat; the first seat's are in the view */
    uint32_t n_inputs, n_outputs, n_tasks;
    uint32_t n_kept; /* words that a kept instance goes on with; 0: it cannot be kept */
    uint32_t cells_at, counters_at; /* of a block's, before that of the program, in a seat's shared memory */
};

struct tgi_service_view {
    struct tgi_service_program_view programs[TGI_TURN_MAX_PROGRAMS];
    uint32_t n_programs;     /* 0: the control block of the first is there all the same */
    uint32_t n_teams, n_ahead, n_blocks_each, n_workers_each;
    uint32_t n_workers;      /* of a team */
    uint32_t n_cells, n_counters; /* of a seat in a block's shared memory */
    struct tgi_service_ring messages, answers;
    struct tgi_service_shared *shared;
    struct tgi_service_state *state;
    struct tgi_turn_entry *entries; /* one for each place of the ring */
    struct tgi_service_team *teams;
    unsigned char *seats; /* of team t's s-th: at t * n_ahead + s */
    uint64_t seat_stride;
    unsigned char *mails; /* of block i at i - 1, for blocks from 1 on */
    uint32_t n_mails, mail_stride;
    uint32_t launch;  /* from 1 on */
    uint32_t has_counts;
    uint64_t idle_ns;    /* 0: for ever */
    uint64_t silence_ns; /* without a beat of the host's: leave; 0: never */
    uint64_t memory, memory_bytes; /* where everything of the device's lies */
};

/* In shared memory of a block: batches of descriptors, what its programs need, `go` words that are passed on
 * (gpu/service/worker.h), the desk. */
#define TGI_SERVICE_RELAY_BYTES (8 * TGI_SERVICE_MAX_AHEAD)
#define TGI_SERVICE_DESK_BYTES  ((uint32_t)sizeof(struct tgi_service_desk))

#endif
