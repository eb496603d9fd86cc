/* Templates become tasks.
 *
 * The walk over a template and what is inside it keeps its state in the templates themselves, so
 * nesting costs no stack; that works because graphs that call themselves are refused, so that no
 * template is active twice.  A template that can make more than one task is walked twice: first
 * counting only, so that an expansion beyond the limit is refused before any memory is spent on it.
 * Counting multiplies innermost loops out instead of walking them.
 *
 * The limit is one of tasks, but work and memory follow what each task says, too: a long text, many
 * names in "after", many ranks.  A task weighs the more for them, and the weight is limited as well. */
#include "io/json_reader.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "graph/vec.h"

#define WEIGHT_PER_TASK 8

static bool is_control(const struct tgi_template *t)
{
    return t->verb == TGI_VERB_REPEAT || t->verb == TGI_VERB_WHILE || t->verb == TGI_VERB_IF;
}

static bool is_leaf(const struct tgi_template *t) { return t->verb <= TGI_VERB_BARRIER; }

/* The template that contains this one, across the call if it is the top of a graph. */
static struct tgi_template *container(const struct tgi_template *t)
{
    return t->parent != NULL ? t->parent : t->owner != NULL ? t->owner->caller : NULL;
}

/* ---- Loops --------------------------------------------------------------------------------*/

static void set_slot(struct tgi_reader *r, uint32_t slot, int64_t value)
{
    r->frame.i[slot] = value;
    r->frame.f[slot] = (double)value;
    r->frame.float_slots &= ~((uint64_t)1 << slot);
}

static int too_many(struct tgi_reader *r, uint32_t node, uint64_t n)
{
    struct tgi_remark remark = {.help = "the limit can be raised (max_tasks, tgraph expand --limit)"};
    return tgi_report(r, node, &remark, TG_E_EXPANSION,
                      "expansion makes %s%" PRIu64 " tasks or iterations, the limit is %" PRIu64,
                      n == UINT64_MAX ? "more than " : "", n == UINT64_MAX ? r->max_tasks : n, r->max_tasks);
}

/* Gives loop `level` its first value; false in *has_p: the range is empty. */
static int open_loop(struct tgi_reader *r, struct tgi_template *t, uint32_t level, bool *has_p)
{
    struct tgi_loop *loop = &t->loops[level];
    int64_t begin, end;
    t->n_open = level;
    int rc = tgi_number_int(r, &loop->begin, &begin);
    if (rc != 0 || (rc = tgi_number_int(r, &loop->end, &end)) != 0)
        return rc;
    *has_p = begin < end;
    if (!*has_p)
        return 0;
    uint64_t n = (uint64_t)end - (uint64_t)begin;
    if (r->is_counting && n > r->max_tasks)
        return too_many(r, loop->node, n);
    set_slot(r, loop->slot, begin);
    loop->limit = end;
    t->n_open = level + 1;
    return 0;
}

/* Finds values for the loops from `level` inwards; where a range is empty, goes on with the next
 * value further out.  is_next: the loop outside `level` takes its next value first. */
static int seek(struct tgi_reader *r, struct tgi_template *t, uint32_t level, bool is_next, bool *has_p)
{
    *has_p = true;
    for (;;) {
        if (is_next) {
            do {
                if (level == 0) {
                    *has_p = false;
                    t->n_open = 0;
                    return 0;
                }
                level--;
            } while (r->frame.i[t->loops[level].slot] + 1 >= t->loops[level].limit);
            set_slot(r, t->loops[level].slot, r->frame.i[t->loops[level].slot] + 1);
            t->n_open = ++level;
            is_next = false;
            if (r->is_counting && (r->n_steps += t->loops[level - 1].weight) > r->max_tasks)
                return too_many(r, t->loops[level - 1].node, UINT64_MAX);
        }
        if (level == t->n_loops)
            return 0;
        bool has_value;
        int rc = open_loop(r, t, level, &has_value);
        if (rc != 0)
            return rc;
        if (has_value)
            level++;
        else
            is_next = true;
    }
}

