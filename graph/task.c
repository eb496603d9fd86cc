/* Adding tasks: names, attributes, control edges. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/args.h"
#include "graph/block.h"
#include "graph/error.h"
#include "graph/scalar.h"
#include "graph/space.h"

/* Grows the task arrays for one more task and its words; the optional columns grow along. */
static bool reserve_task(struct tg_graph *g, uint32_t n_words)
{
    uint32_t before = g->cap_tasks;
    uint32_t cap = before;
    if (!tgi_block_reserve(&g->nodes, &cap, (uint64_t)g->n_tasks + 2, sizeof *g->nodes))
        return false;
    if (cap != before) {
        uint32_t **columns[] = {&g->names_at, &g->site_of, &g->after_at, (uint32_t **)&g->priority};
        for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
            if (*columns[i]) {
                uint32_t *grown = tgi_block_grow(*columns[i], (size_t)cap * sizeof *grown);
                if (!grown)
                    return false; /* cap_tasks stays: what has grown is larger than it says */
                *columns[i] = grown;
            }
        g->cap_tasks = cap;
    }
    return tgi_block_reserve(&g->args, &g->cap_args, (uint64_t)g->n_args + n_words, sizeof *g->args);
}

static bool column_make(const struct tg_graph *g, uint32_t **column, uint32_t initial)
{
    if (*column)
        return true;
    *column = tgi_block_alloc((size_t)g->cap_tasks * sizeof **column);
    if (!*column)
        return false;
    for (uint32_t i = 0; i < g->n_tasks; i++)
        (*column)[i] = initial;
    return true;
}

static int add_name(struct tg_graph *g, const char *name, struct tg_error *err)
{
    size_t length = strlen(name);
    if (!tgi_name_is_valid(name))
        return tgi_error(err, TG_E_BAD_NAME, "a task's name has 1 to 256 printable bytes");
    if (tgi_names_find(&g->index, tgi_graph_given_name, g, name, length) != TG_NONE)
        return tgi_error(err, TG_E_DUPLICATE_NAME, "there is a task \"%s\" already", name);
    if (g->n_names_text + length + 1 >= TG_NONE)
        return tgi_error(err, TG_E_LIMIT, "task names take more than 4 GiB");
    if (g->n_names_text + length + 1 > g->cap_names_text) {
        size_t cap = g->cap_names_text ? g->cap_names_text * 2 : 4096;
        while (cap < g->n_names_text + length + 1)
            cap *= 2;
        char *grown = realloc(g->names_text, cap);
        if (!grown)
            return tgi_error_memory(err, "naming a task");
        g->names_text = grown;
        g->cap_names_text = cap;
    }
    if (!column_make(g, &g->names_at, TG_NONE))
        return tgi_error_memory(err, "naming a task");
    memcpy(g->names_text + g->n_names_text, name, length + 1);
    g->names_at[g->n_tasks] = (uint32_t)g->n_names_text;
    if (!tgi_names_insert(&g->index, tgi_graph_given_name, g, g->n_tasks))
        return tgi_error_memory(err, "naming a task");
    g->n_names_text += length + 1;
    return 0;
}

static int attr_for(struct tg_graph *g, uint32_t task, struct tgi_attr **attr_p, struct tg_error *err)
{
    if (g->n_attrs && g->attrs[g->n_attrs - 1].task == task) {
        *attr_p = &g->attrs[g->n_attrs - 1];
        return 0;
    }
    if (!tgi_block_reserve(&g->attrs, &g->cap_attrs, (uint64_t)g->n_attrs + 1, sizeof *g->attrs))
        return tgi_error_memory(err, "adding a task");
    g->attrs[g->n_attrs] = (struct tgi_attr){.task = task, .flops = NAN, .bytes = NAN, .us = NAN};
    *attr_p = &g->attrs[g->n_attrs++];
    return 0;
}

static int add_attrs(struct tg_graph *g, const struct tg_task_spec *spec, tgi_place on, tgi_place prefer,
                     struct tg_error *err)
{
    if (!on && !prefer && !spec->retries && !spec->timeout_ms)
        return 0;
    struct tgi_attr *attr;
    int rc = attr_for(g, g->n_tasks, &attr, err);
    if (rc)
        return rc;
    attr->on = on;
    attr->prefer = prefer;
    attr->retries = spec->retries;
    attr->timeout_ms = spec->timeout_ms;
    g->nodes[g->n_tasks].op |= TGI_NODE_ATTR;
    return 0;
}

/* Writes the list beyond the end of afters, or finds that the last one is the same. */
static int add_after(struct tg_graph *g, const struct tg_task_spec *spec, uint32_t *at_p, struct tg_error *err)
{
    uint32_t n = spec->n_after, last = 0;
    const uint32_t *before = g->n_afters ? g->afters + g->last_after : NULL;
    if (before && before[0] == n && before[1] == spec->after[0] &&
        memcmp(before + 1, spec->after, n * sizeof *before) == 0) {
        *at_p = g->last_after;
        return 0;
    }
    if (!tgi_block_reserve(&g->afters, &g->cap_afters, (uint64_t)g->n_afters + 1 + n, sizeof *g->afters) ||
        !column_make(g, &g->after_at, TG_NONE))
        return tgi_error_memory(err, "adding control edges");
    uint32_t *list = g->afters + g->n_afters;
    *list++ = n;
    for (uint32_t i = 0; i < n; i++) {
        list[i] = spec->after[i];
        last = list[i] > last ? list[i] : last;
    }
    g->names_later |= last >= g->n_tasks; /* stays if the task is refused: it only costs a look */
    *at_p = g->n_afters;
    return 0;
}

