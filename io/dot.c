/* Node ids are the task's names, those of tasks without name "#17"; tasks in a body get the name
 * of the control task in front.  Everything that comes from outside passes through write_text(),
 * which knows the three layers that text in DOT goes through: the quoted string ("), escape
 * sequences of labels (\N), and character entities (&quot;). */
#include "io/dot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/critical_path.h"
#include "io/output.h"
#include "io/palette.h"
#include "io/units.h"
#include "io/utf8.h"

struct writer {
    FILE *to;
    const struct tgi_picture *picture;
    struct tgi_palette palette;
};

/* ---- Text ---------------------------------------------------------------------------------*/

enum text_use { TEXT_ID, TEXT_LABEL };

static bool escape_id(FILE *to, const char *at, int length)
{
    (void)length;
    return (*at == '"' || *at == '\\') && fprintf(to, "\\%c", *at) > 0;
}

static bool escape_label(FILE *to, const char *at, int length)
{
    return escape_id(to, at, length) || (*at == '&' && fputs("&amp;", to) >= 0);
}

static void write_text(FILE *to, const char *text, enum text_use use)
{
    tgi_utf8_write(to, text, use == TEXT_LABEL ? escape_label : escape_id);
}

void tgi_dot_write_label(FILE *to, const char *text) { write_text(to, text, TEXT_LABEL); }

static void write_count(FILE *to, uint64_t n)
{
    char text[TGI_UNITS_SIZE];
    fputs(tgi_format_count(n, text, sizeof(text)), to);
}

static void write_flops(FILE *to, double flops)
{
    char text[TGI_UNITS_SIZE];
    fputs(tgi_format_scaled(flops, "flop", text, sizeof(text)), to);
}

/* ---- Questions ----------------------------------------------------------------------------*/

static bool conflict(enum tg_access a, enum tg_access b)
{
    return a != TG_SCALAR && b != TG_SCALAR && (a != TG_IN || b != TG_IN);
}

/* The first argument of `to` that conflicts with one of `from`; TG_NONE: none.  Ranges of rows are
 * taken as the whole tile, and all tiles as overlapping everything in their buffer. */
static uint32_t shared_argument(const struct tg_graph *g, uint32_t from, uint32_t to)
{
    const struct tgi_op *a = tgi_graph_op(g, from), *b = tgi_graph_op(g, to);
    for (uint32_t i = 0; i < b->n_params; i++) {
        if (b->params[i].access == TG_SCALAR)
            continue;
        uint64_t y = tgi_graph_word(g, to, i);
        for (uint32_t k = 0; y != TGI_WORD_NULL && k < a->n_params; k++) {
            if (!conflict(a->params[k].access, b->params[i].access))
                continue;
            uint64_t x = tgi_graph_word(g, from, k);
            if (x == TGI_WORD_NULL)
                continue;
            if (tgi_word_tile(x) == tgi_word_tile(y))
                return i;
            bool all = tgi_word_range(x) == TGI_WORD_ALL || tgi_word_range(y) == TGI_WORD_ALL;
            if (all && tgi_space_buffer_of(g->space, tgi_word_tile(x)) ==
                           tgi_space_buffer_of(g->space, tgi_word_tile(y)))
                return i;
        }
    }
    return TG_NONE;
}

bool tgi_edge_is_control(const struct tg_graph *g, uint32_t from, uint32_t to)
{
    return shared_argument(g, from, to) == TG_NONE;
}

static uint32_t n_bodies(const struct tgi_op *op)
{
    return (op->body != NULL) + (op->body_else != NULL);
}

uint64_t tgi_graph_count_all(const struct tg_graph *g)
{
    /* Every body belongs to one op, and ops are in one list, so no descent is needed. */
    uint64_t n = g->n_tasks;
    if (g->is_body)
        return n;
    for (uint32_t i = 0; i < g->space->n_ops; i++) {
        const struct tgi_op *op = &g->space->ops[i];
        n += (op->body ? op->body->n_tasks : 0) + (op->body_else ? op->body_else->n_tasks : 0);
    }
    return n;
}

