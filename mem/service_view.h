/* What the host and a service's kernel share: the words they tell each other beside messages, and what a launch is given.
 *
 * Three kinds of memory.  Of the host, which both reach: the rings and tgi_service_shared; of the GPU's warps only the
 * controller touches it.  Of the device, as long as the service: tables of the program, and tgi_service_state, where a launch
 * leaves what the next one goes on with.  Of the device, zero at the beginning of each launch: counters and cells of the
 * program, tgi_service_work and the mails.
 *
 * Leaving.  A controller that has had nothing to do writes its launch's number to `gone` and looks at the ring and the
 * command once more; the host writes a message or a command and looks at `gone`.  All four are seq_cst, so not both
 * miss each other: either the controller stays and writes 0, or the host knows that the kernel leaves, waits for it
 * and launches it again (tests/model/service_leave.pml). */
#ifndef TGI_MEM_SERVICE_VIEW_H
#define TGI_MEM_SERVICE_VIEW_H

#include "mem/resident_program.h"
#include "mem/service_ring.h"

/* Codes of messages: first those of enum tg_service_body. */
enum tgi_service_kind {
    TGI_SERVICE_ECHO,
    TGI_SERVICE_MIX,
    TGI_SERVICE_SPIN,
    TGI_SERVICE_FAIL,
    TGI_SERVICE_PROGRAM /* an instance: the bytes are its inputs, the answer's its outputs */
};

/* Codes of answers.  With FAILED and STUCK comes a struct tgi_resident_panic. */
enum tgi_service_outcome { TGI_SERVICE_DONE, TGI_SERVICE_FAILED, TGI_SERVICE_STUCK, TGI_SERVICE_CANCELLED };

enum tgi_service_command {
    TGI_SERVICE_HOLD,  /* leave messages where they are */
    TGI_SERVICE_SERVE,
    TGI_SERVICE_STOP,  /* serve what is there, then leave */
    TGI_SERVICE_ABORT  /* leave at once */
};

struct tgi_service_counts {
    uint64_t n_polls, n_messages, n_batches, n_instances;
};

/* A command has a number, so that the controller can say which it obeys: the same one may come again. */
#define TGI_SERVICE_COMMAND(number, command) ((uint64_t)(number) << 8 | (command))
#define TGI_SERVICE_COMMAND_OF(word)         ((word) & 0xffu)

/* A line to each writer and time. */
struct tgi_service_shared {
    uint64_t command; /* by the host */
    uint64_t pad0[15];
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
    uint64_t pad5[12];
};

/* Written when a launch ends and read when the next one begins. */
struct tgi_service_state {
    uint32_t taken, answered; /* positions in the two rings */
    struct tgi_service_counts counts;
};

#define TGI_SERVICE_LEAVE UINT32_MAX

struct tgi_service_work {
    uint32_t go; /* by the controller, release: instances begun in this launch, or LEAVE */
    uint32_t pad0[31];
    uint32_t done; /* by every worker that has done its part of an instance: adds one, release */
    uint32_t pad1[31];
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

struct tgi_service_view {
    struct tgi_resident_view program; /* n_workers_each 0: there is none; control is there all the same */
    struct tgi_service_ring messages, answers;
    struct tgi_service_shared *shared;
    struct tgi_service_state *state;
    struct tgi_service_work *work;
    unsigned char *mails; /* of block i at i - 1, for blocks from 1 on */
    uint32_t n_mails, mail_stride;
    uint64_t *inputs;        /* what program.inputs points to */
    const uint32_t *outputs; /* slots whose results are the answer */
    uint32_t n_inputs, n_outputs;
    uint32_t n_workers;
    uint32_t launch; /* from 1 on */
    uint64_t idle_ns; /* 0: for ever */
    uint32_t has_counts;
    uint32_t pad;
    uint64_t memory, memory_bytes; /* where everything of the device's lies */
};

/* Two words for each block after what its program needs: the relay of gpu/service/worker.h. */
enum { TGI_SERVICE_RELAY_BYTES = 16 };

#endif