/* ---- What tasks have in common ------------------------------------------------------------*/

static int eval_ranged(struct tgi_reader *r, const struct tgi_number *number, const char *what, int64_t least,
                       int64_t most, int64_t *value_p)
{
    int rc = tgi_number_int(r, number, value_p);
    if (rc == 0 && (*value_p < least || *value_p > most))
        rc =
            tgi_report(r, number->node, NULL, TG_E_BAD_VALUE,
                       "%s is %" PRId64 "; allowed are %" PRId64 " to %" PRId64, what, *value_p, least, most);
    return rc;
}

static int eval_common(struct tgi_reader *r, struct tgi_template *t, struct tgi_common *common)
{
    int64_t value;
    uint32_t used = 0;
    int rc = 0;
    if (t->on.text != NULL) {
        common->on = t->texts;
        rc = tgi_pattern_write(r, &t->on, t->texts, TGI_MAX_NAME + 1, &used);
    }
    if (rc == 0 && t->prefer.text != NULL) {
        used = 0;
        common->prefer = t->texts + TGI_MAX_NAME + 1;
        rc = tgi_pattern_write(r, &t->prefer, t->texts + TGI_MAX_NAME + 1, TGI_MAX_NAME + 1, &used);
    }
    if (rc == 0 && t->priority.kind != TGI_NUMBER_NONE &&
        (rc = eval_ranged(r, &t->priority, "\"priority\"", INT32_MIN, INT32_MAX, &value)) == 0)
        common->priority = (int32_t)value;
    if (rc == 0 && t->retries.kind != TGI_NUMBER_NONE &&
        (rc = eval_ranged(r, &t->retries, "\"retries\"", 0, UINT16_MAX, &value)) == 0)
        common->retries = (uint32_t)value;
    if (rc == 0 && t->timeout_ms.kind != TGI_NUMBER_NONE &&
        (rc = eval_ranged(r, &t->timeout_ms, "\"timeout_ms\"", 0, UINT32_MAX, &value)) == 0)
        common->timeout_ms = (uint32_t)value;
    return rc;
}

/* ---- Arguments ----------------------------------------------------------------------------*/

static int reserve_args(struct tgi_reader *r, uint64_t n)
{
    return tgi_vec_reserve(&r->args, &r->cap_args, n, sizeof *r->args) ? 0 : tgi_report_memory(r);
}

static int eval_arg(struct tgi_reader *r, const struct tgi_arg_template *arg, struct tg_arg *out)
{
    int64_t i;
    double f;
    int rc;
    switch (arg->kind) {
    case TGI_ARG_REFERENCE:
        return tgi_reference_eval(r, &arg->reference, out);
    case TGI_ARG_ABSENT:
        *out = tg_arg_tile(TG_NONE, 0);
        return 0;
    case TGI_ARG_NUMBER_INT:
        if ((rc = tgi_number_int(r, &arg->number, &i)) == 0)
            *out = tg_arg_int(i);
        return rc;
    default:
        if ((rc = tgi_number_double(r, &arg->number, &f)) == 0)
            *out = tg_arg_float(f);
        return rc;
    }
}

static int eval_args(struct tgi_reader *r, const struct tgi_template *t, struct tg_task_spec *spec)
{
    int rc = reserve_args(r, (uint64_t)t->n_args + 1);
    for (uint32_t i = 0; i < t->n_args && rc == 0; i++)
        rc = eval_arg(r, &t->args[i], &r->args[i]);
    spec->args = r->args;
    spec->n_args = t->n_args;
    return rc;
}

