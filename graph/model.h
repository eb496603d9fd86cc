/* The graph as the library's own code sees it.
 *
 * A space holds what a graph and the bodies of its control tasks share: buffers, tiles, operations,
 * strings.  A graph holds tasks, as parallel arrays indexed by task id, and, once frozen, their
 * edges in CSR form.  Everything here is read-only after tg_graph_freeze(), so any number of
 * threads may read it without locks. */
#ifndef TGI_GRAPH_MODEL_H
#define TGI_GRAPH_MODEL_H

#include <stdatomic.h>

#include "graph/arena.h"
#include "graph/builtin.h"
#include "graph/expr.h"
#include "graph/names.h"
#include "graph/tgraph.h"

/* ---- Places -------------------------------------------------------------------------------*/

/* A set of devices.  0 means "anywhere". */
typedef uint64_t tgi_place;
#define TGI_PLACE_CPU ((tgi_place)1)
#define TGI_PLACE_CUDA ((tgi_place)2)                                /* any CUDA device */
#define TGI_PLACE_CUDA_AT(i) ((tgi_place)1 << (16 + (i)))            /* 0 <= i < 32 */
#define TGI_PLACE_NUMA_AT(i) ((tgi_place)1 << (48 + (i)))            /* 0 <= i < 16 */
#define TGI_PLACE_CPUS (TGI_PLACE_CPU | (tgi_place)0xffff << 48)     /* all that are CPUs' */
/* "cpu", "cuda", "cuda:1", "numa:0", joined by '+' or ','.  0 or TG_E_BAD_VALUE. */
int tgi_place_parse(const char *text, tgi_place *place_p, struct tg_error *err);
/* Writes at most `size` bytes, terminated. */
void tgi_place_format(tgi_place place, char *text, size_t size);

/* ---- Buffers and tiles --------------------------------------------------------------------*/

/* Every tile of every buffer has a number in one space-wide sequence: buffer.first_tile + index. */
struct tgi_buffer {
    const char *name;
    enum tg_dtype dtype;
    uint32_t n_dims, n_tile_dims;
    int64_t shape[TG_MAX_DIMS], tiles[TG_MAX_DIMS];
    uint64_t tile_elems, tile_bytes;
    uint64_t row_bytes;     /* of one row: tile_bytes / shape[0] */
    uint32_t n_tiles, n_present;
    uint32_t first_tile;
    const uint8_t *present; /* a byte per tile; NULL: all */
    void *host;
    enum tg_init init;
    double init_value;
    uint64_t init_seed;
    tg_init_fn init_call;
    void *init_user;
    void (*init_user_free)(void *); /* NULL: nothing to free */
    bool is_temp, is_pinned;
    const char *home;       /* as written; NULL: no hint */
    const char *save;       /* .npy pattern to write after a run; NULL: none */
    const char *init_text;  /* how a file wrote init (JSON), for writing the graph back; NULL: none */
    uint32_t site;
};

/* Rows [begin, end) of a tile, referred to by arguments. */
struct tgi_range {
    uint32_t begin, end;
};

/* ---- Operations: what a task does ---------------------------------------------------------*/

enum tgi_op_kind {
    TGI_OP_KERNEL, TGI_OP_COPY, TGI_OP_FILL, TGI_OP_COLLECTIVE, TGI_OP_BARRIER,
    TGI_OP_REPEAT, TGI_OP_WHILE, TGI_OP_IF
};

struct tgi_param {
    const char *name;
    int dtype; /* enum tg_dtype or TGI_DTYPE_T */
    enum tg_access access;
    enum tg_op op;
    const char *fallback; /* see struct tgi_builtin_param */
};

