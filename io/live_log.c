/* Rounds name what is ahead of them in the log: the round they are in and the one before.  One that does not is left out, and so is what
 * is in it.  The record is then made once more, with the tasks of each round in place of those that were ahead. */
#include "io/live_log.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/recording_check.h"

struct round {
    const struct tgi_live_round *entry;
    const struct tgi_span *spans;
    uint32_t part;              /* that was ahead */
    uint32_t parent, previous;  /* among these; TG_NONE: the outermost graph, none */
    uint32_t first;             /* of its tasks in the new record; its gate stands before them */
    bool is_last;               /* of its control task */
};

struct taking {
    struct tgi_recording *r;    /* as it is in the file */
    struct round *rounds;
    uint32_t n_rounds;
    uint32_t *latest;           /* by task of the new record: the last round of a control task so far; TG_NONE */
    uint8_t *is_sink;           /* by task that is ahead: none of its own graph comes after it */
    struct tgi_recording_task *tasks; /* the new ones, with their edges */
    uint32_t *preds;
    uint64_t n_tasks, n_preds;
    struct tgi_recording_transfer *transfers;
    uint64_t n_transfers;
};

/* ---- Reading ------------------------------------------------------------------------------*/

static const struct tgi_recording_part *ahead_of(const struct taking *k, uint32_t round)
{
    return &k->r->parts[round == TG_NONE ? 0 : k->rounds[round].part];
}

/* In the new record; the outermost graph begins it. */
static uint32_t first_of(const struct taking *k, uint32_t round) { return round == TG_NONE ? 0 : k->rounds[round].first; }

