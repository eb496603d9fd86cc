/* One task: the numbers, names and references of its template are evaluated in the current frame, and it is added to the
 * graph.  Names in "after" that no task has yet wait until the graph that they belong to is complete. */
#include "io/json_reader.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/vec.h"
#include "io/diagnostic.h"

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

int tgi_eval_common(struct tgi_reader *r, struct tgi_template *t, struct tgi_common *common)
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
    const char *found = tgi_suggest_task(g, name);
    if (found == NULL)
        return NULL;
    snprintf(help, size, "did you mean \"%s\"?", found);
    return help;
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
        rc = tgi_eval_common(r, t, &common);
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

int tgi_emit(struct tgi_reader *r, struct tgi_template *t)
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
