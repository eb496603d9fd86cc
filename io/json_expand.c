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
#include <stdio.h>
#include <string.h>

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

/* ---- Groups, calls and control tasks ------------------------------------------------------*/

static int enter_group(struct tgi_reader *r, struct tgi_template *t)
{
    t->around = r->common;
    return t->has_common && !r->is_counting ? tgi_eval_common(r, t, &r->common) : 0;
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
    rc = tgi_emit(r, t);
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
        return r->is_counting ? count(r, t) : tgi_emit(r, t);
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
