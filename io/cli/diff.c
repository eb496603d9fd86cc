/* tgraph diff: record against record; graphs are compared in diff_graph.c. */
#include "io/cli/diff.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/cli/document.h"
#include "io/cli/recording.h"
#include "io/recording_table.h"
#include "io/units.h"
#include "io/utf8.h"

#define NAME_WIDTH 40

struct side {
    struct tgi_recording r;
    struct tgi_recording_paths paths;
    struct tgi_recording_table table;
};

/* A task that both have, by name. */
struct change {
    uint32_t a, b;
    int64_t delta_ns; /* of its duration */
};

struct job {
    const struct tgi_cli *cli;
    double threshold; /* a fraction */
    struct side a, b;
    struct change *changes; /* largest first */
    uint32_t n_matched, n_changed, n_only_a, n_only_b;
};

/* ---- Matching tasks -----------------------------------------------------------------------*/

struct named {
    const char *name; /* owned, if it had to be put together */
    uint32_t task;
    bool is_owned;
};

static int compare_named(const void *x, const void *y)
{
    const struct named *a = x, *b = y;
    int order = strcmp(a->name, b->name);
    return order ? order : a->task < b->task ? -1 : a->task > b->task;
}

static void free_names(struct named *names, uint32_t n)
{
    for (uint32_t i = 0; names && i < n; i++)
        if (names[i].is_owned)
            free((char *)names[i].name);
    free(names);
}

/* Tasks that were executed, by name; NULL: no memory. */
static struct named *list_names(const struct tgi_recording *r, uint32_t *n_p)
{
    struct named *names = calloc(r->n_tasks + 1, sizeof(*names));
    char text[TGI_RECORDING_NAME_SIZE];
    *n_p = 0;
    for (uint32_t t = 0; names && t < r->n_tasks; t++) {
        const struct tgi_recording_task *task = &r->tasks[t];
        if (!tgi_recording_has_work(r, t))
            continue;
        bool is_whole = task->part == 0 && task->name;
        const char *name = is_whole ? tgi_recording_string(r, task->name)
                                    : strdup(tgi_recording_task_name(r, t, text, sizeof(text)));
        if (!name) {
            free_names(names, *n_p);
            return NULL;
        }
        names[(*n_p)++] = (struct named){name, t, !is_whole};
    }
    if (names)
        qsort(names, *n_p, sizeof(*names), compare_named);
    return names;
}

static int compare_changes(const void *x, const void *y)
{
    const struct change *a = x, *b = y;
    int64_t size_a = llabs(a->delta_ns), size_b = llabs(b->delta_ns);
    return size_a != size_b ? (size_a > size_b ? -1 : 1) : a->a < b->a ? -1 : a->a > b->a;
}

static bool is_beyond(const struct job *job, uint64_t before, uint64_t after)
{
    return fabs((double)after - (double)before) > job->threshold * (double)before;
}

static void match(struct job *job, const struct named *a, uint32_t n_a, const struct named *b, uint32_t n_b)
{
    uint32_t i = 0, k = 0;
    while (i < n_a || k < n_b) {
        int order = i == n_a ? 1 : k == n_b ? -1 : strcmp(a[i].name, b[k].name);
        if (order) {
            *(order < 0 ? &job->n_only_a : &job->n_only_b) += 1;
            *(order < 0 ? &i : &k) += 1;
            continue;
        }
        uint64_t before = tgi_recording_took_ns(&job->a.r, a[i].task), after = tgi_recording_took_ns(&job->b.r, b[k].task);
        job->n_matched++;
        if (is_beyond(job, before, after))
            job->changes[job->n_changed++] = (struct change){a[i].task, b[k].task, (int64_t)after - (int64_t)before};
        i++;
        k++;
    }
    qsort(job->changes, job->n_changed, sizeof(*job->changes), compare_changes);
}