/* Those of a collective: A[*] stands for every tile of A, in rank order. */
static int eval_ranks(struct tgi_reader *r, const struct tgi_template *t, struct tg_task_spec *spec)
{
    uint32_t n = 0;
    for (uint32_t k = 0; k < t->n_args; k++) {
        struct tg_arg arg;
        int rc = eval_arg(r, &t->args[k], &arg);
        if (rc != 0)
            return rc;
        const struct tgi_buffer *b = &r->graph->space->buffers[arg.buffer];
        uint32_t n_tiles = arg.kind == TG_ARG_ALL ? b->n_tiles : 1;
        if ((rc = reserve_args(r, (uint64_t)n + n_tiles)) != 0)
            return rc;
        if (arg.kind != TG_ARG_ALL) {
            r->args[n++] = arg;
            continue;
        }
        for (uint32_t tile = 0; tile < n_tiles; tile++)
            if (b->present == NULL || b->present[tile] != 0)
                r->args[n++] = tg_arg_tile(arg.buffer, tile);
    }
    spec->args = r->args;
    spec->n_args = n;
    return 0;
}

/* ---- Names and control edges --------------------------------------------------------------*/

static int remember_pending(struct tgi_reader *r, const struct tgi_pattern *pattern, const char *name,
                            uint32_t length)
{
    struct tgi_pending_edge edge = {
        .task = r->target->n_tasks, .n_prefix = r->prefix_length, .node = pattern->node};
    if (r->is_stream) {
        tgi_reader_locate(r, pattern->node, &edge.line, &edge.column);
        edge.length = r->tape.nodes[pattern->node].size;
    }
    edge.name = tgi_arena_strndup(&r->pending_names, name, length);
    if (edge.name == NULL ||
        !tgi_vec_reserve(&r->pending, &r->cap_pending, (uint64_t)r->n_pending + 1, sizeof edge))
        return tgi_report_memory(r);
    r->pending[r->n_pending++] = edge;
    return 0;
}

/* The tasks named in "after" that are there already; the others become pending. */
static int eval_after(struct tgi_reader *r, const struct tgi_template *t, struct tg_task_spec *spec)
{
    char name[2 * TGI_MAX_NAME + 2];
    if (!tgi_vec_reserve(&r->after, &r->cap_after, t->n_after, sizeof *r->after))
        return tgi_report_memory(r);
    memcpy(name, r->name, r->prefix_length);
    spec->n_after = 0;
    spec->after = r->after;
    for (uint32_t k = 0; k < t->n_after; k++) {
        uint32_t used = r->prefix_length;
        int rc = tgi_pattern_write(r, &t->after[k], name, sizeof name, &used);
        if (rc != 0)
            return rc;
        tg_task_id task = tg_graph_find_task(r->target, name);
        if (task == TG_NONE && r->prefix_length > 0)
            task = tg_graph_find_task(r->target, name + r->prefix_length);
        if (task != TG_NONE)
            r->after[spec->n_after++] = task;
        else if ((rc = remember_pending(r, &t->after[k], name, used)) != 0)
            return rc;
    }
    return 0;
}

static const char *suggest_task(const struct tg_graph *g, const char *name, char *help, size_t size)
{
    uint32_t n = 0, n_max = g->n_tasks < 100000 ? g->n_tasks : 100000;
    const char **names = g->names_at != NULL ? malloc(n_max * sizeof *names) : NULL;
    if (names == NULL)
        return NULL;
    for (uint32_t t = 0; t < n_max; t++)
        if (g->names_at[t] != TG_NONE)
            names[n++] = g->names_text + g->names_at[t];
    const char *found = tgi_did_you_mean_list(names, n, name, help, size);
    free(names);
    return found;
}

static int report_edge(struct tgi_reader *r, const struct tgi_pending_edge *edge, const char *help,
                       int status, const char *text)
{
    struct tgi_remark remark = {.help = help};
    if (r->is_stream)
        return tgi_report_position(r, edge->line, edge->column, edge->length, help, status, "%s", text);
    return tgi_report(r, edge->node, &remark, status, "%s", text);
}

static int unknown_task(struct tgi_reader *r, const struct tg_graph *graph,
                        const struct tgi_pending_edge *edge)
{
    char help[320], scratch[32], text[320];
    const char *name = edge->name + edge->n_prefix, *task = tgi_graph_task_name(graph, edge->task, scratch);
    snprintf(text, sizeof text, "task \"%.100s\" comes after \"%.100s\", which does not exist", task, name);
    return report_edge(r, edge, suggest_task(graph, name, help, sizeof help), TG_E_UNKNOWN_TASK, text);
}

