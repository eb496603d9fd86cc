/* The time a kind takes by itself is the median of those of its tasks that were by themselves, if there are a few, else what the caller
 * knows: tasks that always have company could as well be longer and leave room as shorter and leave none.  Where nothing is known it is
 * the median of the work that follows from the parts.  The parts are searched one kind after the other over a coarse grid, from the
 * whole device downwards and from next to nothing upwards.
 *
 * Some kernels leave others next to nothing until they are done, and are not slowed down by them: short ones that live from memory wait
 * beside a large product.  A task that took much longer than equal parts would explain says nothing of parts, and takes none.
 *
 * Records of an H100 decided how tasks share: with equal parts tasks miss their work by a fifth to all of what they miss it by where those
 * that came first go first. */
#include "sched/sharing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"

enum {
    MOST_ROUNDS = 6,   /* over all kinds */
    LEAST_ALONE = 3,   /* tasks by themselves that tell a time */
    MOST_AT_ONCE = 64, /* beyond which tasks are not told apart: they are few, and what they say others say as well */
};
#define ALONE 0.9 /* of a task's time, without company: short tasks beside a long one are no reason to know nothing of it */
#define ALIKE 1.001
#define STARVED 1.5
#define FAR 1.0 /* something else has happened to a task that misses by more */
/* Even steps where parts matter most, then smaller ones. */
static const double parts[] = {1,    0.95, 0.9,  0.85, 0.8,  0.75, 0.7,  0.65, 0.6,  0.55,  0.5,    0.45,
                               0.4,  0.35, 0.3,  0.25, 0.2,  0.15, 0.1,  0.07, 0.05, 0.035, 0.025, 0.015};
enum { N_PARTS = sizeof parts / sizeof *parts };

/* A time during which the same tasks were at work. */
struct stretch {
    double ns;
    uint32_t first, n; /* in at_work */
};

struct sharing {
    const struct tgi_sharing_task *tasks;
    uint32_t n, n_kinds;
    struct tgi_shared_time *shares;
    struct stretch *stretches;
    uint32_t *at_work;          /* tasks */
    uint32_t n_stretches, n_at_work, n_at_work_room;
    double *work, *alone_ns;    /* by task */
    double *company;            /* by task: how many were at work, itself included, times for how long */
    uint8_t *is_starved;        /* by task */
    double *sorted;             /* scratch, by task */
    double *mean_ns, *kept;     /* by kind: how long its tasks took; a part */
    uint32_t *of_kind, *kind_at; /* tasks by kind */
    uint8_t *is_told;           /* by kind: its time is that of tasks by themselves */
};

/* ---- Who was at work when -----------------------------------------------------------------*/

static int compare_tasks(const void *left, const void *right)
{
    const struct tgi_sharing_task *a = left, *b = right;
    if (a->start_ns != b->start_ns)
        return a->start_ns < b->start_ns ? -1 : 1;
    return a->end_ns < b->end_ns ? -1 : a->end_ns > b->end_ns;
}

static bool add_stretch(struct sharing *s, const uint32_t *at_work, uint32_t n, double ns)
{
    if (ns <= 0 || n == 0)
        return true;
    if (s->n_at_work + n > s->n_at_work_room) {
        uint32_t n_room = 2 * s->n_at_work_room + MOST_AT_ONCE;
        void *grown = realloc(s->at_work, n_room * sizeof *s->at_work);
        if (!grown)
            return false;
        s->at_work = grown;
        s->n_at_work_room = n_room;
    }
    s->stretches[s->n_stretches++] = (struct stretch){ns, s->n_at_work, n};
    memcpy(s->at_work + s->n_at_work, at_work, n * sizeof *at_work);
    s->n_at_work += n;
    for (uint32_t i = 0; i < n; i++) {
        s->alone_ns[at_work[i]] += n == 1 ? ns : 0;
        s->company[at_work[i]] += ns * n;
    }
    return true;
}

/* Leaves out those that have ended by `until`, in the order they end; adds the stretches between. */
static bool end_tasks(struct sharing *s, uint32_t *at_work, uint32_t *n_p, uint64_t *now_p, uint64_t until)
{
    while (*n_p) {
        uint32_t first = 0;
        for (uint32_t i = 1; i < *n_p; i++)
            if (s->tasks[at_work[i]].end_ns < s->tasks[at_work[first]].end_ns)
                first = i;
        uint64_t end = s->tasks[at_work[first]].end_ns;
        if (end > until)
            break;
        if (!add_stretch(s, at_work, *n_p, end > *now_p ? (double)(end - *now_p) : 0))
            return false;
        *now_p = end > *now_p ? end : *now_p;
        at_work[first] = at_work[--*n_p];
    }
    return *n_p == 0 || until == UINT64_MAX || add_stretch(s, at_work, *n_p, (double)(until - *now_p));
}

