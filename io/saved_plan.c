/* See saved_plan.h.  What a file says is checked before it is used: devices and predecessors are looked up, times are finite and
 * in order, and no task starts before those it comes after have ended. */
#include "io/saved_plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/json_tree.h"
#include "io/source.h"

enum { MAX_BYTES = 1 << 30, ROOT = 0, HEAD = 256 };
static const char schema[] = "tgraph.plan/";

struct reader {
    struct tgi_json_tree tree;
    struct tgi_saved_plan *p;
    struct tg_error *err;
    const char **kernels; /* names that occurred, so that each is kept once */
    uint32_t n_kernels;
};

/* ---- Values -------------------------------------------------------------------------------*/

static int find(struct reader *r, uint32_t node, const char *key, enum tgi_json_kind kind, uint32_t *member_p)
{
    static const char *const names[] = {"an object", "an array", "a string", "a number", "a truth value", "a truth value", "null"};
    *member_p = tgi_json_tree_find(&r->tree, node, key);
    if (*member_p == TG_NONE)
        return tgi_json_tree_error(&r->tree, node, r->err, TG_E_MISSING_KEY, "\"%s\" is missing", key);
    if (r->tree.nodes[*member_p].kind != kind)
        return tgi_json_tree_error(&r->tree, *member_p, r->err, TG_E_WRONG_TYPE, "\"%s\" is not %s", key, names[kind]);
    return 0;
}

static int text_of(struct reader *r, uint32_t node, const char **text_p)
{
    if (r->tree.nodes[node].kind != TGI_JSON_STRING)
        return tgi_json_tree_error(&r->tree, node, r->err, TG_E_WRONG_TYPE, "this is not a string");
    *text_p = tgi_json_tree_string(&r->tree, node, &r->p->arena);
    return *text_p ? 0 : tgi_error_memory(r->err, "reading a plan");
}

/* What is missing, or null, is "". */
static int take_text(struct reader *r, uint32_t node, const char *key, const char **text_p)
{
    uint32_t member = tgi_json_tree_find(&r->tree, node, key);
    *text_p = "";
    if (member == TG_NONE || r->tree.nodes[member].kind == TGI_JSON_NULL)
        return 0;
    return text_of(r, member, text_p);
}

static int take_number(struct reader *r, uint32_t node, const char *key, double most, double *value_p)
{
    uint32_t member;
    int rc = find(r, node, key, TGI_JSON_NUMBER, &member);
    if (rc)
        return rc;
    *value_p = tgi_json_tree_number(&r->tree, member);
    if (!(*value_p >= 0 && *value_p <= most))
        return tgi_json_tree_error(&r->tree, member, r->err, TG_E_BAD_VALUE, "\"%s\" is %g; it must be from 0 to %g", key,
                                   *value_p, most);
    return 0;
}

/* ---- Parts --------------------------------------------------------------------------------*/

static int read_head(struct reader *r)
{
    struct tgi_saved_plan *p = r->p;
    const char *text;
    double n_tasks = 0, n_edges = 0;
    uint32_t member = tgi_json_tree_find(&r->tree, ROOT, "schema");
    if (member == TG_NONE)
        return tgi_json_tree_error(&r->tree, ROOT, r->err, TG_E_MISSING_KEY, "this is no plan: \"schema\" is missing");
    int rc = find(r, ROOT, "schema", TGI_JSON_STRING, &member);
    if (rc == 0)
        rc = text_of(r, member, &text);
    if (rc == 0 && strcmp(text, "tgraph.plan/1") != 0)
        rc = tgi_json_tree_error(&r->tree, member, r->err, TG_E_VERSION, "\"%.40s\" is not \"tgraph.plan/1\", which this version reads",
                                 text);
    if (rc == 0)
        rc = take_text(r, ROOT, "name", &p->name);
    if (rc == 0)
        rc = take_text(r, ROOT, "file", &p->file);
    if (rc == 0)
        rc = take_text(r, ROOT, "machine", &p->machine);
    if (rc == 0)
        rc = take_text(r, ROOT, "policy", &p->policy);
    if (rc == 0)
        rc = take_text(r, ROOT, "schedule_of", &p->chosen);
    if (rc == 0)
        rc = take_number(r, ROOT, "n_tasks", TG_NONE - 1.0, &n_tasks);
    if (rc == 0)
        rc = take_number(r, ROOT, "n_edges", 1e15, &n_edges);
    if (rc == 0)
        rc = take_number(r, ROOT, "makespan_ns", 1e18, &p->makespan_ns);
    p->bounds = TGI_MACHINE_BOUNDS_NONE;
    if (rc == 0 && tgi_json_tree_find(&r->tree, ROOT, "memory_ns") != TG_NONE)
        rc = take_number(r, ROOT, "memory_ns", 1e18, &p->bounds.memory_ns);
    if (rc == 0 && tgi_json_tree_find(&r->tree, ROOT, "links_ns") != TG_NONE)
        rc = take_number(r, ROOT, "links_ns", 1e18, &p->bounds.links_ns);
    p->n_tasks = (uint32_t)n_tasks;
    p->n_edges = (uint64_t)n_edges;
    return rc;
}