int tgi_resolve_pending(struct tgi_reader *r, struct tg_graph *graph, uint32_t first)
{
    int result = 0;
    /* After an error the missing task may be one that was not made. */
    bool is_trusted = r->n_errors == 0;
    uint32_t last_node = TGI_TAPE_ABSENT;
    for (uint32_t k = first; k < r->n_pending && !tgi_reader_is_done(r); k++) {
        const struct tgi_pending_edge *edge = &r->pending[k];
        struct tg_error err;
        tg_task_id task = tg_graph_find_task(graph, edge->name);
        if (task == TG_NONE && edge->n_prefix > 0)
            task = tg_graph_find_task(graph, edge->name + edge->n_prefix);
        if (task == edge->task) {
            result = report_edge(r, edge, NULL, TG_E_CYCLE, "a task cannot come after itself");
        } else if (task != TG_NONE) {
            if (tg_graph_add_edge(graph, task, edge->task, &err) != 0)
                result = report_edge(r, edge, NULL, err.status, err.text);
        } else if (is_trusted && (edge->node != last_node || r->is_stream)) {
            result = unknown_task(r, graph, edge);
            last_node = edge->node;
        }
    }
    r->n_pending = first;
    return result;
}

/* ---- One task -----------------------------------------------------------------------------*/

/* The part of the template that the graph complains about. */
static uint32_t find_culprit(const struct tgi_reader *r, const struct tgi_template *t,
                             const struct tg_error *err)
{
    if ((err->status == TG_E_DUPLICATE_NAME || err->status == TG_E_BAD_NAME) && t->id.text != NULL)
        return t->id.node;
    if (err->status == TG_E_BAD_VALUE && t->on.text != NULL)
        return t->on.node;
    static const char *const of_copy[] = {"to", "from"}, *const of_fill[] = {"to", "value"};
    bool has_kernel = t->verb == TGI_VERB_KERNEL || t->verb == TGI_VERB_HOST;
    const struct tgi_op *op = has_kernel ? &r->graph->space->ops[t->kernel] : NULL;
    for (uint32_t i = 0;
         i < t->n_args && (has_kernel || t->verb == TGI_VERB_COPY || t->verb == TGI_VERB_FILL); i++) {
        char quoted[160];
        snprintf(quoted, sizeof quoted, "argument \"%.100s\"",
                 has_kernel                 ? op->params[i].name
                 : t->verb == TGI_VERB_COPY ? of_copy[i]
                                            : of_fill[i]);
        if (strstr(err->text, quoted) != NULL)
            return t->args[i].node;
    }
    return t->n_args > 0 && !has_kernel ? t->args[0].node : t->node;
}

static int report_task(struct tgi_reader *r, const struct tgi_template *t, const struct tg_error *err)
{
    char help[320];
    struct tgi_remark remark = {0};
    if (err->status == TG_E_DUPLICATE_NAME) {
        tg_task_id first = tg_graph_find_task(r->target, r->name);
        uint32_t line, column;
        if (first != TG_NONE && r->target->site_of != NULL &&
            tgi_space_locate(r->graph->space, r->target->site_of[first], &line, &column)) {
            snprintf(help, sizeof help, "the first one is at line %u", line);
            remark.help = help;
        }
    }
    return tgi_report(r, find_culprit(r, t, err), &remark, err->status, "%s", err->text);
}