static bool find_stretches(struct sharing *s)
{
    uint32_t at_work[MOST_AT_ONCE], n = 0;
    uint64_t now = 0;
    for (uint32_t t = 0; t < s->n; t++) {
        uint64_t start = s->tasks[t].start_ns;
        if (!end_tasks(s, at_work, &n, &now, start))
            return false;
        now = start;
        if (n < MOST_AT_ONCE)
            at_work[n++] = t;
    }
    return end_tasks(s, at_work, &n, &now, UINT64_MAX);
}

/* ---- What follows from the parts ----------------------------------------------------------*/

/* The part beyond which tasks get no more; 1: all get what they ask for. */
static double fair_part(const struct sharing *s, const struct stretch *stretch)
{
    const uint32_t *at_work = s->at_work + stretch->first;
    double asked = 0, fair = 1, before = 0;
    uint32_t n_asking = 0;
    for (uint32_t i = 0; i < stretch->n; i++) {
        asked += s->is_starved[at_work[i]] ? 0 : s->shares[s->tasks[at_work[i]].kind].part;
        n_asking += !s->is_starved[at_work[i]];
    }
    if (asked <= 1)
        return 1;
    for (fair = 1.0 / n_asking; fair > before;) {
        double left = 1;
        uint32_t n = 0;
        for (uint32_t i = 0; i < stretch->n; i++) {
            double part = s->shares[s->tasks[at_work[i]].kind].part;
            if (s->is_starved[at_work[i]])
                continue;
            left -= part <= fair ? part : 0;
            n += part > fair;
        }
        before = fair;
        fair = n ? left / n : 1;
    }
    return fair;
}

static void find_work(struct sharing *s)
{
    memset(s->work, 0, s->n * sizeof *s->work);
    for (uint32_t i = 0; i < s->n_stretches; i++) {
        const struct stretch *stretch = &s->stretches[i];
        double fair = fair_part(s, stretch);
        for (uint32_t k = 0; k < stretch->n; k++) {
            uint32_t t = s->at_work[stretch->first + k];
            double part = s->shares[s->tasks[t].kind].part;
            s->work[t] += stretch->ns * (part > fair ? fair / part : 1);
        }
    }
}