enum tgi_variant_form {
    TGI_VARIANT_BUILTIN,  /* builtin, on = device kind */
    TGI_VARIANT_FUNCTION, /* fn: a C function of the program */
    TGI_VARIANT_SOURCE,   /* text: source code */
    TGI_VARIANT_BINARY,   /* path: .so, PTX, cubin, fatbin */
};
enum tgi_device_kind { TGI_DEVICE_CPU, TGI_DEVICE_CUDA, TGI_DEVICE_RESIDENT };
struct tgi_variant {
    enum tgi_device_kind on;
    enum tgi_variant_form form;
    const struct tgi_builtin *builtin;
    tg_cpu_fn fn;
    const char *text;    /* source text */
    const char *path;    /* of the source or the binary, as opened; NULL: the text was inline */
    const char *entry;   /* function name; NULL: the kernel's name */
    const char *options; /* compiler options; NULL: none */
    const char *width;   /* of a resident variant: "thread", "warp", "block" */
    bool spawns;         /* of a resident variant: it may make tasks, tgraph_resident.h */
    struct tgi_expr *grid[3], *block[3], *cluster[3], *smem; /* over the parameters; NULL: not given */
    const char *grid_text[3], *block_text[3], *cluster_text[3], *smem_text; /* as written */
    uint32_t site;
    uint32_t line_site, n_lines; /* of a source that the graph file gives line by line: line k is at line_site + k - 1;
                                    otherwise n_lines is 0 */
};

/* What an argument that a task leaves out stands for. */
struct tgi_default {
    enum {TGI_DEFAULT_NONE, TGI_DEFAULT_WORD, TGI_DEFAULT_COPY} kind; /* NONE: it cannot be left out */
    uint32_t from; /* COPY: the earlier parameter whose value it takes */
    uint64_t word;
};

struct tgi_op {
    enum tgi_op_kind kind;
    const char *name;  /* the kernel's name, or "copy", "fill", "allreduce", .. */
    uint32_t n_params; /* arguments of each task of this op */
    uint32_t n_declared; /* of a kernel: parameters the graph wrote; the rest come from the builtin */
    struct tgi_param *params;
    struct tgi_default *defaults; /* by parameter; NULL: none can be left out, or generic */
    uint32_t pointer_mask; /* of a kernel: bit i set if parameter i is a tile */
    bool has_shared;       /* some parameter is reduce or commute */
    bool is_generic;       /* has T; instances[] below are the ops that tasks use */
    uint32_t instances[TG_N_DTYPES]; /* TG_NONE: not made yet */
    int type_t;            /* of an instance: what T is; otherwise -1 */
    uint32_t generic;      /* of an instance: the op it comes from; otherwise TG_NONE */
    struct tgi_variant *variants;
    uint32_t n_variants;
    struct tgi_expr *flops, *bytes, *us; /* over the parameters' values; NULL: unknown */
    const char *flops_text, *bytes_text, *us_text;
    struct tgi_expr **needs;   /* by parameter: elements its tile must have; NULL entries: any number;
                                  NULL: no built-in kernel is involved */
    /* control and collective tasks: an op each */
    enum tg_collective collective;
    enum tg_op reduce_op;
    uint32_t root;
    struct tg_graph *body, *body_else; /* owned */
    uint64_t count;
    uint32_t site;
};

/* ---- Tasks --------------------------------------------------------------------------------*/

/* A task, 16 bytes.  Its successors are succ[nodes[t].succ .. nodes[t+1].succ). */
struct tgi_node {
    uint32_t succ;    /* index of the first successor; valid once frozen */
    uint32_t args;    /* index of its first argument word */
    uint32_t op;      /* operation and the TGI_NODE_ flags */
    uint32_t n_preds; /* valid once frozen */
};
#define TGI_NODE_OP 0x00ffffffu
#define TGI_NODE_ATTR 0x01000000u   /* has an entry in attrs */
#define TGI_NODE_SHARED 0x02000000u /* has entries in shares: takes part in reduce or commute groups */