int tgi_picture_focus(const struct tg_graph *g, tg_task_id task, uint32_t hops, uint8_t **shown_p,
                      struct tg_error *err)
{
    uint8_t *shown = calloc((size_t)g->n_tasks + 1, 2);
    if (!shown)
        return tgi_error_memory(err, "a neighbourhood");
    uint8_t *next = shown + g->n_tasks + 1;
    shown[task] = next[task] = 1;
    for (bool has_grown = true; hops > 0 && has_grown; hops--) {
        has_grown = false;
        for (uint32_t t = 0; t < g->n_tasks; t++) {
            for (uint32_t e = g->nodes[t].succ; e < g->nodes[t + 1].succ; e++) {
                uint32_t s = g->succ[e];
                if (shown[t] == shown[s])
                    continue;
                next[t] = next[s] = 1;
                has_grown = true;
            }
        }
        memcpy(shown, next, g->n_tasks);
    }
    *shown_p = shown;
    return 0;
}

/* ---- Nodes --------------------------------------------------------------------------------*/

static void write_id(struct writer *w, const struct tg_graph *g, const char *scope, uint32_t task)
{
    char scratch[32];
    const char *name = tgi_graph_task_name(g, task, scratch);
    putc('"', w->to);
    if (*scope) {
        write_text(w->to, scope, TEXT_ID);
        putc('/', w->to);
    }
    write_text(w->to, name, TEXT_ID);
    /* A task without a name must not become one with another that is called "#17". */
    if (name == scratch && tg_graph_find_task(g, name) != TG_NONE)
        fputs("##", w->to);
    putc('"', w->to);
}

static const char *shape_of(const struct tgi_op *op)
{
    switch (op->kind) {
    case TGI_OP_COPY:
    case TGI_OP_FILL:
        return "rect";
    case TGI_OP_COLLECTIVE:
        return "hexagon";
    case TGI_OP_BARRIER:
        return "underline";
    case TGI_OP_REPEAT:
    case TGI_OP_WHILE:
    case TGI_OP_IF:
        return "box3d";
    case TGI_OP_KERNEL:
        break;
    }
    return "box";
}

static void write_control_label(struct writer *w, const struct tgi_op *op)
{
    fputs("\\n", w->to);
    char count[TGI_UNITS_SIZE];
    tgi_format_count(op->count, count, sizeof(count));
    if (op->kind == TGI_OP_REPEAT)
        fprintf(w->to, "repeat %s times", count);
    else if (op->kind == TGI_OP_WHILE)
        fprintf(w->to, "while, at most %s times", count);
    else
        fputs("if", w->to);
}

static void write_tooltip(struct writer *w, const struct tg_graph *g, uint32_t task)
{
    static const char *const accesses[] = {"", "in", "out", "inout", "reduce", "commute"};
    const struct tgi_op *op = tgi_graph_op(g, task);
    const uint32_t most = 12;
    char scratch[32], reference[320];
    write_text(w->to, tgi_graph_task_name(g, task, scratch), TEXT_LABEL);
    fprintf(w->to, "\\n%s ", op->kind == TGI_OP_KERNEL ? "kernel" : "runtime:");
    write_text(w->to, op->name, TEXT_LABEL);
    fprintf(w->to, ", level %u", g->level ? g->level[task] : 0);
    struct tgi_cost cost = tgi_graph_cost(g, task);
    if (isfinite(cost.flops) && cost.flops > 0) {
        fputs(", ", w->to);
        write_flops(w->to, cost.flops);
    }
    if (isfinite(cost.us) && cost.us > 0)
        fprintf(w->to, ", %.4g us", cost.us);
    uint32_t n = 0;
    for (uint32_t i = 0; i < op->n_params; i++) {
        uint64_t word = tgi_graph_word(g, task, i);
        if (op->params[i].access == TG_SCALAR || word == TGI_WORD_NULL)
            continue;
        if (++n > most)
            continue;
        tgi_space_format_word(g->space, word, reference, sizeof(reference));
        fputs("\\n", w->to);
        write_text(w->to, reference, TEXT_LABEL);
        fprintf(w->to, " %s", accesses[op->params[i].access]);
    }
    if (n > most)
        fprintf(w->to, "\\nand %u more", n - most);
}