static int add_cost(struct tgi_reader *r, const struct tgi_template *t, tg_task_id task)
{
    struct tg_error err;
    double cost[3] = {NAN, NAN, NAN};
    const struct tgi_number *numbers[3] = {&t->flops, &t->bytes, &t->us};
    for (uint32_t k = 0; k < 3; k++) {
        int rc = numbers[k]->kind == TGI_NUMBER_NONE ? 0 : tgi_number_double(r, numbers[k], &cost[k]);
        if (rc == 0 && cost[k] < 0)
            rc = tgi_report(r, numbers[k]->node, NULL, TG_E_BAD_VALUE, "a cost cannot be negative");
        if (rc != 0)
            return rc;
    }
    if (tgi_graph_set_task_cost(r->target, task, cost[0], cost[1], cost[2], &err) != 0)
        return tgi_report_error(r, t->node, &err);
    return 0;
}

static int eval_spec(struct tgi_reader *r, struct tgi_template *t, struct tg_task_spec *spec)
{
    static const enum tg_task_kind kinds[] = {TG_TASK_KERNEL, TG_TASK_HOST,       TG_TASK_COPY,
                                              TG_TASK_FILL,   TG_TASK_COLLECTIVE, TG_TASK_BARRIER,
                                              TG_TASK_REPEAT, TG_TASK_WHILE,      TG_TASK_IF};
    struct tgi_common common = r->common;
    int64_t value;
    int rc = 0;
    spec->kind = kinds[t->verb];
    spec->kernel = t->kernel;
    if (t->has_common)
        rc = eval_common(r, t, &common);
    spec->on = common.on;
    spec->prefer = common.prefer;
    spec->priority = common.priority;
    spec->retries = common.retries;
    spec->timeout_ms = common.timeout_ms;
    if (rc == 0 && t->verb == TGI_VERB_COLLECTIVE) {
        spec->collective = t->collective;
        spec->op = t->op;
        rc = eval_ranks(r, t, spec);
        if (rc == 0 && t->root.kind != TGI_NUMBER_NONE &&
            (rc = eval_ranged(r, &t->root, "\"root\"", 0, UINT32_MAX, &value)) == 0)
            spec->root = (uint32_t)value;
    } else if (rc == 0) {
        rc = eval_args(r, t, spec);
    }
    if (rc == 0 && t->count.kind != TGI_NUMBER_NONE &&
        (rc = eval_ranged(r, &t->count, t->verb == TGI_VERB_WHILE ? "\"max\"" : "\"repeat\"", 0, INT64_MAX,
                          &value)) == 0)
        spec->count = (uint64_t)value;
    if (rc == 0 && t->n_after > 0)
        rc = eval_after(r, t, spec);
    if (rc == 0 && t->id.text != NULL) {
        uint32_t used = r->prefix_length;
        rc = tgi_pattern_write(r, &t->id, r->name, sizeof r->name, &used);
        spec->name = r->name;
    }
    return rc;
}

static int emit(struct tgi_reader *r, struct tgi_template *t)
{
    struct tg_task_spec spec = TG_TASK_SPEC_INIT;
    struct tg_error err;
    tg_task_id task;
    uint32_t n_pending = r->n_pending;
    int rc = eval_spec(r, t, &spec);
    spec.body = t->body;
    spec.body_else = t->body_else;
    if (rc == 0 && tg_graph_add_task(r->target, &spec, &task, &err) != 0)
        rc = report_task(r, t, &err);
    if (rc != 0) {
        r->n_pending = n_pending;
        return rc;
    }
    t->body = t->body_else = NULL; /* the graph's now */
    r->n_emitted++;
    if (t->site != TG_NONE && tgi_graph_set_site(r->target, task, t->site, &err) != 0)
        return tgi_report_error(r, t->node, &err);
    if (t->flops.kind != TGI_NUMBER_NONE || t->bytes.kind != TGI_NUMBER_NONE || t->us.kind != TGI_NUMBER_NONE)
        return add_cost(r, t, task);
    return 0;
}

/* ---- Groups, calls and control tasks ------------------------------------------------------*/

static int enter_group(struct tgi_reader *r, struct tgi_template *t)
{
    t->around = r->common;
    return t->has_common && !r->is_counting ? eval_common(r, t, &r->common) : 0;
}