static int compare_numbers(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static double median(double *list, uint32_t n)
{
    qsort(list, n, sizeof *list, compare_numbers);
    return n % 2 ? list[n / 2] : (list[n / 2 - 1] + list[n / 2]) / 2;
}

/* By how much tasks miss the work of their kind, in parts of it, longer ones counting for more: it is no merit of parts that they leave
 * less work. */
static double find_miss(struct sharing *s)
{
    double miss = 0;
    find_work(s);
    for (uint32_t k = 0; k < s->n_kinds; k++) {
        uint32_t first = s->kind_at[k], n = s->kind_at[k + 1] - first;
        for (uint32_t i = 0; i < n; i++)
            s->sorted[i] = s->work[s->of_kind[first + i]];
        if (n && !s->is_told[k])
            s->shares[k].ns = median(s->sorted, n);
        for (uint32_t i = 0; i < n; i++) {
            if (s->is_starved[s->of_kind[first + i]])
                continue;
            double part = s->shares[k].ns > 0 ? fabs(s->work[s->of_kind[first + i]] / s->shares[k].ns - 1) : 0;
            miss += (part < FAR ? part * part : FAR * FAR) * s->mean_ns[k];
        }
    }
    return miss;
}

/* ---- The search ---------------------------------------------------------------------------*/

/* Of the parts that explain as much as any the largest; the smallest where the time would change with it. */
static bool improve(struct sharing *s, uint32_t kind, double *least_p)
{
    double miss[N_PARTS], least = INFINITY;
    int best = s->is_told[kind] ? 0 : N_PARTS - 1;
    for (uint32_t i = 0; i < N_PARTS; i++) {
        s->shares[kind].part = parts[i];
        miss[i] = find_miss(s);
        least = miss[i] < least ? miss[i] : least;
    }
    while (miss[best] > least * ALIKE)
        best += s->is_told[kind] ? 1 : -1;
    bool is_better = miss[best] * ALIKE < *least_p;
    s->shares[kind].part = parts[best];
    *least_p = miss[best];
    return is_better;
}

static double search_from(struct sharing *s, double part)
{
    for (uint32_t k = 0; k < s->n_kinds; k++)
        s->shares[k].part = part;
    double least = find_miss(s);
    bool is_better = true;
    for (int round = 0; round < MOST_ROUNDS && is_better; round++) {
        is_better = false;
        for (uint32_t k = 0; k < s->n_kinds; k++)
            if (s->shares[k].n_tasks)
                is_better |= improve(s, k, &least);
    }
    return least;
}

/* From both ends, as one kind at a time may not come from one to the other. */
static void search(struct sharing *s)
{
    double from_top = search_from(s, parts[0]);
    for (uint32_t k = 0; k < s->n_kinds; k++)
        s->kept[k] = s->shares[k].part;
    bool is_top = search_from(s, parts[N_PARTS - 1]) > from_top * ALIKE;
    for (uint32_t k = 0; is_top && k < s->n_kinds; k++)
        s->shares[k].part = s->kept[k];
    find_miss(s); /* times by the parts that were best */
}

static void sort_kinds(struct sharing *s)
{
    for (uint32_t t = 0; t < s->n; t++)
        s->kind_at[s->tasks[t].kind + 1]++;
    for (uint32_t k = 0; k < s->n_kinds; k++) {
        s->shares[k].part = 1;
        s->shares[k].n_tasks = s->kind_at[k + 1];
        s->kind_at[k + 1] += s->kind_at[k];
    }
    for (uint32_t t = s->n; t-- > 0;) /* the ends of the kinds go down to their beginnings */
        s->of_kind[--s->kind_at[s->tasks[t].kind + 1]] = t;
    memmove(s->kind_at, s->kind_at + 1, s->n_kinds * sizeof *s->kind_at);
    s->kind_at[s->n_kinds] = s->n;
}

static void find_alone(struct sharing *s)
{
    for (uint32_t k = 0; k < s->n_kinds; k++) {
        uint32_t n = 0;
        for (uint32_t i = s->kind_at[k]; i < s->kind_at[k + 1]; i++) {
            const struct tgi_sharing_task *t = &s->tasks[s->of_kind[i]];
            double ns = (double)(t->end_ns - t->start_ns);
            s->mean_ns[k] += ns / s->shares[k].n_tasks;
            if (s->alone_ns[s->of_kind[i]] >= ALONE * ns)
                s->sorted[n++] = ns;
        }
        if (n >= LEAST_ALONE)
            s->shares[k].ns = median(s->sorted, n);
        s->is_told[k] = s->shares[k].ns > 0;
    }
}

/* Those that took much longer than equal parts would have made them: they got what others left. */
static void find_starved(struct sharing *s)
{
    for (uint32_t t = 0; t < s->n; t++) {
        const struct tgi_sharing_task *task = &s->tasks[t];
        double took = (double)(task->end_ns - task->start_ns), at_work = took > 0 ? s->company[t] / took : 1;
        s->is_starved[t] = s->is_told[task->kind] && took > STARVED * s->shares[task->kind].ns * at_work;
    }
}

static bool sharing_init(struct sharing *s)
{
    s->stretches = malloc((2 * (size_t)s->n + 1) * sizeof *s->stretches);
    s->work = calloc((size_t)s->n + 1, sizeof *s->work);
    s->alone_ns = calloc((size_t)s->n + 1, sizeof *s->alone_ns);
    s->company = calloc((size_t)s->n + 1, sizeof *s->company);
    s->is_starved = calloc((size_t)s->n + 1, 1);
    s->sorted = calloc((size_t)s->n + 1, sizeof *s->sorted);
    s->mean_ns = calloc((size_t)s->n_kinds + 1, sizeof *s->mean_ns);
    s->kept = calloc((size_t)s->n_kinds + 1, sizeof *s->kept);
    s->of_kind = calloc((size_t)s->n + 1, sizeof *s->of_kind);
    s->kind_at = calloc((size_t)s->n_kinds + 2, sizeof *s->kind_at);
    s->is_told = calloc((size_t)s->n_kinds + 1, sizeof *s->is_told);
    return s->stretches && s->work && s->alone_ns && s->company && s->is_starved && s->sorted && s->mean_ns && s->kept &&
           s->of_kind && s->kind_at && s->is_told;
}

int tgi_sharing_find(struct tgi_sharing_task *tasks, uint32_t n, uint32_t n_kinds, struct tgi_shared_time *shares, struct tg_error *err)
{
    struct sharing s = {.tasks = tasks, .n = n, .n_kinds = n_kinds, .shares = shares};
    if (n) /* without tasks there is no list */
        qsort(tasks, n, sizeof *tasks, compare_tasks);
    bool is_done = sharing_init(&s);
    if (is_done) {
        sort_kinds(&s);
        is_done = find_stretches(&s);
    }
    if (is_done) {
        find_alone(&s);
        find_starved(&s);
        search(&s);
    }
    free(s.stretches);
    free(s.at_work);
    free(s.work);
    free(s.alone_ns);
    free(s.company);
    free(s.is_starved);
    free(s.sorted);
    free(s.mean_ns);
    free(s.kept);
    free(s.of_kind);
    free(s.kind_at);
    free(s.is_told);
    return is_done ? 0 : tgi_error_memory(err, "the times of tasks beside each other");
}