/* An argument word.  A task stores as many words as it needs: trailing ones that have their
 * parameter's default are left out, and tgi_graph_word() knows them.  Scalars: the value, integers sign- or zero-extended to 64 bits, floats in the
 * low bytes in the parameter's type.  Tiles: tile number in the low half; in the high half 0 for
 * the whole tile, TGI_WORD_ALL for all tiles of its buffer, else 1 + index into ranges. */
#define TGI_WORD_NULL UINT64_MAX
#define TGI_WORD_ALL UINT32_MAX
static inline uint32_t tgi_word_tile(uint64_t word) { return (uint32_t)word; }
static inline uint32_t tgi_word_range(uint64_t word) { return (uint32_t)(word >> 32); }

/* What few tasks have.  Sorted by task. */
struct tgi_attr {
    uint32_t task;
    uint32_t retries, timeout_ms;
    tgi_place on, prefer;
    double flops, bytes, us; /* of this task; NAN: not given */
};

/* Membership of a task in a group of neighbours that reduce into, or commute on, the same rows.
 * Sorted by task, then group: the order in which a task takes its groups' locks. */
struct tgi_share {
    uint32_t task;
    uint32_t group;
    uint32_t arg;   /* which argument */
    uint32_t order; /* position in the group, in program order */
};
struct tgi_group {
    uint32_t n_members;
    bool is_reduce; /* private copies are allowed; else one at a time */
    enum tg_op op;
};

/* Where something was written. */
struct tgi_site {
    const char *pointer; /* JSON pointer; NULL: none */
    uint32_t line;       /* 0: unknown, ask the locator */
    uint32_t column;     /* 0: unknown */
};

/* ---- Checks on results --------------------------------------------------------------------*/

enum tgi_check_kind {
    TGI_CHECK_EQUALS, TGI_CHECK_CLOSE, TGI_CHECK_MIN, TGI_CHECK_MAX, TGI_CHECK_FINITE,
    TGI_CHECK_CHECKSUM, TGI_CHECK_RESIDUAL
};
struct tgi_check {
    enum tgi_check_kind kind;
    tg_buffer_id buffer;
    uint32_t tile;          /* index; TG_NONE: all tiles */
    uint32_t n_values;
    const double *values;   /* equals, close: 1 value or one per element; min, max, residual: 1 */
    const char *file;       /* equals, close: compare with this .npy instead; NULL: none */
    double rtol, atol;
    uint64_t checksum;
    const char *method;     /* residual: "cholesky", "lu" */
    bool is_expected;       /* finite: true or false */
    uint32_t site;
};

struct tgi_gated;

/* ---- Space and graph ----------------------------------------------------------------------*/

struct tgi_space {
    struct tgi_arena strings;
    struct tgi_buffer *buffers;
    uint32_t n_buffers, cap_buffers;
    uint32_t n_tiles; /* of all buffers */
    struct tgi_names buffer_names, kernel_names;
    struct tgi_op *ops;
    uint32_t n_ops, cap_ops;
    uint32_t singletons[TGI_OP_BARRIER + 1]; /* 1 + op of copy, fill, barrier; 0: not made yet */
    struct tgi_range *ranges;
    uint32_t n_ranges, cap_ranges;
    struct tgi_site *sites;
    uint32_t n_sites, cap_sites;
    struct tgi_check *checks;
    uint32_t n_checks, cap_checks;
    const char *file;   /* the graph comes from; NULL: the C API */
    const char *folder; /* that relative paths in it start from; NULL: none */
    uint32_t requires_cuda, requires_cpu; /* device counts the file demands */
    bool allow_plugins;
    bool is_closed;     /* the graph is frozen: readers are many, so nothing may change */
    /* Finds line and column of a JSON pointer in the file; NULL: no positions. */
    bool (*locate)(void *user, const char *pointer, uint32_t *line_p, uint32_t *column_p);
    void *locate_user;
    void (*locate_free)(void *user);
    const char *params_text; /* JSON objects kept for writing the graph back; NULL: none */
    /* Parameters that no expression mentions, for io/lint.h; from the arena of strings. */
    struct tgi_unused_param {
        const char *name;
        uint32_t site;
    } *unused_params;
    uint32_t n_unused_params;
    const char *meta_text;
};

