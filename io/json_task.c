/* Tasks of a file, compiled into templates.
 *
 * Everything that does not depend on loop variables is settled here, once: keys, verbs, names of
 * kernels, buffers and arguments, the shape of references, the syntax of expressions.  Recursion
 * follows the nesting of "do", which the depth limit of the JSON text bounds; calls do not recurse,
 * because the graphs of "graphs" are compiled one by one before any task. */
#include "io/json_reader.h"

#include <stdio.h>
#include <string.h>

#include "graph/vec.h"

enum {
    T_ID,
    T_KERNEL,
    T_COPY,
    T_FILL,
    T_COLLECTIVE,
    T_HOST,
    T_BARRIER,
    T_CALL,
    T_REPEAT,
    T_WHILE,
    T_IF,
    T_FOR,
    T_ARGS,
    T_VALUE,
    T_OP,
    T_BUFFERS,
    T_ROOT,
    T_WITH,
    T_DO,
    T_MAX,
    T_THEN,
    T_ELSE,
    T_AFTER,
    T_WHEN,
    T_ON,
    T_PREFER,
    T_PRIORITY,
    T_COST,
    T_RETRIES,
    T_TIMEOUT_MS,
    T_META,
    N_T
};
static const char *const task_keys[N_T] = {
    "id",     "kernel", "copy",     "fill", "collective", "host",       "barrier", "call",
    "repeat", "while",  "if",       "for",  "args",       "value",      "op",      "buffers",
    "root",   "with",   "do",       "max",  "then",       "else",       "after",   "when",
    "on",     "prefer", "priority", "cost", "retries",    "timeout_ms", "meta"};

#define BIT(k) (UINT64_C(1) << (k))
#define FOR_ALL                                                                                \
    (BIT(T_FOR) | BIT(T_WHEN) | BIT(T_ON) | BIT(T_PREFER) | BIT(T_PRIORITY) | BIT(T_RETRIES) | \
     BIT(T_TIMEOUT_MS) | BIT(T_META))
#define FOR_TASKS (FOR_ALL | BIT(T_ID) | BIT(T_AFTER) | BIT(T_COST))
/* The key that makes a task what it is, and the keys that go with it. */
static const struct {
    uint32_t key;
    enum tgi_verb verb;
    uint64_t allowed, needed;
} verbs[] = {
    {T_KERNEL, TGI_VERB_KERNEL, FOR_TASKS | BIT(T_ARGS), 0},
    {T_HOST, TGI_VERB_HOST, FOR_TASKS | BIT(T_ARGS), 0},
    {T_COPY, TGI_VERB_COPY, FOR_TASKS, 0},
    {T_FILL, TGI_VERB_FILL, FOR_TASKS | BIT(T_VALUE), BIT(T_VALUE)},
    {T_COLLECTIVE, TGI_VERB_COLLECTIVE, FOR_TASKS | BIT(T_OP) | BIT(T_BUFFERS) | BIT(T_ROOT), BIT(T_BUFFERS)},
    {T_BARRIER, TGI_VERB_BARRIER, FOR_TASKS, 0},
    {T_REPEAT, TGI_VERB_REPEAT, FOR_TASKS | BIT(T_DO), BIT(T_DO)},
    {T_WHILE, TGI_VERB_WHILE, FOR_TASKS | BIT(T_DO) | BIT(T_MAX), BIT(T_DO) | BIT(T_MAX)},
    {T_IF, TGI_VERB_IF, FOR_TASKS | BIT(T_THEN) | BIT(T_ELSE), BIT(T_THEN)},
    {T_CALL, TGI_VERB_CALL, FOR_ALL | BIT(T_ID) | BIT(T_WITH), 0},
    {T_FOR, TGI_VERB_FOR, FOR_ALL | BIT(T_DO), BIT(T_DO)}, /* last: it also stands on single tasks */
};

/* ---- What is common to all tasks ----------------------------------------------------------*/