/* By its number; they ascend.  TG_NONE: it is not there. */
static uint32_t find_round(const struct taking *k, uint32_t number)
{
    uint32_t low = 0, high = k->n_rounds;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (k->rounds[middle].entry->round < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < k->n_rounds && k->rounds[low].entry->round == number ? low : TG_NONE;
}

static bool is_control(const struct taking *k, uint32_t round, uint32_t task)
{
    const struct tgi_recording_part *p = ahead_of(k, round);
    return task < p->n_tasks && k->r->tasks[p->first + task].flags & TGI_RECORDED_FRAME;
}

static void take_round(struct taking *k, const struct tgi_live_round *e)
{
    struct round *round = &k->rounds[k->n_rounds];
    uint32_t parent = e->parent ? find_round(k, e->parent) : TG_NONE, previous = e->previous ? find_round(k, e->previous) : TG_NONE;
    if (e->part == 0 || e->part >= k->r->n_parts || (e->parent && parent == TG_NONE) || (e->previous && previous == TG_NONE) ||
        (k->n_rounds && e->round <= round[-1].entry->round) || !is_control(k, parent, e->parent_task))
        return;
    uint32_t n = k->r->parts[e->part].n_tasks, control = first_of(k, parent) + e->parent_task;
    if (e->n_words != (sizeof(*e) + n * sizeof(struct tgi_span)) / 8 || k->latest[control] != previous || k->n_tasks + n + 1 >= TG_NONE)
        return;
    *round = (struct round){e, (const struct tgi_span *)(e + 1), e->part, parent, previous, (uint32_t)k->n_tasks + 1, true};
    if (previous != TG_NONE)
        k->rounds[previous].is_last = false;
    k->latest[control] = k->n_rounds++;
    memset(k->latest + k->n_tasks, 0xff, ((size_t)n + 1) * sizeof(*k->latest));
    k->n_tasks += n + 1;
}

static uint32_t task_of(const struct taking *k, const struct tgi_live_copy *e)
{
    uint32_t round = e->round ? find_round(k, e->round) : TG_NONE;
    if (e->task == TG_NONE || (e->round && round == TG_NONE) || e->task >= ahead_of(k, round)->n_tasks)
        return TG_NONE;
    return first_of(k, round) + e->task;
}

static void take_copy(struct taking *k, const struct tgi_live_copy *e)
{
    const struct tgi_recording *r = k->r;
    if (e->n_words != sizeof(*e) / 8 || e->buffer >= r->n_buffers || e->from > r->n_devices || e->to > r->n_devices || e->from == e->to)
        return;
    k->transfers[k->n_transfers++] =
        (struct tgi_recording_transfer){e->bytes, 0, 0, e->from, e->to, e->buffer, e->tile, task_of(k, e), 0};
}

/* What stands at `at`, with its size; NULL: the end. */
static const uint64_t *entry_at(const struct tgi_recording *r, uint64_t at)
{
    uint64_t n = at < r->n_log ? r->log[at] : 0;
    return n >= sizeof(struct tgi_live_round) / 8 && n <= r->n_log - at ? &r->log[at] : NULL;
}

static uint32_t kind_of(const uint64_t *entry) { return ((const struct tgi_live_round *)entry)->kind; }

/* Room for all of them.  Of a file that says more than it can hold there is no memory. */
static bool reserve(struct taking *k)
{
    uint64_t n_rounds = 0, n_copies = 0, n_tasks = k->r->parts[0].n_tasks;
    const uint64_t *entry;
    for (uint64_t at = 1; (entry = entry_at(k->r, at)); at += *entry) {
        n_rounds += kind_of(entry) == TGI_LIVE_ROUND;
        n_copies += kind_of(entry) == TGI_LIVE_COPY;
        n_tasks += kind_of(entry) == TGI_LIVE_ROUND ? 1 + *entry / (sizeof(struct tgi_span) / 8) : 0;
    }
    k->rounds = calloc(n_rounds + 1, sizeof(*k->rounds));
    k->transfers = calloc(n_copies + 1, sizeof(*k->transfers));
    k->latest = malloc((n_tasks + 1) * sizeof(*k->latest));
    k->is_sink = malloc(k->r->n_tasks + 1);
    return k->rounds && k->transfers && k->latest && k->is_sink;
}

static void read_entries(struct taking *k)
{
    const uint64_t *entry;
    k->n_tasks = k->r->parts[0].n_tasks;
    memset(k->latest, 0xff, k->n_tasks * sizeof(*k->latest));
    for (uint64_t at = 1; (entry = entry_at(k->r, at)); at += *entry)
        if (kind_of(entry) == TGI_LIVE_ROUND)
            take_round(k, (const struct tgi_live_round *)entry);
        else if (kind_of(entry) == TGI_LIVE_COPY)
            take_copy(k, (const struct tgi_live_copy *)entry);
}

/* ---- Edges --------------------------------------------------------------------------------*/

static bool is_in(const struct tgi_recording_part *p, uint32_t task, uint32_t n_gates)
{
    return task + n_gates >= p->first && task - p->first + n_gates < p->n_tasks + n_gates;
}

static void find_sinks(struct taking *k)
{
    const struct tgi_recording *r = k->r;
    memset(k->is_sink, 1, r->n_tasks + 1);
    for (uint64_t t = 0; t < r->n_tasks; t++)
        for (uint32_t e = 0; e < r->tasks[t].n_preds; e++) {
            uint32_t before = r->preds[r->tasks[t].first_pred + e];
            if (r->tasks[before].part == r->tasks[t].part)
                k->is_sink[before] = 0;
        }
}

typedef void edge_fn(struct taking *k, uint32_t from, uint32_t to);

/* What comes before a task that is ahead, of its own graph and its gate. */
static void each_own_pred(struct taking *k, edge_fn *fn, uint32_t round, uint32_t task, uint32_t to)
{
    const struct tgi_recording_part *p = ahead_of(k, round);
    const struct tgi_recording_task *t = &k->r->tasks[task];
    for (uint32_t e = 0; e < t->n_preds; e++) {
        uint32_t before = k->r->preds[t->first_pred + e];
        if (is_in(p, before, round != TG_NONE))
            fn(k, first_of(k, round) + before - p->first, to);
    }
}

static void each_sink(struct taking *k, edge_fn *fn, uint32_t round, uint32_t to)
{
    const struct tgi_recording_part *p = ahead_of(k, round);
    for (uint32_t t = 0; t < p->n_tasks; t++)
        if (k->is_sink[p->first + t])
            fn(k, first_of(k, round) + t, to);
    if (p->n_tasks == 0)
        fn(k, first_of(k, round) - 1, to);
}

static void each_edge(struct taking *k, edge_fn *fn)
{
    for (uint32_t t = 0; t < k->r->parts[0].n_tasks; t++)
        each_own_pred(k, fn, TG_NONE, t, t);
    for (uint32_t i = 0; i < k->n_rounds; i++) {
        const struct round *round = &k->rounds[i];
        const struct tgi_recording_part *p = ahead_of(k, i);
        uint32_t control = ahead_of(k, round->parent)->first + round->entry->parent_task;
        for (uint32_t t = 0; t < p->n_tasks; t++)
            each_own_pred(k, fn, i, p->first + t, round->first + t);
        if (round->previous == TG_NONE)
            each_own_pred(k, fn, round->parent, control, round->first - 1);
        else
            each_sink(k, fn, round->previous, round->first - 1);
        if (round->is_last)
            each_sink(k, fn, i, first_of(k, round->parent) + round->entry->parent_task);
    }
}

static void count_edge(struct taking *k, uint32_t from, uint32_t to)
{
    (void)from;
    k->tasks[to].n_preds++;
    k->n_preds++;
}

static void put_edge(struct taking *k, uint32_t from, uint32_t to)
{
    struct tgi_recording_task *task = &k->tasks[to];
    k->preds[task->first_pred + task->n_preds++] = from;
}

static bool make_edges(struct taking *k)
{
    uint64_t at = 0;
    each_edge(k, count_edge);
    if (!(k->preds = malloc((k->n_preds + 1) * sizeof(*k->preds))))
        return false;
    for (uint64_t t = 0; t < k->n_tasks; t++) {
        k->tasks[t].first_pred = at;
        at += k->tasks[t].n_preds;
        k->tasks[t].n_preds = 0;
    }
    each_edge(k, put_edge);
    return true;
}

/* ---- The record ---------------------------------------------------------------------------*/

static struct tgi_recording_task fresh(const struct tgi_recording_task *ahead, uint32_t part)
{
    struct tgi_recording_task task = *ahead;
    task.part = part;
    task.n_preds = 0;
    task.ready_ns = 0;
    task.waited_for = TG_NONE;
    return task;
}

static bool make_tasks(struct taking *k, struct tgi_recording_part **parts_p)
{
    const struct tgi_recording *r = k->r;
    struct tgi_recording_part *parts = *parts_p = calloc((size_t)k->n_rounds + 1, sizeof(*parts));
    k->tasks = calloc(k->n_tasks + 1, sizeof(*k->tasks));
    if (!parts || !k->tasks)
        return false;
    parts[0] = r->parts[0];
    for (uint32_t t = 0; t < parts[0].n_tasks; t++)
        k->tasks[t] = fresh(&r->tasks[t], 0);
    for (uint32_t i = 0; i < k->n_rounds; i++) {
        const struct round *round = &k->rounds[i];
        const struct tgi_recording_part *p = ahead_of(k, i);
        parts[i + 1] = (struct tgi_recording_part){round->first, p->n_tasks, first_of(k, round->parent) + round->entry->parent_task, 0,
                                                   round->entry->number};
        for (uint32_t t = 0; t < p->n_tasks + 1; t++) /* the gate first */
            k->tasks[round->first - 1 + t] = fresh(&r->tasks[p->first - 1 + t], i + 1);
        k->tasks[round->first - 1].start_ns = k->tasks[round->first - 1].end_ns = 0;
    }
    return true;
}

/* The old ones go. */
static int put_tables(struct taking *k, struct tgi_recording_part *parts, struct tg_error *err)
{
    struct tgi_recording *r = k->r;
    free(r->parts);
    free(r->tasks);
    free(r->preds);
    free(r->transfers);
    r->parts = parts;
    r->tasks = k->tasks;
    r->preds = k->preds;
    r->transfers = k->transfers;
    r->n_parts = (uint64_t)k->n_rounds + 1;
    r->n_tasks = r->n_tasks_expected = k->n_tasks;
    r->n_preds = k->n_preds;
    r->n_transfers = k->n_transfers;
    while (r->n_places && r->places[r->n_places - 1].task >= r->parts[0].n_tasks)
        r->n_places--;
    k->tasks = NULL;
    k->preds = NULL;
    k->transfers = NULL;
    for (uint32_t i = 0; i < k->n_rounds; i++) {
        int rc = tgi_recording_take_spans(r, k->rounds[i].first, k->rounds[i].spans, r->parts[i + 1].n_tasks, err);
        if (rc)
            return rc;
    }
    return 0;
}

static void count_moved(struct tgi_recording *r)
{
    struct tgi_recording_head *h = &r->head;
    for (uint64_t i = 0; i < r->n_transfers; i++) {
        const struct tgi_recording_transfer *x = &r->transfers[i];
        *(x->to == 0 ? &h->to_host_bytes : x->from == 0 ? &h->to_device_bytes : &h->peer_bytes) += x->bytes;
        if (x->to)
            r->devices[x->to - 1].in_bytes += x->bytes;
        if (x->from)
            r->devices[x->from - 1].out_bytes += x->bytes;
    }
    h->n_copies = r->n_transfers;
}

/* A file that was cut before its spans has no log, and may lack tasks that are ahead. */
static bool is_complete(const struct tgi_recording *r)
{
    uint64_t n = 0;
    for (uint64_t i = 0; i < r->n_parts; i++) {
        n += i > 0;
        if (r->parts[i].first != n)
            return false;
        n += r->parts[i].n_tasks;
    }
    return r->n_parts && n == r->n_tasks;
}

static int take(struct taking *k, struct tg_error *err)
{
    struct tgi_recording_part *parts = NULL;
    if (!reserve(k))
        return tgi_error_memory(err, "reading the record of a run");
    read_entries(k);
    find_sinks(k);
    if (!make_tasks(k, &parts) || !make_edges(k)) {
        free(parts);
        return tgi_error_memory(err, "reading the record of a run");
    }
    return put_tables(k, parts, err);
}

int tgi_live_log_take(struct tgi_recording *r, struct tg_error *err)
{
    struct taking k = {.r = r};
    int rc = is_complete(r) ? take(&k, err) : 0;
    free(k.rounds);
    free(k.latest);
    free(k.is_sink);
    free(k.tasks);
    free(k.preds);
    free(k.transfers);
    if (rc)
        return rc;
    r->n_lost_live = r->n_log ? r->log[0] : 0;
    count_moved(r);
    tgi_recording_find_ready(r);
    return 0;
}