struct tg_graph {
    struct tgi_space *space;
    bool is_body, is_frozen;
    _Atomic uint32_t n_keepers; /* beside its owner: runs that tasks have not returned to (tgi_graph_keep) */
    bool is_given;    /* a body that belongs to a control task, which knows all it touches: it takes no more */
    bool is_explicit; /* edges come from `after` alone; inference only looks for races */
    const char *name;

    /* tasks */
    uint32_t n_tasks, cap_tasks;
    struct tgi_node *nodes; /* n_tasks + 1 entries; the last one ends succ and args */
    uint64_t *args;
    uint32_t n_args, cap_args;
    uint32_t *names_at;     /* offset of the name in names_text, TG_NONE: none; NULL: no task has one */
    char *names_text;
    size_t n_names_text, cap_names_text;
    uint32_t *site_of;      /* NULL: no task has one */
    int32_t *priority;      /* NULL: all 0 */
    struct tgi_attr *attrs;
    uint32_t n_attrs, cap_attrs;
    /* Control edges as declared.  The list a task was added with starts in afters with its length; a task
     * with the list of the one before shares it. */
    uint32_t *after_at;     /* where the task's list starts, TG_NONE: none; NULL: no task has one */
    uint32_t *afters;
    uint32_t n_afters, cap_afters, last_after; /* the list that was added last starts there */
    bool names_later;       /* some list names a task that was not there yet */
    struct tgi_control {uint32_t from, to;} *late; /* edges declared after their task */
    uint32_t n_late, cap_late;
    uint64_t n_controls;    /* of both kinds */
    struct tgi_names index;

    /* frozen */
    uint32_t *succ;         /* sorted for each task */
    uint32_t n_edges;
    uint32_t *topo;         /* a topological order; NULL: ids are in one already */
    uint32_t *level;        /* longest path from a root, in tasks, from 0 */
    uint32_t n_roots, n_sinks, depth, width;
    uint64_t n_redundant;
    struct tgi_gated *gated; /* the form that executors use, in graph/gate.h; NULL: this one */
    uint8_t *class_of;      /* priority class, 0 lowest .. TGI_N_CLASSES-1; NULL: all 0 */
    struct tgi_share *shares;
    uint32_t n_shares;
    struct tgi_group *groups;
    uint32_t n_groups;
};
#define TGI_N_CLASSES 4

/* From now on tg_graph_destroy() has to be called once more before the graph goes.  Any thread. */
void tgi_graph_keep(const struct tg_graph *graph);

/* ---- Questions ----------------------------------------------------------------------------*/

