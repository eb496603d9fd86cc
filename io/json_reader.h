/* The reader of graph files, as its own files see it.
 *
 * A file is parsed into a tape of nodes.  Buffers and kernels go straight into the graph.  A task of
 * the file is a template: json_task.c compiles it once (names looked up, expressions compiled),
 * json_expand.c then walks the loops around it, and json_emit.c makes one task for every iteration.  Templates of
 * "graphs" live as long as the load, those of "tasks" until their expansion is done, so that a JSON
 * Lines file needs memory for one line.
 *
 * Expressions see parameters as constants and loop variables, like the parameters of an inlined
 * graph, as slots of the current frame.
 *
 * A function that returns int has reported what is wrong when it returns a status.  Whoever handles
 * one item of a list goes on with the next item then, unless tgi_reader_is_done(). */
#ifndef TGI_IO_JSON_READER_H
#define TGI_IO_JSON_READER_H

#include "graph/model.h"
#include "io/json_names.h"
#include "io/json_pool.h"
#include "io/json_tape.h"

#define TGI_MAX_VARS   64 /* loop variables and graph parameters visible at once */
#define TGI_MAX_CALLS  64 /* calls within calls */
#define TGI_MAX_ERRORS 20 /* reported of one file */
#define TGI_MAX_NAME   256

/* ---- Numbers ------------------------------------------------------------------------------*/

/* A number of the file: known, a slot, or an expression to evaluate. */
struct tgi_number {
    enum tgi_number_kind {
        TGI_NUMBER_NONE,
        TGI_NUMBER_INT,
        TGI_NUMBER_FLOAT,
        TGI_NUMBER_SLOT,
        TGI_NUMBER_EXPR
    } kind;
    bool is_float;   /* a floating-point literal or parameter occurs */
    uint32_t node;   /* where it stands; for an override from the command line: TGI_TAPE_ABSENT */
    uint32_t offset; /* of the expression within the string */
    uint32_t length;
    union {
        int64_t i;
        double f;
        uint32_t slot;
        struct tgi_expr *expr;
    } u;
    uint64_t slots; /* bit s: slot s occurs */
};

/* The values of the slots. */
struct tgi_frame {
    int64_t *i;
    double *f;
    uint64_t float_slots; /* bit s: slot s holds a floating-point number, in f alone */
};

struct tgi_var {
    const char *name;
    uint32_t length, slot;
};

struct tgi_param_value {
    bool is_float;
    int64_t i;
    double f;
    bool is_used;   /* some expression mentions it */
    uint32_t site;
};

/* Text with {expr} in it. */
struct tgi_pattern {
    uint32_t node;
    const char *text; /* NULL: no pattern.  Complete if n_parts is 0 */
    uint32_t length;
    uint32_t n_parts;
    struct tgi_pattern_part {
        const char *literal; /* before the number */
        uint32_t length;
        struct tgi_number number; /* TGI_NUMBER_NONE: the end */
    } * parts;
};

/* ---- References ---------------------------------------------------------------------------*/

struct tgi_reference {
    uint32_t node;
    tg_buffer_id buffer;
    enum tg_arg_kind kind; /* TG_ARG_TILE, TG_ARG_ROWS, TG_ARG_ALL */
    uint32_t n_index;
    struct tgi_number *index;
    struct tgi_number rows[2];
};

/* ---- Templates ----------------------------------------------------------------------------*/

enum tgi_verb {
    TGI_VERB_KERNEL,
    TGI_VERB_HOST,
    TGI_VERB_COPY,
    TGI_VERB_FILL,
    TGI_VERB_COLLECTIVE,
    TGI_VERB_BARRIER,
    TGI_VERB_REPEAT,
    TGI_VERB_WHILE,
    TGI_VERB_IF,
    TGI_VERB_CALL,
    TGI_VERB_FOR /* "for" with "do" */
};

struct tgi_loop {
    uint32_t node;
    uint32_t slot;
    const char *name;
    uint32_t name_length;
    struct tgi_number begin, end;
    uint32_t weight; /* of an iteration, see json_expand.c */
    int64_t limit;   /* while it runs */
};

struct tgi_arg_template {
    enum {
        TGI_ARG_ABSENT,
        TGI_ARG_NUMBER_INT,
        TGI_ARG_NUMBER_FLOAT,
        TGI_ARG_NUMBER_ANY,
        TGI_ARG_REFERENCE
    } kind;
    uint32_t node;
    struct tgi_number number;
    struct tgi_reference reference;
};