static bool match_tasks(struct job *job)
{
    uint32_t n_a = 0, n_b = 0;
    struct named *a = list_names(&job->a.r, &n_a), *b = list_names(&job->b.r, &n_b);
    job->changes = malloc((job->a.r.n_tasks + 1) * sizeof(*job->changes));
    bool is_good = a && b && job->changes;
    if (is_good)
        match(job, a, n_a, b, n_b);
    free_names(a, n_a);
    free_names(b, n_b);
    return is_good;
}

/* ---- Text ---------------------------------------------------------------------------------*/

/* "+12.3 %", or "same" within the threshold. */
static const char *format_change(const struct job *job, uint64_t before, uint64_t after, char *text, size_t size)
{
    if (!is_beyond(job, before, after))
        snprintf(text, size, "same");
    else if (before == 0)
        snprintf(text, size, "new");
    else
        snprintf(text, size, "%+.1f %%", 100 * ((double)after / (double)before - 1));
    return text;
}

static void print_row(const struct job *job, const char *name, uint64_t before, uint64_t after, const char *remark)
{
    char a[TGI_UNITS_SIZE], b[TGI_UNITS_SIZE], c[32];
    printf("  ");
    tgi_utf8_print_column(stdout, name, NAME_WIDTH, NAME_WIDTH);
    printf(" %11s %11s %11s%s\n", tgi_format_time((double)before, a, sizeof(a)), tgi_format_time((double)after, b, sizeof(b)),
           format_change(job, before, after, c, sizeof(c)), remark);
}

/* The figures of the other side's kernel of that name; NULL: it has none. */
static const struct tgi_kernel_figures *find_kernel(const struct side *s, const char *name)
{
    for (uint32_t i = 0; i < s->table.n_kernels; i++)
        if (strcmp(tgi_recording_kernel_name(&s->r, s->table.kernels[i].kernel), name) == 0)
            return &s->table.kernels[i];
    return NULL;
}

static void print_kernels(const struct job *job)
{
    printf("\n  %-*s %11s %11s %11s\n", NAME_WIDTH, "median of kernel", "A", "B", "change");
    for (uint32_t i = 0; i < job->a.table.n_kernels; i++) {
        const struct tgi_kernel_figures *k = &job->a.table.kernels[i];
        const char *name = tgi_recording_kernel_name(&job->a.r, k->kernel);
        const struct tgi_kernel_figures *other = find_kernel(&job->b, name);
        if (other)
            print_row(job, name, k->median_ns, other->median_ns, other->n_tasks == k->n_tasks ? "" : "  (number of tasks differs)");
        else
            print_row(job, name, k->median_ns, 0, "  (only in A)");
    }
    for (uint32_t i = 0; i < job->b.table.n_kernels; i++) {
        const struct tgi_kernel_figures *k = &job->b.table.kernels[i];
        const char *name = tgi_recording_kernel_name(&job->b.r, k->kernel);
        if (!find_kernel(&job->a, name))
            print_row(job, name, 0, k->median_ns, "  (only in B)");
    }
}

static void print_tasks(const struct job *job)
{
    uint32_t top = (uint32_t)tgi_cli_int(job->cli, "top", TGI_DIFF_TOP);
    char name[TGI_RECORDING_NAME_SIZE], n[TGI_UNITS_SIZE], m[TGI_UNITS_SIZE];
    printf("\n  tasks: %s of %s that both have changed", tgi_format_count(job->n_changed, n, sizeof(n)),
           tgi_format_count(job->n_matched, m, sizeof(m)));
    if (job->n_only_a || job->n_only_b)
        printf("; %s only in A, %s only in B", tgi_format_count(job->n_only_a, n, sizeof(n)),
               tgi_format_count(job->n_only_b, m, sizeof(m)));
    putchar('\n');
    for (uint32_t i = 0; i < job->n_changed && i < top; i++) {
        const struct change *c = &job->changes[i];
        print_row(job, tgi_recording_task_name(&job->a.r, c->a, name, sizeof(name)), tgi_recording_took_ns(&job->a.r, c->a),
                  tgi_recording_took_ns(&job->b.r, c->b), job->b.paths.is_critical[c->b] ? "  critical" : "");
    }
}