static int enter_prefix(struct tgi_reader *r, struct tgi_template *t)
{
    uint32_t used = r->prefix_length, size = sizeof r->name;
    int rc = 0, n = 0;
    if (t->id.text != NULL) {
        rc = tgi_pattern_write(r, &t->id, r->name, size - 1, &used);
        n = 1;
        r->name[used] = '/';
    } else {
        n = snprintf(r->name + used, size - used, "%s#%u/", t->callee->name, t->callee->n_unnamed++);
    }
    if (rc == 0 && used + (uint32_t)n >= size - 1)
        rc = tgi_report(r, t->node, NULL, TG_E_BAD_NAME, "names inside this call are longer than %d bytes",
                        TGI_MAX_NAME);
    if (rc == 0)
        r->prefix_length = used + (uint32_t)n;
    return rc;
}

static int enter_call(struct tgi_reader *r, struct tgi_template *t)
{
    struct tgi_subgraph *g = t->callee;
    if (g->caller != NULL) /* recursion, which was reported */
        return TG_E_CYCLE;
    if (r->call_depth == TGI_MAX_CALLS)
        return tgi_report(r, t->node, NULL, TG_E_LIMIT, "more than %d calls within calls", TGI_MAX_CALLS);
    struct tgi_frame inner = {r->frame.i + TGI_MAX_VARS, r->frame.f + TGI_MAX_VARS, 0};
    for (uint32_t k = 0; k < g->n_params; k++) {
        int rc;
        inner.i[k] = 0;
        if (tgi_number_is_float(r, &t->with[k])) {
            rc = tgi_number_double(r, &t->with[k], &inner.f[k]);
            inner.float_slots |= (uint64_t)1 << k;
        } else if ((rc = tgi_number_int(r, &t->with[k], &inner.i[k])) == 0) {
            inner.f[k] = (double)inner.i[k];
        }
        if (rc != 0)
            return rc;
    }
    t->prefix_length = r->prefix_length;
    int rc = r->is_counting ? 0 : enter_prefix(r, t);
    if (rc != 0)
        return rc;
    g->outer_frame = r->frame;
    g->caller = t;
    r->frame = inner;
    r->call_depth++;
    return 0;
}

static void leave_call(struct tgi_reader *r, struct tgi_template *t)
{
    r->frame = t->callee->outer_frame;
    t->callee->caller = NULL;
    r->prefix_length = t->prefix_length;
    r->call_depth--;
}

static int enter_body(struct tgi_reader *r, struct tgi_template *t, struct tg_graph **body_p)
{
    struct tg_error err;
    t->around = r->common;
    memset(&r->common, 0, sizeof r->common);
    if (r->is_counting)
        return 0;
    if (tg_graph_create_body(r->graph, body_p, &err) != 0)
        return tgi_report_error(r, t->node, &err);
    t->outer = r->target;
    t->first_pending = r->n_pending;
    r->target = *body_p;
    return 0;
}

static int leave_body(struct tgi_reader *r, struct tgi_template *t)
{
    r->common = t->around;
    if (r->is_counting)
        return 0;
    int rc = tgi_resolve_pending(r, r->target, t->first_pending);
    r->target = t->outer;
    return rc;
}

static void drop_bodies(struct tgi_template *t)
{
    tg_graph_destroy(t->body);
    tg_graph_destroy(t->body_else);
    t->body = t->body_else = NULL;
}

/* Unwinds everything around `t` when nothing more is to be made. */
static void abandon(struct tgi_template *t)
{
    while (t != NULL) {
        struct tgi_template *around = container(t);
        drop_bodies(t);
        if (t->verb == TGI_VERB_CALL)
            t->callee->caller = NULL;
        t = around;
    }
}

/* ---- The walk -----------------------------------------------------------------------------*/

static int eval_when(struct tgi_reader *r, const struct tgi_template *t, bool *is_wanted_p)
{
    int64_t i = 1;
    double f = 1;
    int rc = 0;
    if (t->when.kind != TGI_NUMBER_NONE)
        rc = tgi_number_is_float(r, &t->when) ? tgi_number_double(r, &t->when, &f)
                                              : tgi_number_int(r, &t->when, &i);
    *is_wanted_p = i != 0 && f != 0;
    return rc;
}