static int read_devices(struct reader *r)
{
    struct tgi_saved_plan *p = r->p;
    uint32_t list;
    int rc = find(r, ROOT, "devices", TGI_JSON_ARRAY, &list);
    if (rc)
        return rc;
    uint32_t n = r->tree.nodes[list].n_children;
    p->devices = tgi_arena_alloc(&p->arena, ((size_t)n + 1) * sizeof(*p->devices));
    if (!p->devices)
        return tgi_error_memory(r->err, "reading a plan");
    for (uint32_t at = r->tree.nodes[list].first; rc == 0 && at != TG_NONE; at = r->tree.nodes[at].next)
        rc = text_of(r, at, &p->devices[p->n_devices++]);
    return rc;
}

static bool allocate(struct tgi_saved_plan *p, uint64_t n_preds)
{
    size_t n = (size_t)p->n_tasks + 1;
    p->task = tgi_arena_alloc(&p->arena, n * sizeof(*p->task));
    p->kernel = tgi_arena_alloc(&p->arena, n * sizeof(*p->kernel));
    p->device = tgi_arena_alloc(&p->arena, n * sizeof(*p->device));
    p->start = tgi_arena_alloc(&p->arena, n * sizeof(*p->start));
    p->end = tgi_arena_alloc(&p->arena, n * sizeof(*p->end));
    p->pred_at = tgi_arena_alloc(&p->arena, n * sizeof(*p->pred_at));
    p->pred = tgi_arena_alloc(&p->arena, (n_preds + 1) * sizeof(*p->pred));
    return p->task && p->kernel && p->device && p->start && p->end && p->pred_at && p->pred;
}

static int take_device(struct reader *r, uint32_t node, uint32_t *device_p)
{
    const char *name;
    uint32_t member;
    int rc = find(r, node, "device", TGI_JSON_STRING, &member);
    if (rc == 0)
        rc = text_of(r, member, &name);
    for (*device_p = 0; rc == 0 && *device_p < r->p->n_devices; ++*device_p)
        if (strcmp(r->p->devices[*device_p], name) == 0)
            return 0;
    return rc ? rc : tgi_json_tree_error(&r->tree, member, r->err, TG_E_UNKNOWN_NAME, "\"%.40s\" is not one of the plan's devices", name);
}

/* One copy of each name. */
static int take_kernel(struct reader *r, uint32_t node, const char **kernel_p)
{
    int rc = take_text(r, node, "kernel", kernel_p);
    for (uint32_t i = 0; rc == 0 && i < r->n_kernels; i++)
        if (strcmp(r->kernels[i], *kernel_p) == 0) {
            *kernel_p = r->kernels[i];
            return 0;
        }
    if (rc)
        return rc;
    const char **grown = realloc(r->kernels, ((size_t)r->n_kernels + 1) * sizeof(*grown));
    if (!grown)
        return tgi_error_memory(r->err, "reading a plan");
    r->kernels = grown;
    r->kernels[r->n_kernels++] = *kernel_p;
    return 0;
}

static int take_preds(struct reader *r, uint32_t node)
{
    uint32_t list = tgi_json_tree_find(&r->tree, node, "after");
    if (list == TG_NONE)
        return 0;
    if (r->tree.nodes[list].kind != TGI_JSON_ARRAY)
        return tgi_json_tree_error(&r->tree, list, r->err, TG_E_WRONG_TYPE, "\"after\" is not an array");
    for (uint32_t at = r->tree.nodes[list].first; at != TG_NONE; at = r->tree.nodes[at].next) {
        double task = r->tree.nodes[at].kind == TGI_JSON_NUMBER ? tgi_json_tree_number(&r->tree, at) : -1;
        if (!(task >= 0 && task < r->p->n_tasks && task == floor(task)))
            return tgi_json_tree_error(&r->tree, at, r->err, TG_E_BAD_VALUE, "\"after\" has the numbers of tasks, 0 to %u",
                                       r->p->n_tasks - 1);
        r->p->pred[r->p->n_preds++] = (uint32_t)task;
    }
    return 0;
}

static int read_task(struct reader *r, uint32_t node, uint32_t t)
{
    struct tgi_saved_plan *p = r->p;
    uint32_t member;
    if (r->tree.nodes[node].kind != TGI_JSON_OBJECT)
        return tgi_json_tree_error(&r->tree, node, r->err, TG_E_WRONG_TYPE, "a task is not an object");
    int rc = find(r, node, "task", TGI_JSON_STRING, &member);
    if (rc == 0)
        rc = text_of(r, member, &p->task[t]);
    if (rc == 0)
        rc = take_device(r, node, &p->device[t]);
    if (rc == 0)
        rc = take_kernel(r, node, &p->kernel[t]);
    if (rc == 0)
        rc = take_number(r, node, "start_ns", 1e18, &p->start[t]);
    if (rc == 0)
        rc = take_number(r, node, "end_ns", 1e18, &p->end[t]);
    if (rc == 0 && p->end[t] < p->start[t])
        rc = tgi_json_tree_error(&r->tree, node, r->err, TG_E_BAD_VALUE, "task \"%s\" ends before it starts", p->task[t]);
    p->pred_at[t] = p->n_preds;
    return rc ? rc : take_preds(r, node);
}

