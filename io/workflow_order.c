#include "io/workflow.h"

#include <stdlib.h>

#include "graph/error.h"

void tgi_workflow_index(uint32_t *at, uint32_t *items, uint32_t n_keys, uint32_t n_items,
                        uint32_t (*key_of)(const void *user, uint32_t item), const void *user)
{
    for (uint32_t i = 0; i < n_items; i++)
        at[key_of(user, i) + 1]++;
    for (uint32_t k = 0; k < n_keys; k++)
        at[k + 1] += at[k];
    for (uint32_t i = n_items; i-- > 0;)
        items[--at[key_of(user, i) + 1]] = i;
    /* Each at[k+1] is now where k's items start. */
    for (uint32_t k = 0; k < n_keys; k++)
        at[k] = at[k + 1];
    at[n_keys] = n_items;
}

struct sorter {
    const struct tgi_workflow *w;
    struct tg_error *err;
    uint32_t *succ_at, *succ_of;       /* edges by parent: declared ones, then implied ones */
    struct tgi_workflow_edge *implied; /* by files */
    uint32_t n_implied;
};

static int no_memory(const struct sorter *s) { return tgi_error_memory(s->err, "sorting a workflow"); }

static void *room(size_t n, size_t size) { return calloc(n ? n : 1, size); }

static const struct tgi_workflow_edge *edge(const struct sorter *s, uint32_t i)
{
    return i < s->w->n_edges ? &s->w->edges[i] : &s->implied[i - s->w->n_edges];
}

static uint32_t edge_parent(const void *user, uint32_t i) { return edge(user, i)->parent; }

/* Where several tasks write a file, only the edges can tell which version is meant. */
static int imply_edges(struct sorter *s)
{
    const struct tgi_workflow *w = s->w;
    uint32_t *only = room(w->n_files, sizeof(*only)), *n = room(w->n_files, sizeof(*n));
    s->implied = room(w->n_uses, sizeof(*s->implied));
    int status = only && n && s->implied ? TG_OK : no_memory(s);
    for (uint32_t i = 0; status == TG_OK && i < w->n_uses; i++) {
        const struct tgi_workflow_use *use = &w->uses[i];
        if (use->is_output && (n[use->file] == 0 || only[use->file] != use->task)) {
            only[use->file] = use->task;
            n[use->file]++;
        }
    }
    for (uint32_t i = 0; status == TG_OK && i < w->n_uses; i++) {
        const struct tgi_workflow_use *use = &w->uses[i];
        if (!use->is_output && n[use->file] == 1 && only[use->file] != use->task)
            s->implied[s->n_implied++] =
                (struct tgi_workflow_edge){only[use->file], use->task, w->tasks[use->task].line};
    }
    free(only);
    free(n);
    return status;
}

/* The cycle that backward steps from any task that is left must enter. */
static int report_cycle(struct sorter *s, const uint32_t *n_waiting)
{
    const struct tgi_workflow *w = s->w;
    uint32_t *parent = room(w->n_tasks, sizeof(*parent));
    if (!parent)
        return no_memory(s);
    uint32_t at = 0;
    for (uint32_t i = 0; i < w->n_edges + s->n_implied; i++) {
        const struct tgi_workflow_edge *e = edge(s, i);
        if (n_waiting[e->parent] && n_waiting[e->child])
            parent[at = e->child] = e->parent;
    }
    for (uint32_t i = 0; i < w->n_tasks; i++)
        at = parent[at];
    char text[600];
    size_t used = 0;
    uint32_t start = at, line = w->tasks[at].line;
    do {
        int n = snprintf(text + used, sizeof(text) - used, "%s (line %u) <- ", w->tasks[at].name,
                         w->tasks[at].line);
        if (n < 0 || (size_t)n >= sizeof(text) - used - 5) {
            text[used] = '\0';
            snprintf(text + used, sizeof(text) - used, "... ");
            break;
        }
        used += (size_t)n;
        at = parent[at];
    } while (at != start);
    free(parent);
    return tgi_workflow_error(w, line, s->err, "the tasks depend on each other in a cycle: %s%s", text,
                              at == start ? w->tasks[start].name : "");
}

/* Ready tasks in a heap, the first of the input on top. */
static void heap_push(uint32_t *heap, uint32_t n, uint32_t task)
{
    while (n > 0 && heap[(n - 1) / 2] > task) {
        heap[n] = heap[(n - 1) / 2];
        n = (n - 1) / 2;
    }
    heap[n] = task;
}
static uint32_t heap_pop(uint32_t *heap, uint32_t n)
{
    uint32_t top = heap[0], last = heap[n - 1], at = 0;
    for (uint32_t child; (child = 2 * at + 1) < n - 1; at = child) {
        if (child + 1 < n - 1 && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= last)
            break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return top;
}

static int sort_tasks(struct sorter *s, uint32_t *order, uint32_t *rank)
{
    const struct tgi_workflow *w = s->w;
    uint32_t n_all = w->n_edges + s->n_implied, n_heap = 0, n_done = 0;
    s->succ_at = room((size_t)w->n_tasks + 1, sizeof(*s->succ_at));
    s->succ_of = room(n_all, sizeof(*s->succ_of));
    uint32_t *n_waiting = room(w->n_tasks, sizeof(*n_waiting)), *heap = room(w->n_tasks, sizeof(*heap));
    int status = TG_OK;
    if (!s->succ_at || !s->succ_of || !n_waiting || !heap) {
        status = no_memory(s);
        goto out;
    }
    tgi_workflow_index(s->succ_at, s->succ_of, w->n_tasks, n_all, edge_parent, s);
    for (uint32_t i = 0; i < n_all; i++)
        n_waiting[edge(s, i)->child]++;
    for (uint32_t t = 0; t < w->n_tasks; t++)
        if (n_waiting[t] == 0)
            heap_push(heap, n_heap++, t);
    while (n_heap > 0) {
        uint32_t t = heap_pop(heap, n_heap--);
        rank[t] = n_done;
        order[n_done++] = t;
        for (uint32_t i = s->succ_at[t]; i < s->succ_at[t + 1]; i++) {
            uint32_t child = edge(s, s->succ_of[i])->child;
            if (--n_waiting[child] == 0)
                heap_push(heap, n_heap++, child);
        }
    }
    if (n_done < w->n_tasks)
        status = report_cycle(s, n_waiting);
out:
    free(n_waiting);
    free(heap);
    return status;
}

int tgi_workflow_sort(const struct tgi_workflow *w, uint32_t *order, uint32_t *rank, struct tg_error *err)
{
    struct sorter s = {.w = w, .err = err};
    int status = imply_edges(&s);
    if (status == TG_OK)
        status = sort_tasks(&s, order, rank);
    free(s.implied);
    free(s.succ_at);
    free(s.succ_of);
    return status;
}