struct tgi_template {
    enum tgi_verb verb;
    uint32_t node;
    uint32_t site;
    struct tgi_template *parent, *next; /* parent NULL: top of "tasks" or of a graph */
    struct tgi_subgraph *owner;         /* the graph of "graphs" it belongs to; NULL: "tasks" */
    struct tgi_template *child, *child_else;
    uint32_t n_loops;
    struct tgi_loop *loops;
    struct tgi_number when;
    struct tgi_pattern id, on, prefer;
    uint32_t n_after;
    struct tgi_pattern *after;
    struct tgi_number priority, retries, timeout_ms, flops, bytes, us;
    bool has_common; /* one of on, prefer, priority, retries, timeout_ms is given */
    uint32_t kernel;
    uint32_t n_args;
    struct tgi_arg_template *args;
    enum tg_collective collective;
    enum tg_op op;
    struct tgi_number root, count;
    struct tgi_subgraph *callee;
    struct tgi_number *with;
    /* while it is being expanded; a template is never active twice, as calls do not recurse */
    bool has_failed; /* reported; makes no further tasks */
    bool is_in_else;
    uint32_t n_open;                           /* loops that have a value */
    struct tg_graph *outer, *body, *body_else; /* of a control task */
    uint32_t first_pending;
    uint32_t prefix_length; /* of names, outside the call */
    struct tgi_common {
        const char *on, *prefer; /* NULL: not given */
        int32_t priority;
        uint32_t retries, timeout_ms;
    } around;    /* what tasks outside the group inherit */
    char *texts; /* room for on and prefer, TGI_MAX_NAME + 1 bytes each; has_common only */
};

/* An entry of "graphs". */
struct tgi_subgraph {
    const char *name;
    uint32_t node;
    uint32_t n_params;
    const char **params;
    uint32_t n_slots; /* it needs */
    struct tgi_template *first;
    struct tgi_template *caller; /* while it is being expanded; NULL: it is not */
    struct tgi_frame outer_frame;
    uint32_t n_unnamed;                  /* calls without id so far */
    uint32_t *calls, n_calls, cap_calls; /* the graphs it calls, for finding recursion */
    uint8_t mark;
};

/* ---- The reader ---------------------------------------------------------------------------*/

/* A name in "after" that no task had yet. */
struct tgi_pending_edge {
    tg_task_id task;
    uint32_t n_prefix;             /* leading bytes of name that the call around it added */
    uint32_t node;                 /* of a document */
    uint32_t line, column, length; /* of JSON Lines, whose nodes do not last */
    const char *name;
};

struct tgi_reader {
    const struct tg_load_options *options;
    uint64_t max_tasks;
    const char *file; /* as messages name it */
    struct tgi_tape tape;
    struct tgi_tape_cursor cursor;
    uint32_t first_line; /* of the tape's text, from 0; for JSON Lines */
    bool is_stream;
    struct tg_graph *graph;
    struct tgi_json_pool keep;    /* until the load is over */
    struct tgi_json_pool scratch; /* until the current task template is done */

    /* names */
    struct tgi_name_index params, buffers, kernels, graphs;
    struct tgi_param_value *param_values;
    uint32_t n_params, cap_params;
    bool *is_override_used;
    struct tgi_subgraph **subgraphs;
    uint32_t n_subgraphs, cap_subgraphs;
    struct tgi_var vars[TGI_MAX_VARS];
    uint32_t n_vars;
    uint64_t resolved_slots; /* of the expression being compiled */
    bool resolved_float;
    uint32_t n_cuda;
    bool has_counted_cuda; /* n_cuda is what ndev('cuda') gives, and not yet only the least of it */

    /* expansion */
    int64_t *slots_i;
    double *slots_f;
    struct tgi_frame frame;
    uint32_t call_depth;
    struct tgi_template *current; /* messages tell its loop variables; NULL: none */
    bool is_counting;
    uint64_t n_counted, n_steps, n_weight;
    uint64_t n_emitted;
    struct tg_graph *target;
    char name[TGI_MAX_NAME + 32]; /* of the task at hand; starts with the prefix of the calls around it */
    uint32_t prefix_length;
    struct tgi_common common; /* inherited from the groups around */
    struct tg_arg *args;
    uint32_t cap_args;
    tg_task_id *after;
    uint32_t cap_after;
    struct tgi_pending_edge *pending;
    uint32_t n_pending, cap_pending;
    struct tgi_arena pending_names;

    /* messages */
    uint32_t n_errors;
    bool is_done; /* no use in going on */
    struct tg_error first;
};

static inline bool tgi_reader_is_done(const struct tgi_reader *r) { return r->is_done; }
static inline enum tgi_tape_type tgi_node_type(const struct tgi_reader *r, uint32_t node)
{
    return tgi_tape_kind(&r->tape, node);
}
static inline const char *tgi_node_string(const struct tgi_reader *r, uint32_t node)
{
    return tgi_tape_string(&r->tape, node);
}