/* Those of a plan that was edited may contradict its times. */
static int check_order(struct reader *r)
{
    const struct tgi_saved_plan *p = r->p;
    for (uint32_t t = 0; t < p->n_tasks; t++)
        for (uint64_t e = p->pred_at[t]; e < p->pred_at[t + 1]; e++)
            if (p->pred[e] == t || p->end[p->pred[e]] > p->start[t])
                return tgi_json_tree_error(&r->tree, ROOT, r->err, TG_E_BAD_VALUE, "task \"%s\" starts before \"%s\" has ended",
                                           p->task[t], p->task[p->pred[e]]);
    return 0;
}

static int read_tasks(struct reader *r)
{
    struct tgi_saved_plan *p = r->p;
    uint32_t list, t = 0;
    uint64_t n_preds = 0;
    int rc = find(r, ROOT, "tasks", TGI_JSON_ARRAY, &list);
    if (rc == 0 && r->tree.nodes[list].n_children != p->n_tasks)
        rc = tgi_json_tree_error(&r->tree, list, r->err, TG_E_BAD_VALUE, "there are %u tasks, and \"n_tasks\" is %u",
                                 r->tree.nodes[list].n_children, p->n_tasks);
    for (uint32_t at = rc ? TG_NONE : r->tree.nodes[list].first; at != TG_NONE; at = r->tree.nodes[at].next) {
        uint32_t after = tgi_json_tree_find(&r->tree, at, "after");
        n_preds += after == TG_NONE ? 0 : r->tree.nodes[after].n_children;
    }
    if (rc == 0 && !allocate(p, n_preds))
        rc = tgi_error_memory(r->err, "reading a plan");
    for (uint32_t at = rc ? TG_NONE : r->tree.nodes[list].first; rc == 0 && at != TG_NONE; at = r->tree.nodes[at].next)
        rc = read_task(r, at, t++);
    if (rc == 0)
        p->pred_at[p->n_tasks] = p->n_preds;
    return rc ? rc : check_order(r);
}

int tgi_saved_plan_read(struct tgi_saved_plan *plan_p, const char *path, struct tg_error *err)
{
    struct tgi_saved_plan p = {.name = ""};
    struct tgi_source source;
    struct reader r = {.p = &p, .err = err};
    int rc = tgi_source_read(&source, path, MAX_BYTES, err);
    if (rc)
        return rc;
    rc = tgi_json_tree_parse(&r.tree, source.text, source.size, path, 1, err);
    if (rc == 0)
        rc = read_head(&r);
    if (rc == 0)
        rc = read_devices(&r);
    if (rc == 0)
        rc = read_tasks(&r);
    if (rc)
        tgi_saved_plan_fini(&p);
    else
        *plan_p = p;
    free(r.kernels);
    tgi_json_tree_fini(&r.tree);
    tgi_source_fini(&source);
    return rc;
}

void tgi_saved_plan_fini(struct tgi_saved_plan *p)
{
    tgi_arena_fini(&p->arena);
    *p = (struct tgi_saved_plan){.name = NULL};
}

bool tgi_saved_plan_is_one(const char *path)
{
    char head[HEAD + 1];
    FILE *f = strcmp(path, "-") == 0 ? NULL : fopen(path, "rb");
    if (!f)
        return false;
    head[fread(head, 1, HEAD, f)] = '\0';
    fclose(f);
    char *at = head + strspn(head, " \t\r\n{");
    if (strncmp(at, "\"schema\"", 8) != 0)
        return false;
    at += 8 + strspn(at + 8, " \t\r\n:");
    return at[0] == '"' && strncmp(at + 1, schema, sizeof(schema) - 1) == 0;
}

/* ---- Against a graph ----------------------------------------------------------------------*/

int tgi_saved_plan_check(const struct tgi_saved_plan *p, const struct tg_graph *g, struct tg_error *err)
{
    char scratch[16];
    if (p->n_tasks != g->n_tasks || p->n_edges != g->n_edges)
        return tgi_error(err, TG_E_BAD_VALUE, "the plan is of another graph: it has %u tasks and %llu edges, the graph has %u and %llu",
                         p->n_tasks, (unsigned long long)p->n_edges, g->n_tasks, (unsigned long long)g->n_edges);
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        const char *name = tgi_graph_task_name(g, t, scratch);
        if (strcmp(name, p->task[t]) != 0)
            return tgi_error(err, TG_E_BAD_VALUE, "the plan is of another graph: its task %u is \"%s\", and the graph's is \"%s\"", t,
                             p->task[t], name);
    }
    return 0;
}

struct tgi_guide_plan tgi_saved_plan_guide(const struct tgi_saved_plan *p)
{
    return (struct tgi_guide_plan){p->n_tasks, p->n_devices, p->devices, p->device, p->start, p->makespan_ns};
}
