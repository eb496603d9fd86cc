/* What a synthetic graph consists of, before it is written: a short list of loops and tasks.
 *
 * Expressions stand in backquotes: written as a template they become expressions of the file format,
 * written as JSON Lines they are compiled once and evaluated for every task.  So both forms come from
 * one description and cannot differ. */
#ifndef TGI_IO_GEN_PLAN_H
#define TGI_IO_GEN_PLAN_H

#include "graph/arena.h"
#include "io/gen.h"

#define TGI_GEN_MAX_INPUTS     8
#define TGI_GEN_MAX_STATEMENTS 12
#define TGI_GEN_MAX_LOOPS      4
#define TGI_GEN_MAX_PARAMS     6

/* A loop if `variable` is set, else a task.  What belongs to a loop follows it at greater depth. */
struct tgi_gen_statement {
    uint32_t depth;
    const char *variable, *from, *to;
    const char *id;
    /* of a synthetic task */
    const char *number; /* its number among all tasks */
    const char *out, *in[TGI_GEN_MAX_INPUTS];
    /* of a task with a kernel of its own: name, value, name, value, .. */
    const char *kernel, *args[10];
    const char *priority;
};

struct tgi_gen_param {
    const char *name;
    int64_t value;
};

struct tgi_gen_plan {
    const struct tgi_gen_options *options;
    enum tgi_gen_payload payload;
    struct tgi_gen_param params[TGI_GEN_MAX_PARAMS];
    uint32_t n_params;
    const char *tiles[2]; /* index space of the buffer */
    struct tgi_gen_statement statements[TGI_GEN_MAX_STATEMENTS];
    uint32_t n_statements;
    uint64_t n_tasks; /* of random */
    bool is_random, is_factorisation, is_lower;
    bool is_sparse; /* not every tile has a task */
    double us;
    uint64_t bytes, words;
    uint32_t max_inputs;
    struct tgi_arena arena;
};

/* Finds the pattern and settles what the options leave open. */
int tgi_gen_plan_make(struct tgi_gen_plan *plan, const struct tgi_gen_options *options, struct tg_error *err);
void tgi_gen_plan_fini(struct tgi_gen_plan *plan);

/* Where the statements of the loop at `loop` end. */
uint32_t tgi_gen_end_of(const struct tgi_gen_plan *plan, uint32_t loop);

#endif
