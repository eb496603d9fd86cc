/* STG, the text of the Standard Task Graph Set.
 *
 * The first number says how many tasks there are, not counting an empty entry and an empty exit task
 * that most files add.  Then a line for each task: number, processing time, number of predecessors,
 * predecessors.  # starts a comment.  Times have no unit; here one is a microsecond. */
#include "io/import.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct tgi_workflow *w;
    const char *p;
    uint32_t line;
    struct tg_error *err;
};

/* To the next token, over lines and comments; false at the end. */
static bool skip(struct reader *r)
{
    for (;; r->p++) {
        if (*r->p == '#')
            r->p += strcspn(r->p, "\n");
        if (*r->p == '\0')
            return false;
        if (*r->p == '\n')
            r->line++;
        else if (!isspace((unsigned char)*r->p))
            return true;
    }
}

static int number(struct reader *r, const char *what, double max, double *value_p)
{
    if (!skip(r))
        return tgi_workflow_error(r->w, r->line, r->err, "the file ends where %s should come", what);
    size_t size = strcspn(r->p, " \t\r\n#");
    char text[32];
    bool is_number = false;
    if (size < sizeof(text) && isdigit((unsigned char)*r->p)) {
        char *end;
        memcpy(text, r->p, size);
        text[size] = '\0';
        *value_p = strtod(text, &end);
        is_number = *end == '\0' && *value_p <= max;
    }
    if (!is_number)
        return tgi_workflow_error(r->w, r->line, r->err, "%s should come here, not \"%.*s\"", what,
                                  size > 30 ? 30 : (int)size, r->p);
    r->p += size;
    return TG_OK;
}

static int whole(struct reader *r, const char *what, uint32_t *value_p)
{
    double value;
    int status = number(r, what, 4e9, &value);
    if (status == TG_OK && value != (double)(uint32_t)value)
        status = tgi_workflow_error(r->w, r->line, r->err, "%s must be a whole number", what);
    if (status == TG_OK)
        *value_p = (uint32_t)value;
    return status;
}

static int read_task(struct reader *r, uint32_t n_max)
{
    uint32_t id, n_preds, task = 0;
    double time;
    int status = whole(r, "a task's number", &id);
    uint32_t line = r->line;
    if (status == TG_OK)
        status = number(r, "a processing time", 1e15, &time);
    if (status == TG_OK)
        status = whole(r, "a number of predecessors", &n_preds);
    if (status != TG_OK)
        return status;
    char name[24];
    snprintf(name, sizeof(name), "t%u", id);
    status = tgi_workflow_add_task(r->w, name, line, &task, r->err);
    if (status != TG_OK)
        return status;
    r->w->tasks[task].seconds = time * 1e-6;
    for (uint32_t i = 0; i < n_preds && status == TG_OK; i++) {
        uint32_t pred;
        status = whole(r, "a predecessor", &pred);
        if (status != TG_OK)
            break;
        if (pred > n_max)
            return tgi_workflow_error(r->w, r->line, r->err, "task %u has an unknown predecessor %u", id,
                                      pred);
        /* Predecessors may stand further down; numbers become tasks at the end. */
        if (pred == id)
            return tgi_workflow_error(r->w, r->line, r->err, "task %u depends on itself", id);
        status = tgi_workflow_add_edge(r->w, TG_NONE, task, r->line, r->err);
        if (status == TG_OK)
            r->w->edges[r->w->n_edges - 1].parent = pred;
    }
    return status;
}

/* Until now the parents of edges are numbers of the file. */
static int resolve(struct reader *r)
{
    for (uint32_t i = 0; i < r->w->n_edges; i++) {
        struct tgi_workflow_edge *edge = &r->w->edges[i];
        char name[24];
        snprintf(name, sizeof(name), "t%u", edge->parent);
        uint32_t task = tgi_workflow_find_task(r->w, name);
        if (task == TG_NONE)
            return tgi_workflow_error(r->w, edge->line, r->err, "task %s has an unknown predecessor %u",
                                      r->w->tasks[edge->child].name, edge->parent);
        edge->parent = task;
    }
    return TG_OK;
}

int tgi_import_stg(struct tgi_workflow *w, const char *text, size_t size, struct tg_error *err)
{
    struct reader r = {.w = w, .p = text, .line = 1, .err = err};
    if (memchr(text, '\0', size))
        return tgi_workflow_error(w, 0, err, "there is a NUL byte in it");
    uint32_t n = 0;
    int status = whole(&r, "the number of tasks", &n);
    if (status == TG_OK && n > 100000000)
        status = tgi_workflow_error(w, r.line, err, "%u tasks are too many", n);
    w->edges_carry_data = true;
    while (status == TG_OK && skip(&r))
        status = read_task(&r, n + 1);
    if (status == TG_OK && w->n_tasks != n && w->n_tasks != n + 2)
        status = tgi_workflow_error(w, r.line, err,
                                    "%u tasks are announced (with entry and exit %u), but there are %u", n,
                                    n + 2, w->n_tasks);
    return status == TG_OK ? resolve(&r) : status;
}
