/* Every finding is a struct tg_diagnostic with the position of what it is about.  A flood helps
 * nobody: after MOST_A_KIND findings of a kind only their number goes on. */
#include "io/lint.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/units.h"
#include "mem/store.h"

#define MOST_A_KIND 20

struct linter {
    const struct tg_graph *g;
    tg_diagnostic_fn report;
    void *user;
    uint32_t n, n_of_kind;
};

static void find(struct linter *l, int status, uint32_t site, const char *help, const char *format, ...)
    TG_PRINTF(5, 6);
static void find(struct linter *l, int status, uint32_t site, const char *help, const char *format, ...)
{
    char message[1024];
    const struct tgi_space *space = l->g->space;
    struct tg_diagnostic d = {.status = status, .is_warning = true, .message = message, .file = space->file,
                              .help = help};
    l->n++;
    if (++l->n_of_kind > MOST_A_KIND)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (site != TG_NONE) {
        if (!tgi_space_locate(space, site, &d.line, &d.column))
            d.line = d.column = 0;
        d.pointer = site < space->n_sites ? space->sites[site].pointer : NULL;
    }
    l->report(l->user, &d);
}

static void end_kind(struct linter *l, const char *what)
{
    if (l->n_of_kind > MOST_A_KIND) {
        char message[128];
        snprintf(message, sizeof(message), "and %u more: %s", l->n_of_kind - MOST_A_KIND, what);
        struct tg_diagnostic d = {
            .status = 0, .is_warning = true, .message = message, .file = l->g->space->file};
        l->report(l->user, &d);
    }
    l->n_of_kind = 0;
}

/* The k-th graph of a space: the outermost, then all bodies; NULL after the last. */
static const struct tg_graph *graph_at(const struct tg_graph *g, uint32_t *op_p, int *which_p)
{
    for (; *op_p < g->space->n_ops; (*op_p)++, *which_p = 0) {
        const struct tgi_op *op = &g->space->ops[*op_p];
        while (*which_p < 2) {
            const struct tg_graph *body = (*which_p)++ == 0 ? op->body : op->body_else;
            if (body)
                return body;
        }
    }
    return NULL;
}

/* ---- Unused -------------------------------------------------------------------------------*/

static void mark_used(const struct tg_graph *g, uint8_t *op_used, uint8_t *buffer_used)
{
    const struct tgi_space *space = g->space;
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        const struct tgi_op *op = tgi_graph_op(g, t);
        op_used[op - space->ops] = 1;
        if (op->generic != TG_NONE && op->kind == TGI_OP_KERNEL)
            op_used[op->generic] = 1;
        for (uint32_t i = 0; i < op->n_params; i++) {
            uint64_t word = tgi_graph_word(g, t, i);
            if (op->params[i].access != TG_SCALAR && word != TGI_WORD_NULL)
                buffer_used[tgi_space_buffer_of(space, tgi_word_tile(word)) - space->buffers] = 1;
        }
    }
}

static int lint_unused(struct linter *l, struct tg_error *err)
{
    const struct tgi_space *space = l->g->space;
    uint8_t *op_used = calloc((size_t)space->n_ops + space->n_buffers + 2, 1);
    if (!op_used)
        return tgi_error_memory(err, "looking for what is unused");
    uint8_t *buffer_used = op_used + space->n_ops + 1;
    mark_used(l->g, op_used, buffer_used);
    uint32_t at = 0;
    int which = 0;
    for (const struct tg_graph *body; (body = graph_at(l->g, &at, &which));)
        mark_used(body, op_used, buffer_used);
    for (uint32_t i = 0; i < space->n_buffers; i++) {
        if (!buffer_used[i])
            find(l, 0, space->buffers[i].site, NULL, "buffer \"%s\" is not used by any task",
                 space->buffers[i].name);
    }
    for (uint32_t i = 0; i < space->n_ops; i++) {
        const struct tgi_op *op = &space->ops[i];
        if (op->kind == TGI_OP_KERNEL && op->generic == TG_NONE && !op_used[i])
            find(l, 0, op->site, NULL, "kernel \"%s\" is not used by any task", op->name);
    }
    for (uint32_t i = 0; i < space->n_unused_params; i++)
        find(l, 0, space->unused_params[i].site, NULL, "parameter \"%s\" is not used",
             space->unused_params[i].name);
    free(op_used);
    end_kind(l, "unused buffers, kernels and parameters");
    return 0;
}

/* ---- Uninitialised ------------------------------------------------------------------------*/

static bool starts_undefined(const struct tgi_buffer *b)
{
    return b->init == TG_INIT_NONE && !b->host;
}

/* In program order, so a write that only some rows or some branch performs counts as one: what is
 * reported is certainly read too early. */