static void write_node(struct writer *w, const struct tg_graph *g, const char *scope, uint32_t task,
                       bool is_critical)
{
    const struct tgi_op *op = tgi_graph_op(g, task);
    char scratch[32];
    fputs("  ", w->to);
    write_id(w, g, scope, task);
    fputs(" [label=\"", w->to);
    const char *name = tgi_graph_task_name(g, task, scratch);
    write_text(w->to, name == scratch && op->kind < TGI_OP_REPEAT ? op->name : name, TEXT_LABEL);
    if (op->kind >= TGI_OP_REPEAT)
        write_control_label(w, op);
    fprintf(w->to, "\", fillcolor=\"%s\"",
            tgi_palette_fill(g->space, &w->palette, tgi_palette_kind(g, &w->palette, task)));
    const char *shape = shape_of(op);
    if (strcmp(shape, "box") != 0)
        fprintf(w->to, ", shape=%s, style=filled", shape);
    if (is_critical)
        fprintf(w->to, ", color=\"%s\", penwidth=3", TGI_PALETTE_CRITICAL);
    fprintf(w->to, ", id=\"%st%u\", tooltip=\"", *scope ? "b" : "", task);
    write_tooltip(w, g, task);
    fputs("\"];\n", w->to);
}

static void write_edge(struct writer *w, const struct tg_graph *g, const char *scope, uint32_t from,
                       uint32_t to, bool is_critical)
{
    uint32_t argument = shared_argument(g, from, to);
    fputs("  ", w->to);
    write_id(w, g, scope, from);
    fputs(" -> ", w->to);
    write_id(w, g, scope, to);
    fputs(" [tooltip=\"", w->to);
    if (argument == TG_NONE) {
        fputs("after\", style=dashed", w->to);
    } else {
        char reference[320];
        tgi_space_format_word(g->space, tgi_graph_word(g, to, argument), reference, sizeof(reference));
        write_text(w->to, reference, TEXT_LABEL);
        putc('"', w->to);
    }
    if (is_critical)
        fprintf(w->to, ", color=\"%s\", penwidth=3", TGI_PALETTE_CRITICAL);
    fputs("];\n", w->to);
}

/* ---- Groups -------------------------------------------------------------------------------*/

/* "gemm[3,2]" and "gemm" are of group "gemm". */
static size_t prefix_length(const char *name)
{
    size_t length = strcspn(name, "[./:");
    return length ? length : strlen(name);
}

struct member {
    const char *name; /* of its group; not terminated at length */
    uint32_t length, task;
};

static int compare_members(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    uint32_t shorter = x->length < y->length ? x->length : y->length;
    int order = memcmp(x->name, y->name, shorter);
    if (order == 0 && x->length != y->length)
        order = x->length < y->length ? -1 : 1;
    if (order == 0)
        order = x->task < y->task ? -1 : x->task > y->task;
    return order;
}

/* Boxes around the tasks of a group.  Groups of one and tasks without a name stay outside. */
static int write_groups(struct writer *w, const struct tg_graph *g, struct tg_error *err)
{
    struct member *members = malloc(((size_t)g->n_tasks + 1) * sizeof(*members));
    if (!members)
        return tgi_error_memory(err, "the groups of a picture");
    uint32_t n = 0;
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        char scratch[32];
        const char *name = tgi_graph_task_name(g, t, scratch);
        const struct tgi_op *op = tgi_graph_op(g, t);
        if (w->picture->shown && !w->picture->shown[t])
            continue;
        if (w->picture->group == TGI_GROUP_KERNEL)
            members[n++] = (struct member){op->name, (uint32_t)strlen(op->name), t};
        else if (name != scratch)
            members[n++] = (struct member){name, (uint32_t)prefix_length(name), t};
    }
    qsort(members, n, sizeof(*members), compare_members);
    for (uint32_t i = 0, end, id = 0; i < n; i = end) {
        for (end = i + 1; end < n && members[end].length == members[i].length &&
                          memcmp(members[end].name, members[i].name, members[i].length) == 0; end++)
            ;
        if (end - i < 2)
            continue;
        char title[260];
        snprintf(title, sizeof(title), "%.*s", (int)members[i].length, members[i].name);
        fprintf(w->to, "  subgraph \"cluster_%u\" {\n  label=\"", id++);
        write_text(w->to, title, TEXT_LABEL);
        fputs(": ", w->to);
        write_count(w->to, end - i);
        fputs(" tasks\"; tooltip=\"\"; style=rounded; color=\"#888888\"; fontcolor=\"#444444\"; "
              "fontsize=12;\n", w->to);
        for (uint32_t k = i; k < end; k++) {
            fputs("  ", w->to);
            write_id(w, g, "", members[k].task);
            fputs(";\n", w->to);
        }
        fputs("  }\n", w->to);
    }
    free(members);
    return 0;
}