/* Messages: json_report.c.  All return the status.  The remark's texts may be NULL. */
struct tgi_remark {
    const char *label, *help;
    bool is_key;             /* the key in front of the value is meant */
    uint32_t offset, length; /* within the contents of a string; length 0: the whole value */
};
int tgi_report(struct tgi_reader *r, uint32_t node, const struct tgi_remark *remark, int status,
               const char *format, ...) TG_PRINTF(5, 6);
/* At a byte of the text. */
int tgi_report_at(struct tgi_reader *r, uint32_t offset, uint32_t length, int status, const char *text);
/* At a position already known. */
int tgi_report_position(struct tgi_reader *r, uint32_t line, uint32_t column, uint32_t length,
                        const char *help, int status, const char *format, ...) TG_PRINTF(7, 8);
/* What a function of the graph found; the position is the node's. */
int tgi_report_error(struct tgi_reader *r, uint32_t node, const struct tg_error *err);
int tgi_report_memory(struct tgi_reader *r);
/* Writes `did you mean "x"?` for a name of the index, or nothing; returns text or NULL. */
/* The closest name, else all of them if they are few, else NULL. */
const char *tgi_did_you_mean(const struct tgi_name_index *index, const char *name, char *text, size_t size);
/* The same for buffers and kernels, with the line of the definition. */
const char *tgi_did_you_mean_defined(struct tgi_reader *r, const struct tgi_name_index *index,
                                     const char *name, char *text, size_t size);
const char *tgi_did_you_mean_list(const char *const *names, size_t n, const char *name, char *text,
                                  size_t size);
/* Line and column, as messages count them, of a node. */
void tgi_reader_locate(struct tgi_reader *r, uint32_t node, uint32_t *line_p, uint32_t *column_p);
/* A site for the node, TG_NONE if there is no memory (positions are a courtesy). */
uint32_t tgi_reader_site(struct tgi_reader *r, uint32_t node);

/* Values: json_value.c */
/* Sorts the members of an object into values[0..n): TGI_TAPE_ABSENT where a key is missing.  Unknown
 * keys other than "x-*" are reported.  The node must be an object, or that is reported. */
int tgi_object_take(struct tgi_reader *r, uint32_t node, const char *what, const char *const *keys,
                    uint32_t n, uint32_t *values);
int tgi_expect(struct tgi_reader *r, uint32_t node, enum tgi_tape_type type, const char *what);
int tgi_take_bool(struct tgi_reader *r, uint32_t node, const char *what, bool *value_p);
/* One of names[0..n). */
int tgi_take_word(struct tgi_reader *r, uint32_t node, const char *what, const char *const *names, uint32_t n,
                  uint32_t *index_p);
/* What names of variables and parameters are made of. */
static inline bool tgi_is_name_char(char c, bool is_first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!is_first && c >= '0' && c <= '9');
}
/* A name new things may have in a file: a reference must be able to spell it. */
int tgi_check_name(struct tgi_reader *r, uint32_t node, const char *what, bool is_key, const char *name);

/* Expressions: json_scope.c */
int tgi_read_params(struct tgi_reader *r, uint32_t node);
/* Adds a variable; TG_E_LIMIT if there are too many, TG_E_DUPLICATE_NAME if one hides another. */
int tgi_push_var(struct tgi_reader *r, uint32_t node, const char *name, uint32_t length, uint32_t slot);
/* A JSON number or a string with an expression. */
int tgi_number_compile(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node, const char *what,
                       struct tgi_number *number_p);
/* Part of a string's contents. */
int tgi_number_compile_text(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node, uint32_t offset,
                            uint32_t length, struct tgi_number *number_p);
int tgi_number_int_slow(struct tgi_reader *r, const struct tgi_number *number, int64_t *value_p);
/* Evaluates in the current frame. */
static inline int tgi_number_int(struct tgi_reader *r, const struct tgi_number *number, int64_t *value_p)
{
    if (number->kind == TGI_NUMBER_INT) {
        *value_p = number->u.i;
        return 0;
    }
    if (number->kind == TGI_NUMBER_SLOT && (number->slots & r->frame.float_slots) == 0) {
        *value_p = r->frame.i[number->u.slot];
        return 0;
    }
    return tgi_number_int_slow(r, number, value_p);
}
int tgi_number_double(struct tgi_reader *r, const struct tgi_number *number, double *value_p);
/* True if the value is a floating-point number in the current frame. */
static inline bool tgi_number_is_float(const struct tgi_reader *r, const struct tgi_number *number)
{
    return number->is_float || (number->slots & r->frame.float_slots) != 0;
}
/* An expression that the graph keeps, over the current variables, and its text in the space's arena. */
int tgi_expr_keep(struct tgi_reader *r, uint32_t node, const char *what, struct tgi_expr **expr_p,
                  const char **text_p);