static int lint_uninitialised(struct linter *l, struct tg_error *err)
{
    const struct tg_graph *g = l->g;
    const struct tgi_space *space = g->space;
    uint8_t *is_written = calloc((size_t)space->n_tiles + 1, 1);
    uint8_t *is_reported = calloc((size_t)space->n_buffers + 1, 1);
    if (!is_written || !is_reported) {
        free(is_written);
        free(is_reported);
        return tgi_error_memory(err, "looking for uninitialised data");
    }
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        const struct tgi_op *op = tgi_graph_op(g, t);
        /* A body may write before it reads; what it does inside is not followed. */
        bool is_opaque = op->body != NULL;
        const uint64_t *words = g->args + g->nodes[t].args;
        uint32_t n_words = tgi_graph_n_words(g, t);
        for (int pass = 0; pass < 2; pass++) {
            for (uint32_t i = 0; i < n_words; i++) {
                enum tg_access access = op->params[i].access;
                if (access == TG_SCALAR || words[i] == TGI_WORD_NULL)
                    continue;
                uint32_t tile = tgi_word_tile(words[i]);
                const struct tgi_buffer *b = tgi_space_buffer_of(space, tile);
                uint32_t n = tgi_word_range(words[i]) == TGI_WORD_ALL ? b->n_tiles : 1;
                if (pass == 1 && access != TG_IN) {
                    memset(is_written + tile, 1, n);
                    continue;
                }
                bool reads =
                    access == TG_IN || access == TG_INOUT || access == TG_COMMUTE || access == TG_REDUCE;
                if (pass == 1 || !reads || !starts_undefined(b) || is_opaque ||
                    is_reported[b - space->buffers])
                    continue;
                uint32_t missing = tile;
                while (missing < tile + n &&
                       (is_written[missing] || (b->present && !b->present[missing - b->first_tile])))
                    missing++;
                if (missing == tile + n)
                    continue;
                char scratch[32], reference[320];
                tgi_space_format_word(space, missing, reference, sizeof(reference));
                is_reported[b - space->buffers] = 1;
                find(l, TG_E_UNINITIALISED, g->site_of ? g->site_of[t] : TG_NONE,
                     "give the buffer an \"init\", or let a task write it first",
                     "task \"%s\" reads %s, which has no \"init\" and which no task before it writes",
                     tgi_graph_task_name(g, t, scratch), reference);
            }
        }
    }
    free(is_written);
    free(is_reported);
    end_kind(l, "buffers that are read before anything writes them");
    return 0;
}

/* ---- Capacity -----------------------------------------------------------------------------*/

/* The largest one is named. */
static void lint_capacity(struct linter *l)
{
    const struct tgi_space *space = l->g->space;
    const struct tgi_buffer *largest = NULL;
    double bytes = 0, most = 0; /* doubles do not overflow */
    for (uint32_t i = 0; i < space->n_buffers; i++) {
        double own = (double)space->buffers[i].tile_bytes * space->buffers[i].n_present;
        bytes += own;
        if (!largest || own > most) {
            largest = &space->buffers[i];
            most = own;
        }
    }
    char all[TGI_UNITS_SIZE], here[TGI_UNITS_SIZE], one[TGI_UNITS_SIZE];
    if (bytes > (double)tgi_machine_bytes())
        find(l, TG_E_NO_MEMORY, largest->site, NULL, "the buffers need %s, and this machine has %s; the largest is \"%s\" with %s",
             tgi_format_bytes(bytes, all, sizeof(all)), tgi_format_bytes((double)tgi_machine_bytes(), here, sizeof(here)),
             largest->name, tgi_format_bytes(most, one, sizeof(one)));
}

/* ---- Redundant ----------------------------------------------------------------------------*/

/* A declared edge that freezing removed is one that others imply. */
static void lint_redundant(struct linter *l)
{
    const struct tg_graph *g = l->g;
    struct tgi_after_walk walk = {0, 0, 0};
    struct tgi_control control;
    while (tgi_after_next(g, &walk, &control)) {
        uint32_t from = control.from, to = control.to;
        bool is_kept = false;
        for (uint32_t e = g->nodes[from].succ; e < g->nodes[from + 1].succ && !is_kept; e++)
            is_kept = g->succ[e] == to;
        char a[32], b[32];
        if (!is_kept)
            find(l, 0, g->site_of ? g->site_of[to] : TG_NONE, NULL,
                 "\"after\" of task \"%s\": that \"%s\" comes first follows from other edges",
                 tgi_graph_task_name(g, to, b), tgi_graph_task_name(g, from, a));
    }
    end_kind(l, "control edges that others imply");
}

int tgi_lint_run(const struct tg_graph *g, unsigned kinds, tg_diagnostic_fn on_diagnostic, void *user,
                 uint32_t *n_p, struct tg_error *err)
{
    struct linter l = {g, on_diagnostic, user, 0, 0};
    int rc = 0;
    if (kinds & TGI_LINT_UNUSED)
        rc = lint_unused(&l, err);
    if (rc == 0 && (kinds & TGI_LINT_UNINITIALISED))
        rc = lint_uninitialised(&l, err);
    if (rc == 0 && (kinds & TGI_LINT_CAPACITY))
        lint_capacity(&l);
    if (rc == 0 && (kinds & TGI_LINT_REDUNDANT))
        lint_redundant(&l);
    if (rc == 0)
        *n_p = l.n;
    return rc;
}