/* ---- Graphs -------------------------------------------------------------------------------*/

static void write_title(struct writer *w, const struct tg_graph *g)
{
    fputs("  label=\"", w->to);
    if (g->name && g->name[0]) {
        write_text(w->to, g->name, TEXT_LABEL);
        fputs(": ", w->to);
    }
    write_count(w->to, g->n_tasks);
    fprintf(w->to, " task%s", g->n_tasks == 1 ? "" : "s");
    if (tgi_graph_count_all(g) != g->n_tasks) {
        fputs(" (", w->to);
        write_count(w->to, tgi_graph_count_all(g));
        fputs(" with bodies)", w->to);
    }
    fputs(", ", w->to);
    write_count(w->to, g->n_edges);
    fprintf(w->to, " edge%s", g->n_edges == 1 ? "" : "s");
    if (w->picture->remark) {
        fputs("\\n", w->to);
        write_text(w->to, w->picture->remark, TEXT_LABEL);
    }
    fputs("\";\n", w->to);
}

static void write_begin(struct writer *w, const struct tg_graph *g)
{
    fputs("digraph \"", w->to);
    write_text(w->to, g->name && g->name[0] ? g->name : "graph", TEXT_ID);
    fputs("\" {\n"
          "  graph [charset=\"UTF-8\", labelloc=t, fontname=\"Helvetica\", fontsize=16, ranksep=0.35, "
          "nodesep=0.2, "
          "compound=true, tooltip=\" \"];\n"
          "  node [shape=box, style=\"rounded,filled\", fontname=\"Helvetica\", fontsize=11, height=0.3, "
          "margin=\"0.1,0.04\", color=\"#555555\"];\n"
          "  edge [color=\"#666666\", arrowsize=0.6];\n",
          w->to);
    write_title(w, g);
}

/* next[t]: the task after t on the critical path, t itself for its last one, TG_NONE elsewhere. */
static int find_critical(const struct tg_graph *g, uint32_t **next_p, struct tg_error *err)
{
    enum tgi_weight unit;
    double *weight = NULL;
    struct tgi_critical_path path = {NULL, 0, 0};
    uint32_t *next = malloc(((size_t)g->n_tasks + 1) * sizeof(*next));
    int rc = next ? 0 : tgi_error_memory(err, "the critical path");
    if (rc == 0)
        rc = tgi_critical_path_weights(g, &unit, &weight, err);
    if (rc == 0)
        rc = tgi_critical_path_find(g, weight, &path, err);
    if (rc == 0) {
        memset(next, 0xff, ((size_t)g->n_tasks + 1) * sizeof(*next));
        for (uint32_t i = 0; i < path.n_tasks; i++)
            next[path.tasks[i]] = path.tasks[i + 1 < path.n_tasks ? i + 1 : i];
        *next_p = next;
        next = NULL;
    }
    tgi_critical_path_fini(&path);
    free(weight);
    free(next);
    return rc;
}

/* All tasks and edges of one graph; `scope` names the control task that the graph is a body of. */
static void write_tasks(struct writer *w, const struct tg_graph *g, const char *scope, const uint32_t *next)
{
    const uint8_t *shown = *scope ? NULL : w->picture->shown;
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        if (!shown || shown[t])
            write_node(w, g, scope, t, next && next[t] != TG_NONE);
    }
    for (uint32_t t = 0; t < g->n_tasks && !ferror(w->to); t++) {
        for (uint32_t e = g->nodes[t].succ; e < g->nodes[t + 1].succ; e++) {
            uint32_t s = g->succ[e];
            if (!shown || (shown[t] && shown[s]))
                write_edge(w, g, scope, t, s, next && next[t] == s);
        }
    }
}