static inline const struct tgi_op *tgi_graph_op(const struct tg_graph *g, uint32_t task)
{
    return &g->space->ops[g->nodes[task].op & TGI_NODE_OP];
}
/* How many argument words a task stores. */
static inline uint32_t tgi_graph_n_words(const struct tg_graph *g, uint32_t task)
{
    return g->nodes[task + 1].args - g->nodes[task].args;
}
/* The value of a default, given the words before it. */
static inline uint64_t tgi_default_word(const struct tgi_default *d, const uint64_t *words)
{
    return d->kind == TGI_DEFAULT_COPY ? words[d->from] : d->word;
}
/* Argument word i of a task, i < n_params of its op. */
static inline uint64_t tgi_graph_word(const struct tg_graph *g, uint32_t task, uint32_t i)
{
    const struct tgi_default *defaults = tgi_graph_op(g, task)->defaults;
    uint32_t n = tgi_graph_n_words(g, task);
    while (i >= n && defaults[i].kind == TGI_DEFAULT_COPY)
        i = defaults[i].from;
    return i < n ? g->args[g->nodes[task].args + i] : defaults[i].word;
}
/* The task's name, or "#17" written into `scratch` (at least 16 bytes). */
const char *tgi_graph_task_name(const struct tg_graph *g, uint32_t task, char *scratch);
/* The name a task was given; there must be one.  For the index of names. */
const char *tgi_graph_given_name(const void *graph, uint32_t task);
const struct tgi_attr *tgi_graph_attr(const struct tg_graph *g, uint32_t task); /* NULL: none */
/* First entry of the task in shares and their number. */
const struct tgi_share *tgi_graph_shares(const struct tg_graph *g, uint32_t task, uint32_t *n_p);
/* Walks through the control edges of a graph, by task, then the late ones; false: that was all. */
struct tgi_after_walk {
    uint32_t task, i, late; /* start from zeros */
};
bool tgi_after_next(const struct tg_graph *g, struct tgi_after_walk *walk, struct tgi_control *control_p);
/* The buffer a tile number belongs to. */
const struct tgi_buffer *tgi_space_buffer_of(const struct tgi_space *space, uint32_t tile);
/* How many tiles the word of a tile addresses, from *first_p on; 0: it was left out. */
static inline uint32_t tgi_word_tiles(const struct tgi_space *space, uint64_t word, uint32_t *first_p)
{
    *first_p = tgi_word_tile(word);
    if (word == TGI_WORD_NULL)
        return 0;
    return tgi_word_range(word) == TGI_WORD_ALL ? tgi_space_buffer_of(space, *first_p)->n_tiles : 1;
}
/* "A[3,2]" or "A" or "A[3,2]@rows(0:4)" or "A[*]"; terminated, cut at size. */
void tgi_space_format_word(const struct tgi_space *space, uint64_t word, char *text, size_t size);
/* Line and column of a site; false if unknown. */
bool tgi_space_locate(const struct tgi_space *space, uint32_t site, uint32_t *line_p, uint32_t *column_p);
/* Cost of one task from its own attributes or its kernel's expressions; NAN where unknown. */
struct tgi_cost {
    double flops, bytes, us;
};
struct tgi_cost tgi_graph_cost(const struct tg_graph *g, uint32_t task);
/* By the expressions of a kernel, for the words of its parameters; those of tiles do not matter. */
struct tgi_cost tgi_op_cost(const struct tgi_op *op, const uint64_t *words);

/* ---- For the reader of files --------------------------------------------------------------*/

/* A site for the next things added; returns its id or TG_NONE without memory. */
uint32_t tgi_space_add_site(struct tgi_space *space, const char *pointer, uint32_t line);
/* All of these copy what they are given, except expressions, which they take over on success. */
int tgi_graph_add_variant(struct tg_graph *g, tg_kernel_id kernel, const struct tgi_variant *variant,
                          struct tg_error *err);
/* Where the graph file has a line of a variant's source, which counts from 1 (0, or unknown lines: the variant). */
bool tgi_variant_locate(const struct tgi_space *space, const struct tgi_variant *variant, uint32_t source_line,
                        uint32_t *line_p, uint32_t *column_p);
/* A compiler's error, whose line counts in the source: gets the position in the graph file, or in the source's own. */
/* Whether it says that it is so wide. */
bool tgi_variant_has_width(const struct tgi_variant *variant, const char *width);
void tgi_variant_set_position(const struct tgi_space *space, const struct tgi_variant *variant, struct tg_error *err);
int tgi_graph_set_cost(struct tg_graph *g, tg_kernel_id kernel, struct tgi_expr *flops, struct tgi_expr *bytes,
                       struct tgi_expr *us, struct tg_error *err);
int tgi_graph_add_check(struct tg_graph *g, const struct tgi_check *check, struct tg_error *err);
int tgi_graph_set_site(struct tg_graph *g, tg_task_id task, uint32_t site, struct tg_error *err);
int tgi_graph_set_task_cost(struct tg_graph *g, tg_task_id task, double flops, double bytes, double us,
                            struct tg_error *err);


#endif
