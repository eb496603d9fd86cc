/* Whether what a file says fits together, and the tasks that had ended in one of a run that did not end. */
#include "io/recording_check.h"

#include <stdlib.h>

#include "graph/error.h"

/* ---- Fitting together ---------------------------------------------------------------------*/

static bool is_string(const struct tgi_recording *r, uint32_t offset) { return offset < r->n_strings; }

static bool check_tables(const struct tgi_recording *r)
{
    const struct tgi_recording_head *h = &r->head;
    bool is_good = is_string(r, h->name) && is_string(r, h->file) && is_string(r, h->policy) && is_string(r, h->outcome) &&
                   is_string(r, h->version) && is_string(r, h->machine) && (r->is_cut || h->n_workers <= r->n_lanes) &&
                   h->memory_ns >= 0 && h->memory_ns < 0x1p62 && h->links_ns >= 0 && h->links_ns < 0x1p62;
    for (uint64_t i = 0; i < r->n_kernels; i++)
        is_good &= is_string(r, r->kernels[i].name) && is_string(r, r->kernels[i].variant) &&
                   is_string(r, r->kernels[i].device_variant);
    for (uint64_t i = 0; i < r->n_devices; i++)
        is_good &= is_string(r, r->devices[i].kind) && is_string(r, r->devices[i].name);
    for (uint64_t i = 0; i < r->n_lanes; i++)
        is_good &= r->lanes[i].device == TG_NONE || r->lanes[i].device < r->n_devices;
    for (uint64_t i = 0; i < r->n_buffers; i++)
        is_good &= is_string(r, r->buffers[i].name);
    for (uint64_t i = 0; i < r->n_transfers; i++) {
        const struct tgi_recording_transfer *x = &r->transfers[i];
        is_good &= x->from <= r->n_devices && x->to <= r->n_devices && (x->task == TG_NONE || x->task < r->n_tasks) &&
                   (x->buffer == TG_NONE || x->buffer < r->n_buffers);
    }
    return is_good;
}

/* By task, ascending, as those who look one up expect. */
static bool check_choices(const struct tgi_recording *r)
{
    for (uint64_t i = 0; i < r->n_steals; i++) {
        const struct tgi_recording_steal *s = &r->steals[i];
        if (s->task >= r->n_tasks || (s->victim != TG_NONE && s->victim >= r->n_lanes) || (i > 0 && s->task <= s[-1].task))
            return false;
    }
    for (uint64_t i = 0; i < r->n_places; i++) {
        const struct tgi_recording_place *p = &r->places[i];
        if (p->task >= r->n_tasks || p->node == 0 || p->node > r->n_devices || (i > 0 && p->task < p[-1].task) ||
            !(p->busy_ns >= 0 && p->busy_ns < 0x1p62) || !(p->move_ns >= 0 && p->move_ns < 0x1p62))
            return false;
    }
    for (uint64_t i = 0; i < r->n_offers; i++) {
        const struct tgi_recording_offer *o = &r->offers[i];
        const double terms[] = {o->ready_ns, o->move_ns, o->wait_ns, o->work_ns, o->contention_ns, o->after_ns};
        if (o->task >= r->n_tasks || o->node > r->n_devices || (i > 0 && o->task < o[-1].task))
            return false;
        for (size_t k = 0; k < sizeof(terms) / sizeof(*terms); k++)
            if (!(terms[k] >= 0 && terms[k] < 0x1p62))
                return false;
    }
    for (uint64_t i = 0; i < r->n_memory; i++) {
        const struct tgi_recording_memory *m = &r->memory[i];
        if (m->node > r->n_devices || m->at_ns > (uint64_t)1 << 62 ||
            (i > 0 && (m->node < m[-1].node || (m->node == m[-1].node && m->at_ns < m[-1].at_ns))))
            return false;
    }
    return true;
}

static bool check_parts(const struct tgi_recording *r)
{
    for (uint64_t i = 0; i < r->n_parts; i++) {
        const struct tgi_recording_part *p = &r->parts[i];
        if (i == 0 ? p->parent != TG_NONE || p->first != 0 : p->first == 0 || p->parent >= p->first - 1)
            return false;
        if (i > 0 && p->parent < r->n_tasks && r->tasks[p->parent].part >= i)
            return false;
        if (!r->is_cut && (uint64_t)p->first + p->n_tasks > r->n_tasks)
            return false;
    }
    return r->n_parts > 0 || r->n_tasks == 0;
}