/* A body that is still to be written. */
struct pending {
    const struct tg_graph *body, *parent;
    uint32_t task; /* of parent */
    const char *role;
    char *scope, *parent_scope;
};
struct queue {
    struct pending *items;
    uint32_t n, cap;
};

static int queue_bodies(struct queue *queue, const struct tg_graph *g, const char *scope,
                        const uint8_t *shown, struct tg_error *err)
{
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        const struct tgi_op *op = tgi_graph_op(g, t);
        if (n_bodies(op) == 0 || (shown && !shown[t]))
            continue;
        for (int i = 0; i < 2; i++) {
            const struct tg_graph *body = i == 0 ? op->body : op->body_else;
            if (!body)
                continue;
            if (queue->n == queue->cap) {
                uint32_t cap = queue->cap ? 2 * queue->cap : 16;
                struct pending *items = realloc(queue->items, cap * sizeof(*items));
                if (!items)
                    return tgi_error_memory(err, "the bodies of a picture");
                queue->items = items;
                queue->cap = cap;
            }
            const char *role = op->kind != TGI_OP_IF ? "do" : i == 0 ? "then" : "else";
            char scratch[32];
            const char *name = tgi_graph_task_name(g, t, scratch);
            size_t size = strlen(scope) + strlen(name) + strlen(role) + 3;
            struct pending item = {body, g, t, role, malloc(size), strdup(scope)};
            if (!item.scope || !item.parent_scope) {
                free(item.scope);
                free(item.parent_scope);
                return tgi_error_memory(err, "the bodies of a picture");
            }
            snprintf(item.scope, size, "%s%s%s.%s", scope, *scope ? "/" : "", name, role);
            queue->items[queue->n++] = item;
        }
    }
    return 0;
}

static void write_body(struct writer *w, const struct pending *item, uint32_t id)
{
    fprintf(w->to, "  subgraph \"cluster_body_%u\" {\n  label=\"", id);
    write_text(w->to, item->scope, TEXT_LABEL);
    fputs("\"; tooltip=\"\"; style=\"rounded,dashed\"; color=\"#555555\"; fontcolor=\"#444444\"; "
          "fontsize=12;\n", w->to);
    write_tasks(w, item->body, item->scope, NULL);
    fputs("  }\n", w->to);
    if (item->body->n_tasks == 0)
        return;
    fputs("  ", w->to);
    write_id(w, item->parent, item->parent_scope, item->task);
    fputs(" -> ", w->to);
    write_id(w, item->body, item->scope, item->body->topo ? item->body->topo[0] : 0);
    fprintf(
        w->to,
        " [lhead=\"cluster_body_%u\", style=dotted, arrowhead=none, label=\"%s\", fontname=\"Helvetica\", "
        "fontsize=10, tooltip=\"body\"];\n",
        id, item->role);
}

static int write_view_tasks(struct writer *w, const struct tg_graph *g, struct tg_error *err)
{
    uint32_t *next = NULL;
    struct queue queue = {NULL, 0, 0};
    int rc = w->picture->marks_critical ? find_critical(g, &next, err) : 0;
    if (rc)
        return rc;
    write_begin(w, g);
    if (w->picture->group != TGI_GROUP_NONE)
        rc = write_groups(w, g, err);
    if (rc == 0) {
        write_tasks(w, g, "", next);
        rc = queue_bodies(&queue, g, "", w->picture->shown, err);
    }
    for (uint32_t i = 0; rc == 0 && i < queue.n; i++) {
        write_body(w, &queue.items[i], i);
        rc = queue_bodies(&queue, queue.items[i].body, queue.items[i].scope, NULL, err);
    }
    fputs("}\n", w->to);
    for (uint32_t i = 0; i < queue.n; i++) {
        free(queue.items[i].scope);
        free(queue.items[i].parent_scope);
    }
    free(queue.items);
    free(next);
    return rc;
}

/* ---- Types --------------------------------------------------------------------------------*/