static void keep_after(struct tg_graph *g, uint32_t at)
{
    g->after_at[g->n_tasks] = at;
    g->n_controls += g->afters[at];
    if (at == g->n_afters) {
        g->last_after = at;
        g->n_afters += 1 + g->afters[at];
    }
}

int tg_graph_add_task(struct tg_graph *graph, const struct tg_task_spec *spec, tg_task_id *id_p, struct tg_error *err)
{
    struct tg_graph *g = graph;
    tgi_place on = 0, prefer = 0;
    uint64_t *made = NULL;
    uint32_t op, n_words;
    int rc;
    if (g->is_frozen || g->space->is_closed)
        return tgi_error(err, TG_E_FROZEN, "a frozen graph takes no further task");
    if (g->is_given)
        return tgi_error(err, TG_E_STATE, "the body of a task takes no further task");
    if ((rc = tgi_error_check_size(err, "struct tg_task_spec", spec->size, sizeof *spec)))
        return rc;
    if (g->n_tasks >= INT32_MAX - 1)
        return tgi_error(err, TG_E_LIMIT, "more than 2^31 tasks");
    if ((spec->on && (rc = tgi_place_parse(spec->on, &on, err))) ||
        (spec->prefer && (rc = tgi_place_parse(spec->prefer, &prefer, err))))
        return rc;
    if (spec->kind == TG_TASK_HOST)
        on = TGI_PLACE_CPU;
    bool is_control = spec->kind >= TG_TASK_REPEAT && spec->kind <= TG_TASK_IF;
    uint32_t n_reserve = spec->kind == TG_TASK_COLLECTIVE ? spec->n_args : TG_MAX_PARAMS;
    if (is_control) {
        rc = tgi_args_make_control(g, spec, &op, &made, &n_reserve, err);
        if (rc)
            return rc;
    }
    if (!reserve_task(g, n_reserve ? n_reserve : 1)) {
        free(made);
        return tgi_error_memory(err, "adding a task");
    }
    uint64_t *words = g->args + g->n_args;
    if (is_control) {
        memcpy(words, made, n_reserve * sizeof *words);
        free(made);
    } else {
        rc = tgi_args_store(g, spec, &op, words, err);
        if (rc)
            return rc;
    }
    n_words = is_control ? g->space->ops[op].n_params : tgi_defaults_trim(&g->space->ops[op], words);
    g->nodes[g->n_tasks] = (struct tgi_node){.args = g->n_args, .op = op};
    uint32_t n_attrs = g->n_attrs, after_at = TG_NONE;
    if ((spec->n_after && (rc = add_after(g, spec, &after_at, err))) || (rc = add_attrs(g, spec, on, prefer, err)))
        return rc;
    /* Last of what can fail, as the index of names cannot forget. */
    if (spec->priority && !column_make(g, (uint32_t **)&g->priority, 0)) {
        g->n_attrs = n_attrs;
        return tgi_error_memory(err, "adding a task");
    }
    if (spec->name) {
        rc = add_name(g, spec->name, err);
        if (rc) {
            g->n_attrs = n_attrs;
            return rc;
        }
    } else if (g->names_at) {
        g->names_at[g->n_tasks] = TG_NONE;
    }
    if (g->priority)
        g->priority[g->n_tasks] = spec->priority;
    if (g->site_of)
        g->site_of[g->n_tasks] = TG_NONE;
    if (is_control) {
        g->space->ops[op].body = spec->body;
        g->space->ops[op].body_else = spec->body_else;
        spec->body->is_given = true;
        if (spec->body_else)
            spec->body_else->is_given = true;
    }
    if (spec->n_after)
        keep_after(g, after_at);
    else if (g->after_at)
        g->after_at[g->n_tasks] = TG_NONE;
    g->n_args += n_words;
    if (id_p)
        *id_p = g->n_tasks;
    g->n_tasks++;
    g->nodes[g->n_tasks].args = g->n_args;
    return 0;
}

int tg_graph_add_edge(struct tg_graph *graph, tg_task_id earlier, tg_task_id task, struct tg_error *err)
{
    struct tg_graph *g = graph;
    if (g->is_frozen || g->space->is_closed)
        return tgi_error(err, TG_E_FROZEN, "a frozen graph takes no further edge");
    if (g->is_given)
        return tgi_error(err, TG_E_STATE, "the body of a task takes no further edge");
    if (task == earlier && task < g->n_tasks)
        return tgi_error(err, TG_E_CYCLE, "task %u is to start after itself", task);
    if (task >= g->n_tasks || earlier >= g->n_tasks)
        return tgi_error(err, TG_E_UNKNOWN_TASK, "an edge from task %u to task %u, of %u", earlier, task, g->n_tasks);
    if (!tgi_block_reserve(&g->late, &g->cap_late, (uint64_t)g->n_late + 1, sizeof *g->late))
        return tgi_error_memory(err, "adding a control edge");
    g->late[g->n_late++] = (struct tgi_control){earlier, task};
    g->n_controls++;
    return 0;
}

int tgi_graph_set_site(struct tg_graph *g, tg_task_id task, uint32_t site, struct tg_error *err)
{
    if (!column_make(g, &g->site_of, TG_NONE))
        return tgi_error_memory(err, "adding a task");
    g->site_of[task] = site;
    return 0;
}

int tgi_graph_set_task_cost(struct tg_graph *g, tg_task_id task, double flops, double bytes, double us,
                            struct tg_error *err)
{
    struct tgi_attr *attr;
    if (task + 1 != g->n_tasks)
        return tgi_error(err, TG_E_STATE, "the cost of a task is set right after adding it");
    int rc = attr_for(g, task, &attr, err);
    if (rc)
        return rc;
    attr->flops = flops;
    attr->bytes = bytes;
    attr->us = us;
    g->nodes[task].op |= TGI_NODE_ATTR;
    return 0;
}