static uint64_t weight(const struct tgi_reader *r, const struct tgi_template *t)
{
    uint64_t n = 1 + t->n_after;
    if (is_leaf(t))
        n += r->tape.nodes[t->node].size / 256;
    for (uint32_t k = 0; t->verb == TGI_VERB_COLLECTIVE && k < t->n_args; k++)
        if (t->args[k].reference.kind == TG_ARG_ALL)
            n += r->graph->space->buffers[t->args[k].reference.buffer].n_tiles;
    return n;
}

static int count(struct tgi_reader *r, struct tgi_template *t)
{
    uint64_t n = 1;
    if (t->n_loops > 0 && is_leaf(t) && t->when.kind == TGI_NUMBER_NONE) {
        const struct tgi_loop *inner = &t->loops[t->n_loops - 1];
        n = (uint64_t)inner->limit - (uint64_t)r->frame.i[inner->slot];
        set_slot(r, inner->slot, inner->limit - 1); /* as if they had all been walked */
    }
    uint64_t one = weight(r, t), most = WEIGHT_PER_TASK * r->max_tasks;
    r->n_counted += n;
    r->n_weight = n > most / one ? most + 1 : r->n_weight + n * one;
    if (r->n_emitted + r->n_counted <= r->max_tasks && r->n_weight <= most)
        return 0;
    const struct tgi_template *looping = t;
    while (looping->n_loops == 0 && container(looping) != NULL)
        looping = container(looping);
    return too_many(r, looping->n_loops > 0 ? looping->loops[looping->n_loops - 1].node : looping->node,
                    UINT64_MAX);
}

enum step { BEGIN, RUN, RETURN, NEXT, LEAVE };

/* What is inside is done; for "if" the other branch may be next. */
static int finish(struct tgi_reader *r, struct tgi_template *t, struct tgi_template **child_p)
{
    int rc;
    if (t->verb == TGI_VERB_CALL)
        leave_call(r, t);
    if (!is_control(t)) {
        r->common = t->around;
        return 0;
    }
    if ((rc = leave_body(r, t)) != 0)
        return rc;
    if (t->verb == TGI_VERB_IF && !t->is_in_else && t->child_else != NULL) {
        t->is_in_else = true;
        rc = enter_body(r, t, &t->body_else);
        *child_p = t->child_else;
        return rc;
    }
    if (r->is_counting)
        return count(r, t);
    rc = emit(r, t);
    drop_bodies(t);
    return rc;
}

/* One iteration of a template begins: makes its task, or goes inside (*child_p). */
static int run(struct tgi_reader *r, struct tgi_template *t, struct tgi_template **child_p)
{
    bool is_wanted;
    int rc = eval_when(r, t, &is_wanted);
    if (rc != 0 || !is_wanted)
        return rc;
    if (r->is_counting && ++r->n_steps > r->max_tasks)
        return too_many(r, t->n_loops > 0 ? t->loops[t->n_loops - 1].node : t->node, UINT64_MAX);
    if (is_leaf(t))
        return r->is_counting ? count(r, t) : emit(r, t);
    switch (t->verb) {
    case TGI_VERB_CALL:
        *child_p = t->callee->first;
        if ((rc = enter_group(r, t)) == 0)
            rc = enter_call(r, t);
        break;
    case TGI_VERB_FOR:
        *child_p = t->child;
        rc = enter_group(r, t);
        break;
    default:
        t->is_in_else = false;
        *child_p = t->child;
        rc = enter_body(r, t, &t->body);
    }
    if (rc != 0)
        r->common = t->around;
    else if (*child_p == NULL)
        rc = finish(r, t, child_p);
    return rc;
}