/* What a kernel's node shows, summed over all tasks, those of bodies once. */
struct type {
    uint64_t n_tasks;
    double flops;
};

static void count_types(const struct writer *w, const struct tg_graph *g, struct type *types, uint64_t *edges)
{
    uint32_t n = w->palette.n_kinds;
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        uint32_t kind = tgi_palette_kind(g, &w->palette, t);
        double flops = tgi_graph_cost(g, t).flops;
        types[kind].n_tasks++;
        if (isfinite(flops))
            types[kind].flops += flops;
        for (uint32_t e = g->nodes[t].succ; e < g->nodes[t + 1].succ; e++)
            edges[(size_t)kind * n + tgi_palette_kind(g, &w->palette, g->succ[e])]++;
    }
}

static void write_type_nodes(struct writer *w, const struct tg_graph *g, const struct type *types)
{
    for (uint32_t k = 0; k < w->palette.n_kinds; k++) {
        if (types[k].n_tasks == 0)
            continue;
        fprintf(w->to, "  \"k%u\" [label=\"", k);
        write_text(w->to, tgi_palette_name(g->space, &w->palette, k), TEXT_LABEL);
        fputs("\\n", w->to);
        write_count(w->to, types[k].n_tasks);
        fputs(types[k].n_tasks == 1 ? " task" : " tasks", w->to);
        if (types[k].flops > 0) {
            fputs("\\n", w->to);
            write_flops(w->to, types[k].flops);
        }
        fprintf(w->to, "\", fillcolor=\"%s\", tooltip=\"", tgi_palette_fill(g->space, &w->palette, k));
        write_text(w->to, tgi_palette_name(g->space, &w->palette, k), TEXT_LABEL);
        fputs("\"];\n", w->to);
    }
}

static int write_view_types(struct writer *w, const struct tg_graph *g, struct tg_error *err)
{
    size_t n = w->palette.n_kinds;
    struct type *types = calloc(n + 1, sizeof(*types));
    uint64_t *edges = n < 4096 ? calloc(n * n + 1, sizeof(*edges)) : NULL;
    if (!types || !edges) {
        free(types);
        free(edges);
        if (n >= 4096)
            return tgi_error(err, TG_E_LIMIT, "%zu kernels are too many for a picture of kernels", n);
        return tgi_error_memory(err, "a picture of kernels");
    }
    count_types(w, g, types, edges);
    for (uint32_t i = 0; i < g->space->n_ops; i++) {
        const struct tgi_op *op = &g->space->ops[i];
        if (op->body)
            count_types(w, op->body, types, edges);
        if (op->body_else)
            count_types(w, op->body_else, types, edges);
    }
    write_begin(w, g);
    write_type_nodes(w, g, types);
    uint64_t most = 1;
    for (size_t i = 0; i < n * n; i++)
        most = edges[i] > most ? edges[i] : most;
    for (size_t i = 0; i < n * n; i++) {
        if (edges[i] == 0)
            continue;
        fprintf(
            w->to,
            "  \"k%zu\" -> \"k%zu\" [penwidth=%.2f, fontname=\"Helvetica\", fontsize=10, tooltip=\"edges\", "
            "label=\" ",
            i / n, i % n, 1 + 3 * (double)edges[i] / (double)most);
        write_count(w->to, edges[i]);
        fputs("\"];\n", w->to);
    }
    fputs("}\n", w->to);
    free(types);
    free(edges);
    return 0;
}

int tgi_dot_write(const struct tg_graph *g, const struct tgi_picture *picture, FILE *to, struct tg_error *err)
{
    if (!g->is_frozen)
        return tgi_error(err, TG_E_NOT_FROZEN, "only a frozen graph can be drawn");
    struct writer w = {.to = to, .picture = picture};
    int rc = tgi_palette_create(g->space, &w.palette, err);
    if (rc)
        return rc;
    rc = picture->view == TGI_VIEW_TYPES ? write_view_types(&w, g, err) : write_view_tasks(&w, g, err);
    tgi_palette_fini(&w.palette);
    if (rc == 0)
        rc = tgi_output_check(to, "the picture", err);
    return rc;
}