static void print_text(const struct job *job)
{
    printf("A: ");
    tgi_cli_print_recording(&job->a.r);
    printf("B: ");
    tgi_cli_print_recording(&job->b.r);
    printf("\n  %-*s %11s %11s %11s\n", NAME_WIDTH, "", "A", "B", "change");
    print_row(job, "makespan", job->a.r.head.makespan_ns, job->b.r.head.makespan_ns, "");
    print_row(job, "critical path", job->a.paths.critical_ns, job->b.paths.critical_ns, "");
    print_kernels(job);
    print_tasks(job);
}

/* ---- JSON ---------------------------------------------------------------------------------*/

static void put_side(struct tgi_json *json, const char *key, const struct side *s, const char *path)
{
    tgi_json_flat_object(json, key);
    tgi_json_string(json, "file", path);
    tgi_json_uint(json, "tasks", s->r.head.n_tasks);
    tgi_json_uint(json, "makespan_ns", s->r.head.makespan_ns);
    tgi_json_uint(json, "critical_path_ns", s->paths.critical_ns);
    tgi_json_end(json);
}

static void put_kernel(struct tgi_json *json, const char *name, const struct tgi_kernel_figures *a,
                       const struct tgi_kernel_figures *b)
{
    tgi_json_flat_object(json, NULL);
    tgi_json_string(json, "kernel", name);
    if (a)
        tgi_json_uint(json, "a_median_ns", a->median_ns);
    if (b)
        tgi_json_uint(json, "b_median_ns", b->median_ns);
    tgi_json_uint(json, "a_tasks", a ? a->n_tasks : 0);
    tgi_json_uint(json, "b_tasks", b ? b->n_tasks : 0);
    tgi_json_end(json);
}

static void print_json(const struct job *job, bool is_slower)
{
    struct tgi_json json = tgi_cli_document(stdout, "tgraph.diff/1", NULL);
    uint32_t top = (uint32_t)tgi_cli_int(job->cli, "top", TGI_DIFF_TOP);
    char name[TGI_RECORDING_NAME_SIZE];
    tgi_json_string(&json, "kind", "records");
    tgi_json_double(&json, "threshold", job->threshold);
    tgi_json_bool(&json, "is_slower", is_slower);
    put_side(&json, "a", &job->a, job->cli->operands[0]);
    put_side(&json, "b", &job->b, job->cli->operands[1]);
    tgi_json_array(&json, "kernels");
    for (uint32_t i = 0; i < job->a.table.n_kernels; i++) {
        const char *kernel = tgi_recording_kernel_name(&job->a.r, job->a.table.kernels[i].kernel);
        put_kernel(&json, kernel, &job->a.table.kernels[i], find_kernel(&job->b, kernel));
    }
    for (uint32_t i = 0; i < job->b.table.n_kernels; i++) {
        const char *kernel = tgi_recording_kernel_name(&job->b.r, job->b.table.kernels[i].kernel);
        if (!find_kernel(&job->a, kernel))
            put_kernel(&json, kernel, NULL, &job->b.table.kernels[i]);
    }
    tgi_json_end(&json);
    tgi_json_uint(&json, "matched_tasks", job->n_matched);
    tgi_json_uint(&json, "changed_tasks", job->n_changed);
    tgi_json_uint(&json, "only_a_tasks", job->n_only_a);
    tgi_json_uint(&json, "only_b_tasks", job->n_only_b);
    tgi_json_array(&json, "most_changed");
    for (uint32_t i = 0; i < job->n_changed && i < top; i++) {
        const struct change *c = &job->changes[i];
        tgi_json_flat_object(&json, NULL);
        tgi_json_string(&json, "task", tgi_recording_task_name(&job->a.r, c->a, name, sizeof(name)));
        tgi_json_uint(&json, "a_ns", tgi_recording_took_ns(&job->a.r, c->a));
        tgi_json_uint(&json, "b_ns", tgi_recording_took_ns(&job->b.r, c->b));
        tgi_json_end(&json);
    }
    tgi_json_end(&json);
    tgi_json_end(&json);
}

