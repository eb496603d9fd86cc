/* Commands for devices as data: what a run enqueues, written down instead, each command with exactly those that it comes
 * after.
 *
 * The list is in an order in which it can be executed: a command's dependencies stand before it.  Dependencies that others of
 * them imply are left out, as far as a bounded search finds them.  A program is made by a recorder (recorder.h) and turned into
 * something that a device replays as a whole (struct tgi_device_ops, graph_create). */
#ifndef TGI_MEM_PROGRAM_H
#define TGI_MEM_PROGRAM_H

#include "mem/cluster.h"
#include "mem/device.h"

/* Copies from the host of at most so many bytes are for kernels to do, where graphs can (H100, bench/cuda_graph_copies: 3.6 in place of 5.9 us for
 * each of these, and nothing gained from eight times as many on). */
enum { TGI_PULL_BYTES = 128 << 10 };

enum tgi_command_kind {
    TGI_COMMAND_LAUNCH,
    TGI_COMMAND_COPY,
    TGI_COMMAND_FILL,
    TGI_COMMAND_COLLECT,
    TGI_COMMAND_DECIDE,  /* a tile decides what is executed: programs of their own, in rounds or at most once */
    TGI_COMMAND_NOTHING, /* a point that others come after */
    TGI_COMMAND_RESIDENT, /* many others in one (cluster.h) */
    TGI_COMMAND_SIGNAL,   /* flags of other devices are set (split.h) */
    TGI_COMMAND_AWAIT,    /* until flags of its device are set */
    TGI_N_COMMAND_KINDS
};

struct tgi_command {
    uint8_t kind;
    uint32_t lane;             /* of the device that executes it; of a collective: rank 0's */
    uint32_t first_dep, n_deps;
    uint32_t level;            /* commands on the longest way to it */
    uint64_t owner;            /* what it is for, a number of the recorder's user; UINT64_MAX: nobody's */
    uint32_t step;             /* it is timed (graph_times of device.h): a number of the recorder's user; 0: it is not */
    union {
        struct {
            struct tgi_code *code;
            struct tgi_shape shape;
            uint32_t first_arg, n_args; /* in words, one each */
        } launch;
        struct tgi_transfer copy;
        struct {
            uint64_t address, n_elems, word;
            enum tg_dtype dtype;
        } fill;
        struct {
            const struct tgi_op *op;
            uint64_t n_elems;
            enum tg_dtype dtype;
            uint32_t n_ranks, first_rank; /* in words: the tiles of all ranks, then their lanes */
        } collect;
        struct {
            uint64_t tile;       /* address on the lane's device: the body is executed if it is not zero; 0: it always is */
            uint32_t tile_bytes; /* 8 at most */
            uint64_t n_rounds;   /* of a loop, at most; 0: it is none */
            struct tgi_program *body, *body_else; /* the program's own; NULL: nothing.  A loop has no other body */
            uint64_t n_tasks[2], n_device_tasks[2]; /* by body: what one execution of it counts for, without bodies inside */
        } decide;
        struct tgi_cluster *cluster; /* the program has a reference */
        struct {
            uint32_t first, n; /* of a signal: in words, the flags; of an await: numbers of flags */
        } flags;
    };
};

/* All zero: an empty one. */
struct tgi_program {
    struct tgi_command *commands;
    uint32_t *deps;   /* numbers of commands */
    uint64_t *words;
    uint32_t n, n_deps, n_words;
    uint32_t cap, cap_deps, cap_words;
    uint32_t *mark;   /* by command: for searches */
    uint32_t cap_mark, serial;
    uint32_t *queue;
    uint32_t cap_queue;
};

void tgi_program_fini(struct tgi_program *program);
/* One in memory of its own; takes NULL. */
void tgi_program_destroy(struct tgi_program *program);

/* Appends a command after `deps`, numbers of others, each once, in any order; they are copied, less what is implied.  *id_p:
 * its number.  Bodies of the command are the program's after that.  TG_E_NO_MEMORY: nothing has changed. */
int tgi_program_add(struct tgi_program *program, const struct tgi_command *command, const uint32_t *deps, uint32_t n_deps,
                    uint32_t *id_p, struct tg_error *err);
/* Appends words; their first one's index.  TG_E_NO_MEMORY. */
int tgi_program_add_words(struct tgi_program *program, const uint64_t *words, uint32_t n, uint32_t *first_p,
                          struct tg_error *err);

/* The same commands in the same order, of which at most `width` launches of each device, and as many others, stand side by
 * side: no more are without an order between them.  Order is added only once there are as many chains.  Bodies are treated
 * alike.  `to` is empty. */
int tgi_program_narrow(const struct tgi_program *program, uint32_t width, struct tgi_program *to, struct tg_error *err);

/* Whether two differ at most in what their launches, copies and fills are given: sizes of grids, arguments, addresses. */
bool tgi_program_is_alike(const struct tgi_program *a, const struct tgi_program *b);
/* Whether a command of two programs that are alike is given the same. */
bool tgi_command_is_same(const struct tgi_program *a, const struct tgi_program *b, uint32_t id);

/* Whether times of it, or of tasks inside it, are wanted. */
static inline bool tgi_command_is_timed(const struct tgi_command *command)
{
    return command->step || (command->kind == TGI_COMMAND_RESIDENT && command->cluster->is_timed);
}

/* Commands, those of bodies included. */
uint32_t tgi_program_size(const struct tgi_program *program);
/* Numbers for all of them: those of the program first, then, for each decision in turn, those of its bodies in the same way.  Where the
 * commands of a decision's body, or with `is_else` of its other one, begin; `base`: where those of the program do. */
uint32_t tgi_program_body_base(const struct tgi_program *program, uint32_t base, uint32_t decision, bool is_else);
const char *tgi_command_kind_name(enum tgi_command_kind kind);

#endif