static int find_verb(struct tgi_reader *r, uint32_t node, const uint32_t *v, uint32_t *index_p)
{
    uint32_t n = sizeof verbs / sizeof *verbs, found = n;
    for (uint32_t k = 0; k < n; k++) {
        if (v[verbs[k].key] == TGI_TAPE_ABSENT || (verbs[k].key == T_FOR && found < n))
            continue;
        if (found < n) {
            struct tgi_remark remark = {.is_key = true};
            return tgi_report(r, v[verbs[k].key], &remark, TG_E_BAD_VALUE,
                              "a task does one thing; this one has both \"%s\" and \"%s\"",
                              task_keys[verbs[found].key], task_keys[verbs[k].key]);
        }
        found = k;
    }
    if (found == n)
        return tgi_report(r, node, NULL, TG_E_MISSING_KEY,
                          "a task needs one of kernel, copy, fill, collective, host, barrier, "
                          "call, for, repeat, while, if");
    uint64_t allowed = verbs[found].allowed | BIT(verbs[found].key);
    for (uint32_t k = 0; k < N_T; k++)
        if (v[k] != TGI_TAPE_ABSENT && (allowed >> k & 1) == 0) {
            struct tgi_remark remark = {.is_key = true};
            return tgi_report(r, v[k], &remark, TG_E_UNKNOWN_KEY, "\"%s\" does not go with \"%s\"",
                              task_keys[k], task_keys[verbs[found].key]);
        }
    for (uint32_t k = 0; k < N_T; k++)
        if (v[k] == TGI_TAPE_ABSENT && (verbs[found].needed >> k & 1) != 0)
            return tgi_report(r, node, NULL, TG_E_MISSING_KEY, "\"%s\" needs \"%s\"",
                              task_keys[verbs[found].key], task_keys[k]);
    *index_p = found;
    return 0;
}

static int compile_pattern(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node, const char *what,
                           struct tgi_pattern *pattern)
{
    if (node == TGI_TAPE_ABSENT)
        return 0;
    int rc = tgi_expect(r, node, TGI_TAPE_STRING, what);
    return rc != 0 ? rc : tgi_pattern_compile(r, pool, node, pattern);
}

/* A place that does not depend on variables can be checked at once. */
static int compile_place(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node, const char *what,
                         struct tgi_pattern *pattern)
{
    struct tg_error err;
    tgi_place place;
    int rc = compile_pattern(r, pool, node, what, pattern);
    if (rc == 0 && node != TGI_TAPE_ABSENT && pattern->n_parts == 0 &&
        tgi_place_parse(pattern->text, &place, &err) != 0)
        rc = tgi_report_error(r, node, &err);
    return rc;
}

static int compile_number(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node, const char *what,
                          struct tgi_number *number)
{
    return node == TGI_TAPE_ABSENT ? 0 : tgi_number_compile(r, pool, node, what, number);
}