static bool check_tasks(const struct tgi_recording *r)
{
    uint64_t pred = 0; /* nobody's yet: sharing would make few bytes of file a lot of work */
    for (uint64_t i = 0; i < r->n_tasks; i++) {
        const struct tgi_recording_task *t = &r->tasks[i];
        if (!is_string(r, t->name) || t->kernel >= r->n_kernels || t->part >= r->n_parts ||
            (t->lane != TG_NONE && t->lane >= r->n_lanes) || t->end_ns < t->start_ns ||
            (t->waited_for != TG_NONE && t->waited_for >= r->n_tasks) || t->end_ns > (uint64_t)1 << 62 ||
            i + 1 < r->parts[t->part].first || i - r->parts[t->part].first + 1 > r->parts[t->part].n_tasks ||
            t->first_pred < pred || t->first_pred > r->n_preds || t->n_preds > r->n_preds - t->first_pred)
            return false;
        pred = t->first_pred + t->n_preds;
    }
    for (uint64_t i = 0; i < r->n_preds; i++)
        if (r->preds[i] >= r->n_tasks)
            return false;
    return true;
}

void tgi_recording_forget_lost(struct tgi_recording *r)
{
    uint64_t pred = 0;
    for (uint64_t i = 0; i < r->n_tasks; i++) {
        struct tgi_recording_task *t = &r->tasks[i];
        if (t->first_pred < pred || t->first_pred > r->n_preds || t->n_preds > r->n_preds - t->first_pred) {
            t->first_pred = pred;
            t->n_preds = 0;
        }
        pred = t->first_pred + t->n_preds;
        for (uint32_t e = 0; e < t->n_preds; e++)
            if (r->preds[t->first_pred + e] >= r->n_tasks) {
                t->n_preds = 0;
                break;
            }
        if (t->waited_for != TG_NONE && t->waited_for >= r->n_tasks)
            t->waited_for = TG_NONE;
    }
    for (uint64_t i = 0; i < r->n_preds; i++)
        r->preds[i] = r->preds[i] < r->n_tasks ? r->preds[i] : 0;
    r->n_preds = r->n_tasks ? r->n_preds : 0;
}

bool tgi_recording_is_sound(const struct tgi_recording *r)
{
    return check_tables(r) && check_parts(r) && check_tasks(r) && check_choices(r);
}

/* ---- Runs that did not end ----------------------------------------------------------------*/

/* A process may be killed between any two stores, and the spans have no checksum: what makes no sense did not run.  Who writes a span
 * writes its end last, so one that has an end is whole. */
static bool is_whole_span(const struct tgi_span *s)
{
    return s->end_ns > 0 && s->end_ns >= s->start_ns && s->end_ns <= (uint64_t)1 << 62 && s->state <= TG_TASK_SKIPPED;
}

static void take_span(struct tgi_recording *r, uint32_t t, const struct tgi_span *s)
{
    struct tgi_recording_task *task = &r->tasks[t];
    task->start_ns = s->start_ns;
    task->end_ns = s->end_ns;
    task->lane = s->worker < r->n_lanes ? s->worker : TG_NONE;
    task->attempts = s->attempts;
    task->state = s->state == TG_TASK_FAILED ? TG_TASK_FAILED : TG_TASK_DONE;
    r->n_ended++;
    if (s->end_ns > r->head.makespan_ns)
        r->head.makespan_ns = s->end_ns;
    if (!s->victim)
        return;
    task->flags |= TGI_RECORDED_STOLEN;
    bool is_lane = s->victim <= r->head.n_workers && s->victim <= r->n_lanes; /* of a file that was cut lanes may be missing */
    r->steals[r->n_steals++] = (struct tgi_recording_steal){t, is_lane ? s->victim - 1u : TG_NONE};
}

int tgi_recording_take_spans(struct tgi_recording *r, uint32_t first, const struct tgi_span *spans, uint64_t n, struct tg_error *err)
{
    uint64_t n_stolen = 0;
    for (uint64_t t = 0; t < n; t++)
        n_stolen += spans[t].victim != 0;
    struct tgi_recording_steal *steals = n_stolen ? realloc(r->steals, (r->n_steals + n_stolen) * sizeof(*steals)) : r->steals;
    if (!steals)
        return tgi_error_memory(err, "reading the record of a run");
    r->steals = steals;
    for (uint64_t t = 0; t < n; t++)
        if (is_whole_span(&spans[t]))
            take_span(r, first + (uint32_t)t, &spans[t]);
    return 0;
}