/* A constant integer in [least, most]. */
int tgi_take_int(struct tgi_reader *r, uint32_t node, const char *what, int64_t least, int64_t most,
                 int64_t *value_p);
int tgi_take_double(struct tgi_reader *r, uint32_t node, const char *what, double *value_p);
int tgi_pattern_compile(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node,
                        struct tgi_pattern *pattern_p);
/* Appends to text[0..used) of `size` bytes; the new length is what is returned in *used_p. */
int tgi_pattern_write(struct tgi_reader *r, const struct tgi_pattern *pattern, char *text, uint32_t size,
                      uint32_t *used_p);
/* "m in k+1:NT" and "a:b": the offset of the colon that separates the bounds, or `length`. */
uint32_t tgi_find_colon(const char *text, uint32_t length);

/* References: json_reference.c */
int tgi_reference_compile(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node,
                          struct tgi_reference *ref_p);
/* The argument in the current frame. */
int tgi_reference_eval(struct tgi_reader *r, const struct tgi_reference *ref, struct tg_arg *arg_p);

/* Sections of a file; each takes the value's node. */
int tgi_read_buffers(struct tgi_reader *r, uint32_t node); /* json_buffer.c */
int tgi_read_buffer(struct tgi_reader *r, uint32_t name_node, bool is_key, uint32_t node);
int tgi_read_kernels(struct tgi_reader *r, uint32_t node); /* json_kernel.c */
int tgi_read_kernel(struct tgi_reader *r, uint32_t name_node, bool is_key, uint32_t node);
int tgi_read_checks(struct tgi_reader *r, uint32_t node); /* json_check.c */
int tgi_read_check(struct tgi_reader *r, uint32_t node);
int tgi_read_graphs(struct tgi_reader *r, uint32_t node); /* json_graph.c */
int tgi_read_tasks(struct tgi_reader *r, uint32_t node); /* json_task.c */
int tgi_read_task(struct tgi_reader *r, uint32_t node);
/* Templates, in parts, allocated from `pool`.  json_task.c: a list of tasks, inside of `parent` or on top of the graph `owner`;
 * NULL: of neither. */
int tgi_compile_tasks(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node, const char *what,
                      struct tgi_template *parent, struct tgi_subgraph *owner, struct tgi_template **first_p);
/* json_loop.c: the loops of "for"; their variables stay pushed. */
int tgi_compile_loops(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node, struct tgi_template *t);
/* json_argument.c: the kernel that a task names; an argument for parameter p, type_t being what a generic one stands for;
 * all arguments. */
int tgi_find_kernel(struct tgi_reader *r, uint32_t node, uint32_t *kernel_p);
int tgi_compile_arg(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node, const struct tgi_param *p,
                    int type_t, struct tgi_arg_template *arg);
int tgi_compile_args(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node, struct tgi_template *t,
                     uint32_t kernel_node);

/* The head of a file, in both forms: makes the graph and reads the parameters. */
enum tgi_head_key {
    TGI_HEAD_TGRAPH,
    TGI_HEAD_NAME,
    TGI_HEAD_PARAMS,
    TGI_HEAD_DEPS,
    TGI_HEAD_REQUIRES,
    TGI_HEAD_META,
    TGI_N_HEAD
};
int tgi_read_head(struct tgi_reader *r, uint32_t node, const uint32_t *values); /* json_head.c */

/* Expansion: json_expand.c */
int tgi_expand(struct tgi_reader *r, struct tgi_template *task);
/* json_emit.c: adds the task of a template that is none of "for" and "call", in the current frame. */
int tgi_emit(struct tgi_reader *r, struct tgi_template *t);
/* What the template gives of it; the rest stays as it is. */
int tgi_eval_common(struct tgi_reader *r, struct tgi_template *t, struct tgi_common *common);
/* Control edges of `graph` to tasks that came later: pending[first..]. */
int tgi_resolve_pending(struct tgi_reader *r, struct tg_graph *graph, uint32_t first);
/* "k=0, m=16 (from ...)" for the template being expanded; empty if it is in no loop. */
void tgi_format_bindings(struct tgi_reader *r, char *text, size_t size);

/* JSON Lines: json_stream.c.  Reads from fd; head[0..n_head) was read from it already. */
int tgi_read_stream(struct tgi_reader *r, int fd, const char *head, size_t n_head);

#endif