static int compile_after(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node, struct tgi_template *t)
{
    if (node == TGI_TAPE_ABSENT)
        return 0;
    bool is_single = tgi_node_type(r, node) == TGI_TAPE_STRING;
    if (!is_single && tgi_node_type(r, node) != TGI_TAPE_ARRAY)
        return tgi_report(r, node, NULL, TG_E_WRONG_TYPE,
                          "\"after\" must be the name of a task or an array of names");
    uint32_t n = is_single ? 1 : tgi_tape_count(&r->tape, node), item = is_single ? node : node + 1;
    t->after = tgi_json_pool_alloc(pool, n * sizeof *t->after);
    if (t->after == NULL)
        return tgi_report_memory(r);
    for (; t->n_after < n; t->n_after++, item = tgi_tape_next(&r->tape, item)) {
        int rc = compile_pattern(r, pool, item, "a name in \"after\"", &t->after[t->n_after]);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int compile_cost(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node, struct tgi_template *t)
{
    static const char *const keys[] = {"flops", "bytes", "us"};
    uint32_t v[3];
    if (node == TGI_TAPE_ABSENT)
        return 0;
    int rc = tgi_object_take(r, node, "\"cost\"", keys, 3, v);
    if (rc == 0)
        rc = compile_number(r, pool, v[0], "\"flops\"", &t->flops);
    if (rc == 0)
        rc = compile_number(r, pool, v[1], "\"bytes\"", &t->bytes);
    if (rc == 0)
        rc = compile_number(r, pool, v[2], "\"us\"", &t->us);
    return rc;
}

static int compile_common(struct tgi_reader *r, struct tgi_json_pool *pool, const uint32_t *v,
                          struct tgi_template *t)
{
    int rc = 0;
    if (v[T_WHEN] != TGI_TAPE_ABSENT) {
        enum tgi_tape_type type = tgi_node_type(r, v[T_WHEN]);
        if (type == TGI_TAPE_TRUE || type == TGI_TAPE_FALSE)
            t->when =
                (struct tgi_number){.kind = TGI_NUMBER_INT, .node = v[T_WHEN], .u.i = type == TGI_TAPE_TRUE};
        else
            rc = tgi_number_compile(r, pool, v[T_WHEN], "\"when\"", &t->when);
    }
    t->has_common = v[T_ON] || v[T_PREFER] || v[T_PRIORITY] || v[T_RETRIES] || v[T_TIMEOUT_MS];
    if (rc == 0)
        rc = compile_pattern(r, pool, v[T_ID], "\"id\"", &t->id);
    if (rc == 0)
        rc = compile_after(r, pool, v[T_AFTER], t);
    if (rc == 0)
        rc = compile_cost(r, pool, v[T_COST], t);
    if (rc != 0 || !t->has_common)
        return rc;
    if ((t->texts = tgi_json_pool_alloc(pool, 2 * (TGI_MAX_NAME + 1))) == NULL)
        return tgi_report_memory(r);
    if ((rc = compile_place(r, pool, v[T_ON], "\"on\"", &t->on)) == 0 &&
        (rc = compile_place(r, pool, v[T_PREFER], "\"prefer\"", &t->prefer)) == 0 &&
        (rc = compile_number(r, pool, v[T_PRIORITY], "\"priority\"", &t->priority)) == 0 &&
        (rc = compile_number(r, pool, v[T_RETRIES], "\"retries\"", &t->retries)) == 0)
        rc = compile_number(r, pool, v[T_TIMEOUT_MS], "\"timeout_ms\"", &t->timeout_ms);
    return rc;
}

/* ---- The verbs ----------------------------------------------------------------------------*/

static int compile_copy(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node, struct tgi_template *t)
{
    static const char *const keys[] = {"to", "from"};
    uint32_t v[2];
    int rc = tgi_object_take(r, node, "\"copy\"", keys, 2, v);
    if (rc != 0)
        return rc;
    if ((t->args = tgi_json_pool_alloc(pool, 2 * sizeof *t->args)) == NULL)
        return tgi_report_memory(r);
    t->n_args = 2;
    for (uint32_t k = 0; k < 2; k++) {
        if (v[k] == TGI_TAPE_ABSENT)
            return tgi_report(r, node, NULL, TG_E_MISSING_KEY, "\"copy\" needs \"%s\"", keys[k]);
        t->args[k].kind = TGI_ARG_REFERENCE;
        t->args[k].node = v[k];
        if ((rc = tgi_reference_compile(r, pool, v[k], &t->args[k].reference)) != 0)
            return rc;
    }
    return 0;
}

static int compile_fill(struct tgi_reader *r, struct tgi_json_pool *pool, const uint32_t *v,
                        struct tgi_template *t)
{
    struct tgi_param value = {"value", TGI_DTYPE_T, TG_SCALAR, TG_SUM, NULL};
    if ((t->args = tgi_json_pool_alloc(pool, 2 * sizeof *t->args)) == NULL)
        return tgi_report_memory(r);
    t->n_args = 2;
    t->args[0].kind = TGI_ARG_REFERENCE;
    t->args[0].node = v[T_FILL];
    int rc = tgi_reference_compile(r, pool, v[T_FILL], &t->args[0].reference);
    if (rc != 0)
        return rc;
    int dtype = (int)r->graph->space->buffers[t->args[0].reference.buffer].dtype;
    return tgi_compile_arg(r, pool, v[T_VALUE], &value, dtype, &t->args[1]);
}

static int compile_collective(struct tgi_reader *r, struct tgi_json_pool *pool, const uint32_t *v,
                              struct tgi_template *t)
{
    static const char *const names[] = {"allreduce",     "broadcast", "reduce",  "allgather",
                                        "reducescatter", "alltoall",  "sendrecv"};
    static const char *const ops[] = {"sum", "prod", "min", "max"};
    uint32_t word;
    int rc = tgi_take_word(r, v[T_COLLECTIVE], "\"collective\"", names, 7, &word);
    if (rc != 0)
        return rc;
    t->collective = (enum tg_collective)word;
    bool reduces = word == TG_ALLREDUCE || word == TG_REDUCE_TO || word == TG_REDUCESCATTER;
    if (v[T_OP] != TGI_TAPE_ABSENT) {
        if (!reduces)
            return tgi_report(r, v[T_OP], NULL, TG_E_BAD_VALUE, "\"%s\" has no \"op\"", names[word]);
        if ((rc = tgi_take_word(r, v[T_OP], "\"op\"", ops, 4, &word)) != 0)
            return rc;
        t->op = (enum tg_op)word;
    }
    if (v[T_ROOT] != TGI_TAPE_ABSENT && t->collective != TG_BROADCAST && t->collective != TG_REDUCE_TO)
        return tgi_report(r, v[T_ROOT], NULL, TG_E_BAD_VALUE, "\"%s\" has no \"root\"", names[t->collective]);
    if ((rc = compile_number(r, pool, v[T_ROOT], "\"root\"", &t->root)) != 0)
        return rc;
    bool is_single = tgi_node_type(r, v[T_BUFFERS]) == TGI_TAPE_STRING;
    if (!is_single && tgi_node_type(r, v[T_BUFFERS]) != TGI_TAPE_ARRAY)
        return tgi_report(r, v[T_BUFFERS], NULL, TG_E_WRONG_TYPE,
                          "\"buffers\" must be a reference such as \"A[*]\" or an array of them");
    uint32_t n = is_single ? 1 : tgi_tape_count(&r->tape, v[T_BUFFERS]),
             item = is_single ? v[T_BUFFERS] : v[T_BUFFERS] + 1;
    if ((t->args = tgi_json_pool_alloc(pool, ((size_t)n + 1) * sizeof *t->args)) == NULL)
        return tgi_report_memory(r);
    for (; t->n_args < n; t->n_args++, item = tgi_tape_next(&r->tape, item)) {
        t->args[t->n_args].kind = TGI_ARG_REFERENCE;
        t->args[t->n_args].node = item;
        if ((rc = tgi_reference_compile(r, pool, item, &t->args[t->n_args].reference)) != 0)
            return rc;
    }
    return 0;
}

static int compile_condition(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node,
                             struct tgi_template *t)
{
    if ((t->args = tgi_json_pool_alloc(pool, sizeof *t->args)) == NULL)
        return tgi_report_memory(r);
    t->n_args = 1;
    t->args[0].kind = TGI_ARG_REFERENCE;
    t->args[0].node = node;
    return tgi_reference_compile(r, pool, node, &t->args[0].reference);
}

static int find_subgraph(struct tgi_reader *r, uint32_t node, struct tgi_subgraph **graph_p)
{
    char help[320];
    struct tgi_remark remark = {0};
    int rc = tgi_expect(r, node, TGI_TAPE_STRING, "\"call\"");
    if (rc != 0)
        return rc;
    const char *name = tgi_node_string(r, node);
    uint32_t k = tgi_name_index_find(&r->graphs, name, tgi_tape_count(&r->tape, node));
    if (k == TGI_NAME_BROKEN)
        return TG_E_UNKNOWN_GRAPH;
    if (k == UINT32_MAX) {
        remark.help = tgi_did_you_mean(&r->graphs, name, help, sizeof help);
        return tgi_report(r, node, &remark, TG_E_UNKNOWN_GRAPH, "unknown graph \"%.100s\"", name);
    }
    *graph_p = r->subgraphs[k];
    return 0;
}

static int compile_with(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node, uint32_t call_node,
                        struct tgi_template *t)
{
    const struct tgi_subgraph *callee = t->callee;
    uint32_t v[TGI_MAX_VARS];
    char what[160];
    memset(v, 0, sizeof v);
    snprintf(what, sizeof what, "\"with\" of graph \"%.100s\"", callee->name);
    int rc =
        node == TGI_TAPE_ABSENT ? 0 : tgi_object_take(r, node, what, callee->params, callee->n_params, v);
    if (rc != 0)
        return rc;
    if ((t->with = tgi_json_pool_alloc(pool, (callee->n_params + 1) * sizeof *t->with)) == NULL)
        return tgi_report_memory(r);
    for (uint32_t k = 0; k < callee->n_params; k++) {
        if (v[k] == TGI_TAPE_ABSENT)
            return tgi_report(r, node != TGI_TAPE_ABSENT ? node : call_node, NULL, TG_E_MISSING_ARGUMENT,
                              "graph \"%.100s\": parameter \"%.100s\" is missing in \"with\"", callee->name,
                              callee->params[k]);
        if ((rc = tgi_number_compile(r, pool, v[k], "a parameter in \"with\"", &t->with[k])) != 0)
            return rc;
    }
    return 0;
}

static int compile_call(struct tgi_reader *r, struct tgi_json_pool *pool, const uint32_t *v,
                        struct tgi_template *t)
{
    int rc = find_subgraph(r, v[T_CALL], &t->callee);
    if (rc != 0)
        return rc;
    struct tgi_subgraph *owner = t->owner;
    if (owner != NULL) { /* remembered for finding recursion */
        if (!tgi_vec_reserve(&owner->calls, &owner->cap_calls, (uint64_t)owner->n_calls + 1,
                             sizeof *owner->calls))
            return tgi_report_memory(r);
        owner->calls[owner->n_calls++] =
            tgi_name_index_find(&r->graphs, t->callee->name, strlen(t->callee->name));
    }
    return compile_with(r, pool, v[T_WITH], v[T_CALL], t);
}

static int compile_verb(struct tgi_reader *r, struct tgi_json_pool *pool, const uint32_t *v,
                        struct tgi_template *t)
{
    int rc;
    switch (t->verb) {
    case TGI_VERB_KERNEL:
    case TGI_VERB_HOST: {
        uint32_t node = v[t->verb == TGI_VERB_KERNEL ? T_KERNEL : T_HOST];
        rc = tgi_find_kernel(r, node, &t->kernel);
        return rc != 0 ? rc : tgi_compile_args(r, pool, v[T_ARGS], t, node);
    }
    case TGI_VERB_COPY:
        return compile_copy(r, pool, v[T_COPY], t);
    case TGI_VERB_FILL:
        return compile_fill(r, pool, v, t);
    case TGI_VERB_COLLECTIVE:
        return compile_collective(r, pool, v, t);
    case TGI_VERB_BARRIER:
        if (tgi_node_type(r, v[T_BARRIER]) != TGI_TAPE_TRUE)
            return tgi_report(r, v[T_BARRIER], NULL, TG_E_BAD_VALUE, "write \"barrier\": true");
        return 0;
    case TGI_VERB_REPEAT:
        rc = tgi_number_compile(r, pool, v[T_REPEAT], "\"repeat\"", &t->count);
        return rc != 0 ? rc : tgi_compile_tasks(r, pool, v[T_DO], "\"do\"", t, t->owner, &t->child);
    case TGI_VERB_WHILE:
        rc = tgi_number_compile(r, pool, v[T_MAX], "\"max\"", &t->count);
        if (rc == 0)
            rc = compile_condition(r, pool, v[T_WHILE], t);
        return rc != 0 ? rc : tgi_compile_tasks(r, pool, v[T_DO], "\"do\"", t, t->owner, &t->child);
    case TGI_VERB_IF:
        rc = compile_condition(r, pool, v[T_IF], t);
        if (rc == 0)
            rc = tgi_compile_tasks(r, pool, v[T_THEN], "\"then\"", t, t->owner, &t->child);
        if (rc == 0 && v[T_ELSE] != TGI_TAPE_ABSENT)
            rc = tgi_compile_tasks(r, pool, v[T_ELSE], "\"else\"", t, t->owner, &t->child_else);
        return rc;
    case TGI_VERB_CALL:
        return compile_call(r, pool, v, t);
    default: /* TGI_VERB_FOR */
        return tgi_compile_tasks(r, pool, v[T_DO], "\"do\"", t, t->owner, &t->child);
    }
}

/* ---- Templates ----------------------------------------------------------------------------*/

/* A group around tasks with mistakes is kept (*task_p) beside the error: expanding the others tells what is wrong with
 * them.  Nothing of it is seen, as loading fails. */
static int compile_task(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node,
                        struct tgi_template *parent, struct tgi_subgraph *owner, struct tgi_template **task_p)
{
    uint32_t v[N_T], verb = 0, n_vars = r->n_vars;
    int rc = tgi_object_take(r, node, "a task", task_keys, N_T, v);
    if (rc != 0 || (rc = find_verb(r, node, v, &verb)) != 0)
        return rc;
    struct tgi_template *t = tgi_json_pool_alloc(pool, sizeof *t);
    if (t == NULL)
        return tgi_report_memory(r);
    t->verb = verbs[verb].verb;
    t->node = node;
    t->parent = parent;
    t->owner = owner;
    /* Before what is inside it: places are found fastest in the order of the text. */
    t->site = t->verb == TGI_VERB_FOR || t->verb == TGI_VERB_CALL ? TG_NONE : tgi_reader_site(r, node);
    if (v[T_FOR] != TGI_TAPE_ABSENT)
        rc = tgi_compile_loops(r, pool, v[T_FOR], t);
    if (rc == 0)
        rc = compile_common(r, pool, v, t);
    bool is_group = rc == 0 && t->verb == TGI_VERB_FOR;
    if (rc == 0)
        rc = compile_verb(r, pool, v, t);
    r->n_vars = n_vars;
    if (rc == 0 || is_group)
        *task_p = t;
    return rc;
}

int tgi_compile_tasks(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node, const char *what,
                        struct tgi_template *parent, struct tgi_subgraph *owner,
                        struct tgi_template **first_p)
{
    int result = tgi_expect(r, node, TGI_TAPE_ARRAY, what);
    if (result != 0)
        return result;
    struct tgi_template **last = first_p;
    uint32_t item = node + 1;
    for (uint32_t left = tgi_tape_count(&r->tape, node); left > 0 && !tgi_reader_is_done(r); left--) {
        struct tgi_template *t = NULL;
        int rc = compile_task(r, pool, item, parent, owner, &t);
        result = rc != 0 ? rc : result;
        if (t != NULL) {
            *last = t;
            last = &t->next;
        }
        item = tgi_tape_next(&r->tape, item);
    }
    return result;
}

int tgi_read_task(struct tgi_reader *r, uint32_t node)
{
    struct tgi_template *t = NULL;
    int rc = compile_task(r, &r->scratch, node, NULL, NULL, &t), expanded = 0;
    if (t != NULL && !tgi_reader_is_done(r))
        expanded = tgi_expand(r, t);
    tgi_json_pool_reset(&r->scratch);
    return rc != 0 ? rc : expanded;
}

int tgi_read_tasks(struct tgi_reader *r, uint32_t node)
{
    int result = tgi_expect(r, node, TGI_TAPE_ARRAY, "\"tasks\"");
    if (result != 0)
        return result;
    uint32_t item = node + 1;
    for (uint32_t left = tgi_tape_count(&r->tape, node); left > 0 && !tgi_reader_is_done(r); left--) {
        int rc = tgi_read_task(r, item);
        result = rc != 0 ? rc : result;
        item = tgi_tape_next(&r->tape, item);
    }
    return result;
}