static int walk(struct tgi_reader *r, struct tgi_template *first)
{
    struct tgi_template *t = first, *inside;
    enum step step = BEGIN;
    int result = 0, rc;
    for (;;) {
        bool has_value = true;
        rc = 0;
        inside = NULL;
        r->current = t;
        switch (step) {
        case BEGIN:
            if (!t->has_failed)
                rc = seek(r, t, 0, false, &has_value);
            step = !t->has_failed && has_value ? RUN : LEAVE;
            break;
        case RUN:
        case RETURN:
            rc = step == RUN ? run(r, t, &inside) : finish(r, t, &inside);
            step = NEXT;
            break;
        case NEXT:
            rc = seek(r, t, t->n_loops, true, &has_value);
            step = has_value ? RUN : LEAVE;
            break;
        case LEAVE:
            t->n_open = 0;
            if (t->next != NULL) {
                t = t->next;
                step = BEGIN;
                continue;
            }
            t = container(t);
            if (t == NULL) {
                r->current = NULL;
                return result;
            }
            step = RETURN;
            continue;
        }
        if (rc != 0) {
            result = rc;
            t->has_failed = true;
            drop_bodies(t);
            if (tgi_reader_is_done(r)) {
                abandon(t);
                r->current = NULL;
                return result;
            }
            step = LEAVE;
        } else if (inside != NULL) {
            t = inside;
            step = BEGIN;
        }
    }
}

int tgi_expand(struct tgi_reader *r, struct tgi_template *task)
{
    int rc = 0;
    r->target = r->graph;
    r->prefix_length = 0;
    r->call_depth = 0;
    r->frame = (struct tgi_frame){r->slots_i, r->slots_f, 0};
    memset(&r->common, 0, sizeof r->common);
    if (task->n_loops > 0 || !is_leaf(task)) {
        r->is_counting = true;
        r->n_counted = 0; /* steps and weight add up over the file */
        rc = walk(r, task);
        r->is_counting = false;
    } else if (r->n_emitted >= r->max_tasks) {
        return too_many(r, task->node, UINT64_MAX);
    }
    if (!tgi_reader_is_done(r)) {
        int expanded = walk(r, task);
        rc = rc != 0 ? rc : expanded;
    }
    return rc;
}

/* ---- Loop variables in messages -----------------------------------------------------------*/

void tgi_format_bindings(struct tgi_reader *r, char *text, size_t size)
{
    const struct tgi_template *chain[32];
    struct tgi_frame frames[32], frame = r->frame;
    const struct tgi_loop *inner = NULL;
    uint32_t n = 0;
    size_t used = 0;
    for (const struct tgi_template *t = r->current; t != NULL && n < 32; t = container(t)) {
        chain[n] = t;
        frames[n++] = frame;
        if (t->parent == NULL && t->owner != NULL && t->owner->caller != NULL)
            frame = t->owner->outer_frame;
    }
    text[0] = '\0';
    while (n > 0) {
        const struct tgi_template *t = chain[--n];
        bool is_top_of_graph = t->parent == NULL && t->owner != NULL;
        for (uint32_t k = 0; is_top_of_graph && k < t->owner->n_params && used < size; k++) {
            used += (size_t)snprintf(text + used, size - used, "%s%s=", used > 0 ? ", " : "",
                                     t->owner->params[k]);
            if (used < size && (frames[n].float_slots >> k & 1) != 0)
                used += (size_t)snprintf(text + used, size - used, "%g", frames[n].f[k]);
            else if (used < size)
                used += (size_t)snprintf(text + used, size - used, "%" PRId64, frames[n].i[k]);
        }
        for (uint32_t k = 0; k < t->n_open && k < t->n_loops && used < size; k++) {
            inner = &t->loops[k];
            used += (size_t)snprintf(text + used, size - used, "%s%.*s=%" PRId64, used > 0 ? ", " : "",
                                     (int)inner->name_length, inner->name, frames[n].i[inner->slot]);
        }
    }
    if (inner != NULL && used < size) {
        uint32_t line, column;
        tgi_reader_locate(r, inner->node, &line, &column);
        snprintf(text + used, size - used, " (from \"%.100s\" at line %u)", tgi_node_string(r, inner->node),
                 line);
    }
}