/* ---- The whole ----------------------------------------------------------------------------*/

static int open_side(struct job *job, struct side *s, const char *path)
{
    struct tg_error err;
    int rc = tgi_cli_read_recording(job->cli, path, &s->r, &s->paths);
    if (rc)
        return rc;
    if (tgi_recording_table_create(&s->r, &s->paths, &s->table, &err)) {
        tgi_recording_paths_fini(&s->paths);
        tgi_recording_fini(&s->r);
        return tgi_cli_error(job->cli, &err);
    }
    return 0;
}

static void close_side(struct side *s)
{
    tgi_recording_table_fini(&s->table);
    tgi_recording_paths_fini(&s->paths);
    tgi_recording_fini(&s->r);
}

/* A run that ended early was not faster. */
static int check_outcome(const struct job *job, const struct side *s, const char *path)
{
    static const char *const early[] = {"failed", "timeout", "cancelled", "interrupted"};
    const char *outcome = tgi_recording_string(&s->r, s->r.head.outcome);
    for (size_t i = 0; i < sizeof(early) / sizeof(*early); i++)
        if (strcmp(outcome, early[i]) == 0) {
            tgi_cli_warn(job->cli, "\"%s\" is of a run that did not come to its end (%s): its times say nothing of how long it takes", path,
                         outcome);
            return TGI_EXIT_NO;
        }
    return 0;
}

static int compare(struct job *job)
{
    if (!match_tasks(job))
        return tgi_cli_fail(job->cli, TG_E_NO_MEMORY, "no memory to compare two records");
    uint64_t before = job->a.r.head.makespan_ns, after = job->b.r.head.makespan_ns;
    bool is_slower = after > before && is_beyond(job, before, after);
    if (job->cli->format == TGI_FORMAT_JSON)
        print_json(job, is_slower);
    else
        print_text(job);
    int rc = check_outcome(job, &job->a, job->cli->operands[0]);
    if (rc == 0)
        rc = check_outcome(job, &job->b, job->cli->operands[1]);
    return tgi_cli_has(job->cli, "fail-on") ? (is_slower ? TGI_EXIT_NO : rc) : 0;
}

static int diff_records(struct job *job)
{
    if (strcmp(tgi_cli_text(job->cli, "fail-on", "slower"), "slower") != 0)
        return tgi_cli_usage(job->cli, "--fail-on changed is for graphs; no two runs take the same time");
    int rc = open_side(job, &job->a, job->cli->operands[0]);
    if (rc)
        return rc;
    rc = open_side(job, &job->b, job->cli->operands[1]);
    if (rc == 0) {
        rc = compare(job);
        close_side(&job->b);
    }
    close_side(&job->a);
    free(job->changes);
    return rc;
}

int tgi_cli_diff(struct tgi_cli *cli)
{
    struct job job = {.cli = cli};
    int rc = tgi_cli_percent(cli, "threshold", 3, &job.threshold);
    if (rc)
        return rc;
    bool has_a = tgi_cli_is_recording(cli->operands[0]), has_b = tgi_cli_is_recording(cli->operands[1]);
    if (has_a && has_b)
        return diff_records(&job);
    if (has_a != has_b)
        return tgi_cli_usage(cli, "\"%s\" is a record and \"%s\" is none", cli->operands[has_a ? 0 : 1], cli->operands[has_a ? 1 : 0]);
    return tgi_cli_diff_graphs(cli, cli->operands[0], cli->operands[1]);
}
