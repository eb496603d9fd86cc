/* Two graphs compared by names: a task without a name is called by its number. */
#include "io/cli/diff.h"

#include <stdlib.h>
#include <string.h>

#include "graph/model.h"
#include "io/cli/document.h"
#include "io/units.h"
#include "io/utf8.h"

enum change { ADDED, REMOVED, CHANGED, N_CHANGES };
static const char *const change_names[N_CHANGES] = {"added", "removed", "changed"};

/* Ids: of the second graph for what was added, else of the first. */
struct list {
    uint32_t *items[N_CHANGES];
    uint32_t n[N_CHANGES];
};

struct job {
    const struct tgi_cli *cli;
    const struct tg_graph *a, *b;
    uint32_t *task_of;   /* by task of b: the one of a; TG_NONE: there is none */
    uint8_t *is_matched; /* by task of a */
    struct list tasks, buffers;
    uint64_t n_edges_added, n_edges_removed;
};

static bool list_init(struct list *list, uint64_t n)
{
    for (int i = 0; i < N_CHANGES; i++)
        if (!(list->items[i] = malloc((n + 1) * sizeof(uint32_t))))
            return false;
    return true;
}

static void list_add(struct list *list, enum change change, uint32_t id) { list->items[change][list->n[change]++] = id; }

/* ---- Comparing ----------------------------------------------------------------------------*/

static uint32_t find(const struct tg_graph *g, const struct tg_graph *from, uint32_t task)
{
    char scratch[32];
    const char *name = tgi_graph_task_name(from, task, scratch);
    if (name != scratch)
        return tg_graph_find_task(g, name);
    bool has_none = task < g->n_tasks && (!g->names_at || g->names_at[task] == TG_NONE);
    return has_none ? task : TG_NONE;
}

/* Tiles by name, since numbers depend on all buffers before. */
static bool has_same_argument(const struct job *job, uint32_t a, uint32_t b, uint32_t i)
{
    const struct tgi_param *param = &tgi_graph_op(job->a, a)->params[i];
    uint64_t x = tgi_graph_word(job->a, a, i), y = tgi_graph_word(job->b, b, i);
    char text_a[512], text_b[512];
    if (param->access != tgi_graph_op(job->b, b)->params[i].access)
        return false;
    if (param->access == TG_SCALAR || x == TGI_WORD_NULL || y == TGI_WORD_NULL)
        return x == y;
    tgi_space_format_word(job->a->space, x, text_a, sizeof(text_a));
    tgi_space_format_word(job->b->space, y, text_b, sizeof(text_b));
    return strcmp(text_a, text_b) == 0;
}

static bool is_same_task(const struct job *job, uint32_t a, uint32_t b)
{
    const struct tgi_op *x = tgi_graph_op(job->a, a), *y = tgi_graph_op(job->b, b);
    if (x->kind != y->kind || strcmp(x->name, y->name) != 0 || x->n_params != y->n_params || x->count != y->count ||
        (job->a->priority ? job->a->priority[a] : 0) != (job->b->priority ? job->b->priority[b] : 0))
        return false;
    for (uint32_t i = 0; i < x->n_params; i++)
        if (!has_same_argument(job, a, b, i))
            return false;
    return true;
}

static void compare_tasks(struct job *job)
{
    for (uint32_t t = 0; t < job->b->n_tasks; t++) {
        uint32_t before = job->task_of[t] = find(job->a, job->b, t);
        if (before == TG_NONE)
            list_add(&job->tasks, ADDED, t);
        else if (!is_same_task(job, before, t))
            list_add(&job->tasks, CHANGED, before);
        if (before != TG_NONE)
            job->is_matched[before] = 1;
    }
    for (uint32_t t = 0; t < job->a->n_tasks; t++)
        if (!job->is_matched[t])
            list_add(&job->tasks, REMOVED, t);
}

static bool has_edge(const struct tg_graph *g, uint32_t from, uint32_t to)
{
    uint32_t low = g->nodes[from].succ, high = g->nodes[from + 1].succ;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (g->succ[middle] == to)
            return true;
        if (g->succ[middle] < to)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static void compare_edges(struct job *job)
{
    uint64_t n_same = 0, n_a = job->a->n_edges, n_b = 0;
    for (uint32_t t = 0; t < job->b->n_tasks; t++)
        for (uint32_t e = job->b->nodes[t].succ; e < job->b->nodes[t + 1].succ; e++) {
            uint32_t from = job->task_of[t], to = job->task_of[job->b->succ[e]];
            n_b++;
            n_same += from != TG_NONE && to != TG_NONE && has_edge(job->a, from, to);
        }
    job->n_edges_added = n_b - n_same;
    job->n_edges_removed = n_a - n_same;
}

static bool is_same_buffer(const struct tgi_buffer *a, const struct tgi_buffer *b)
{
    return a->dtype == b->dtype && a->n_dims == b->n_dims && a->n_tile_dims == b->n_tile_dims && a->init == b->init &&
           a->n_present == b->n_present && a->is_temp == b->is_temp &&
           memcmp(a->shape, b->shape, a->n_dims * sizeof(*a->shape)) == 0 &&
           memcmp(a->tiles, b->tiles, a->n_tile_dims * sizeof(*a->tiles)) == 0;
}

static void compare_buffers(struct job *job)
{
    const struct tgi_space *a = job->a->space, *b = job->b->space;
    for (uint32_t i = 0; i < b->n_buffers; i++) {
        uint32_t before = tg_graph_find_buffer(job->a, b->buffers[i].name);
        if (before == TG_NONE)
            list_add(&job->buffers, ADDED, i);
        else if (!is_same_buffer(&a->buffers[before], &b->buffers[i]))
            list_add(&job->buffers, CHANGED, before);
    }
    for (uint32_t i = 0; i < a->n_buffers; i++)
        if (tg_graph_find_buffer(job->b, a->buffers[i].name) == TG_NONE)
            list_add(&job->buffers, REMOVED, i);
}

/* ---- Printing -----------------------------------------------------------------------------*/

static const char *name_of(const struct job *job, bool is_task, enum change change, uint32_t id, char *scratch)
{
    const struct tg_graph *g = change == ADDED ? job->b : job->a;
    return is_task ? tgi_graph_task_name(g, id, scratch) : g->space->buffers[id].name;
}

static void print_list(const struct job *job, const struct list *list, bool is_task)
{
    uint32_t top = (uint32_t)tgi_cli_int(job->cli, "top", TGI_DIFF_TOP);
    char n[TGI_UNITS_SIZE], scratch[32];
    for (int c = 0; c < N_CHANGES; c++) {
        if (list->n[c] == 0)
            continue;
        printf("  %s %s:", tgi_format_count(list->n[c], n, sizeof(n)), change_names[c]);
        for (uint32_t i = 0; i < list->n[c] && i < top; i++) {
            printf("%s ", i ? "," : "");
            tgi_utf8_print(stdout, name_of(job, is_task, (enum change)c, list->items[c][i], scratch));
        }
        printf("%s\n", list->n[c] > top ? ", .." : "");
    }
}

static void print_text(const struct job *job)
{
    char a[TGI_UNITS_SIZE], b[TGI_UNITS_SIZE];
    printf("tasks: %s and %s\n", tgi_format_count(job->a->n_tasks, a, sizeof(a)), tgi_format_count(job->b->n_tasks, b, sizeof(b)));
    print_list(job, &job->tasks, true);
    printf("edges: %s and %s", tgi_format_count(job->a->n_edges, a, sizeof(a)), tgi_format_count(job->b->n_edges, b, sizeof(b)));
    if (job->n_edges_added || job->n_edges_removed)
        printf("; %s added, %s removed", tgi_format_count(job->n_edges_added, a, sizeof(a)),
               tgi_format_count(job->n_edges_removed, b, sizeof(b)));
    printf("\nbuffers: %u and %u\n", job->a->space->n_buffers, job->b->space->n_buffers);
    print_list(job, &job->buffers, false);
}

static void put_list(const struct job *job, struct tgi_json *json, const char *key, const struct list *list, bool is_task)
{
    uint32_t top = (uint32_t)tgi_cli_int(job->cli, "top", TGI_DIFF_TOP);
    char counts[32], scratch[32];
    tgi_json_object(json, key);
    for (int c = 0; c < N_CHANGES; c++) {
        snprintf(counts, sizeof(counts), "n_%s", change_names[c]);
        tgi_json_uint(json, counts, list->n[c]);
        tgi_json_flat_array(json, change_names[c]);
        for (uint32_t i = 0; i < list->n[c] && i < top; i++)
            tgi_json_string(json, NULL, name_of(job, is_task, (enum change)c, list->items[c][i], scratch));
        tgi_json_end(json);
    }
    tgi_json_end(json);
}

static void print_json(const struct job *job, bool is_changed)
{
    struct tgi_json json = tgi_cli_document(stdout, "tgraph.diff/1", NULL);
    tgi_json_string(&json, "kind", "graphs");
    tgi_json_bool(&json, "is_changed", is_changed);
    put_list(job, &json, "tasks", &job->tasks, true);
    put_list(job, &json, "buffers", &job->buffers, false);
    tgi_json_flat_object(&json, "edges");
    tgi_json_uint(&json, "n_added", job->n_edges_added);
    tgi_json_uint(&json, "n_removed", job->n_edges_removed);
    tgi_json_end(&json);
    tgi_json_end(&json);
}

/* ---- The whole ----------------------------------------------------------------------------*/

static int compare(struct job *job)
{
    uint64_t n_tasks = (uint64_t)job->a->n_tasks + job->b->n_tasks,
             n_buffers = (uint64_t)job->a->space->n_buffers + job->b->space->n_buffers;
    job->task_of = malloc((job->b->n_tasks + (size_t)1) * sizeof(*job->task_of));
    job->is_matched = calloc(job->a->n_tasks + (size_t)1, 1);
    if (!job->task_of || !job->is_matched || !list_init(&job->tasks, n_tasks) || !list_init(&job->buffers, n_buffers))
        return tgi_cli_fail(job->cli, TG_E_NO_MEMORY, "no memory to compare two graphs");
    compare_tasks(job);
    compare_edges(job);
    compare_buffers(job);
    bool is_changed = job->n_edges_added || job->n_edges_removed;
    for (int c = 0; c < N_CHANGES; c++)
        is_changed |= job->tasks.n[c] > 0 || job->buffers.n[c] > 0;
    if (job->cli->format == TGI_FORMAT_JSON)
        print_json(job, is_changed);
    else if (!is_changed)
        puts("the graphs have the same tasks, edges and buffers");
    else
        print_text(job);
    return is_changed && tgi_cli_has(job->cli, "fail-on") ? TGI_EXIT_NO : 0;
}

int tgi_cli_diff_graphs(const struct tgi_cli *cli, const char *path_a, const char *path_b)
{
    struct job job = {.cli = cli};
    struct tg_graph *a, *b;
    if (strcmp(tgi_cli_text(cli, "fail-on", "changed"), "changed") != 0)
        return tgi_cli_usage(cli, "--fail-on slower is for records; graphs take no time");
    int rc = tgi_cli_load(cli, path_a, TGI_LOAD_AND_FREEZE, &a);
    if (rc)
        return rc;
    rc = tgi_cli_load(cli, path_b, TGI_LOAD_AND_FREEZE, &b);
    if (rc == 0) {
        job.a = a;
        job.b = b;
        rc = compare(&job);
        for (int c = 0; c < N_CHANGES; c++) {
            free(job.tasks.items[c]);
            free(job.buffers.items[c]);
        }
        free(job.task_of);
        free(job.is_matched);
        tg_graph_destroy(b);
    }
    tg_graph_destroy(a);
    return rc;
}
