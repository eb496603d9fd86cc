/* See order.h.
 *
 * Per lane: the number of its last command, how far it is known to be done, and a ring of recorded events
 * by number.  An event is used again once it is done: nobody waits for a stamp that is.
 *
 * Events of others count as the commands of one more lane, the last of every vector clock: whoever knows the nth has
 * waited for all up to it.  A lane waits for them when it gets its next command, unless the lanes it waits for have done so. */
#include "mem/order.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "graph/vec.h"
#include "mem/recorder.h"

struct mark {
    struct tgi_event *event; /* NULL: not created yet */
    uint64_t seq;
    uint64_t *known;         /* by lane, and of the events of others: what this lane had waited for when it was recorded */
};

struct lane {
    uint64_t tail, done;
    uint64_t *known;         /* by lane: it comes after commands up to this one; last: after the events of others up to this */
    struct mark *marks;      /* a ring, in order of seq */
    uint32_t first, n, cap;  /* cap: a power of two */
};

struct tgi_order {
    struct tgi_devices *devices;
    struct tgi_recorder *recorder; /* NULL: lanes are real; else it knows the order, and there are no marks */
    struct lane *lanes;
    uint32_t n_lanes;
    struct foreign {
        struct tgi_event *event;
        uint64_t seq;
    } *foreign;              /* events of others that are not forgotten, by seq */
    uint32_t n_foreign, cap_foreign;
    uint64_t last_foreign;
    struct tgi_order_stats stats;
};

static inline size_t n_known(const struct tgi_order *o) { return (size_t)o->n_lanes + 1; }

static inline struct mark *mark_at(struct lane *l, uint32_t i) { return &l->marks[(l->first + i) & (l->cap - 1)]; }

/* ---- Marks --------------------------------------------------------------------------------*/

static bool ring_grow(struct lane *l)
{
    uint32_t cap = l->cap ? 2 * l->cap : 16;
    struct mark *marks = calloc(cap, sizeof *marks);
    if (!marks)
        return false;
    for (uint32_t i = 0; i < l->cap; i++)
        marks[i] = *mark_at(l, i);
    free(l->marks);
    l->marks = marks;
    l->first = 0;
    l->cap = cap;
    return true;
}

/* The earliest mark at or after seq; NULL: none. */
static struct mark *find_mark(struct lane *l, uint64_t seq)
{
    uint32_t low = 0, high = l->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (mark_at(l, middle)->seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low < l->n ? mark_at(l, low) : NULL;
}

int tgi_order_seal(struct tgi_order *o, uint32_t lane, struct tg_error *err)
{
    struct lane *l = &o->lanes[lane];
    if (o->recorder || l->tail == l->done || (l->n && mark_at(l, l->n - 1)->seq == l->tail))
        return 0;
    if (l->n == l->cap && !ring_grow(l))
        return tgi_error_memory(err, "keeping events");
    struct mark *m = mark_at(l, l->n);
    if (!m->known && !(m->known = malloc(n_known(o) * sizeof *m->known)))
        return tgi_error_memory(err, "keeping events");
    int rc = m->event ? 0 : o->devices->ops->event_create(o->devices, tgi_lane_device(lane), false, &m->event, err);
    if (rc == 0)
        rc = o->devices->ops->record(o->devices, lane, m->event, err);
    if (rc)
        return rc;
    m->seq = l->tail;
    memcpy(m->known, l->known, n_known(o) * sizeof *m->known);
    m->known[lane] = l->tail;
    l->n++;
    o->stats.n_records++;
    return 0;
}

/* ---- Waiting ------------------------------------------------------------------------------*/

bool tgi_order_is_done(const struct tgi_order *o, struct tgi_stamp s)
{
    return s.lane == TG_NONE || s.seq <= o->lanes[s.lane].done; /* while recording nothing ever is: seq begins at 1 */
}

bool tgi_order_knows(const struct tgi_order *o, uint32_t lane, struct tgi_stamp s)
{
    return tgi_order_is_done(o, s) || (!o->recorder && (s.lane == lane || o->lanes[lane].known[s.lane] >= s.seq));
}

int tgi_order_wait(struct tgi_order *o, uint32_t lane, struct tgi_stamp s, struct tg_error *err)
{
    if (tgi_order_knows(o, lane, s)) {
        o->stats.n_implied++;
        return 0;
    }
    if (o->recorder) {
        tgi_recorder_wait(o->recorder, lane, s);
        return 0;
    }
    struct lane *of = &o->lanes[s.lane], *l = &o->lanes[lane];
    struct mark *m = find_mark(of, s.seq);
    if (!m) {
        int rc = tgi_order_seal(o, s.lane, err);
        if (rc)
            return rc;
        m = mark_at(of, of->n - 1);
    }
    int rc = o->devices->ops->wait(o->devices, lane, m->event, err);
    if (rc)
        return rc;
    o->stats.n_waits++;
    for (size_t i = 0; i < n_known(o); i++)
        l->known[i] = m->known[i] > l->known[i] ? m->known[i] : l->known[i];
    return 0;
}

static int wait_for_foreign(struct tgi_order *o, uint32_t lane, struct tg_error *err)
{
    uint64_t *known = &o->lanes[lane].known[o->n_lanes];
    for (uint32_t i = 0; i < o->n_foreign && *known < o->last_foreign; i++) {
        if (o->foreign[i].seq <= *known)
            continue;
        int rc = o->devices->ops->wait(o->devices, lane, o->foreign[i].event, err);
        if (rc)
            return rc;
        o->stats.n_waits++;
        *known = o->foreign[i].seq;
    }
    *known = o->last_foreign; /* what was forgotten needs no wait */
    return 0;
}

/* Who waits for `by` comes after s as well. */
static bool is_implied(struct tgi_order *o, struct tgi_stamp s, struct tgi_stamp by)
{
    struct lane *of = &o->lanes[by.lane];
    const struct mark *m = find_mark(of, by.seq);
    return (m ? m->known : of->known)[s.lane] >= s.seq; /* no event yet: it would be recorded now */
}

/* lane TG_NONE: somebody who knows nothing. */
static bool is_known(struct tgi_order *o, uint32_t lane, struct tgi_stamp s)
{
    return lane == TG_NONE ? tgi_order_is_done(o, s) : tgi_order_knows(o, lane, s);
}

static uint32_t reduce(struct tgi_order *o, uint32_t lane, struct tgi_stamp *stamps, uint32_t n)
{
    /* One after the other, as two may imply each other. */
    for (uint32_t i = 0; i < n;) {
        bool is_needless = is_known(o, lane, stamps[i]);
        for (uint32_t k = 0; k < n && !is_needless; k++)
            is_needless = k != i && !is_known(o, lane, stamps[k]) && stamps[k].lane != stamps[i].lane &&
                          is_implied(o, stamps[i], stamps[k]);
        if (is_needless) {
            o->stats.n_implied++;
            stamps[i] = stamps[--n];
        } else {
            i++;
        }
    }
    return n;
}

uint32_t tgi_order_reduce(struct tgi_order *o, struct tgi_stamp *stamps, uint32_t n) { return reduce(o, TG_NONE, stamps, n); }

int tgi_order_wait_all(struct tgi_order *o, uint32_t lane, struct tgi_stamp *stamps, uint32_t n, struct tg_error *err)
{
    int rc = 0;
    if (!o->recorder) /* which finds by itself what is implied */
        n = reduce(o, lane, stamps, n);
    for (uint32_t i = 0; rc == 0 && i < n; i++)
        rc = tgi_order_wait(o, lane, stamps[i], err);
    return rc ? rc : wait_for_foreign(o, lane, err);
}

struct tgi_stamp tgi_order_both(struct tgi_order *o, struct tgi_stamp a, struct tgi_stamp b)
{
    if (o->recorder)
        return tgi_recorder_join(o->recorder, a, b);
    return a.seq < b.seq ? b : a;
}

int tgi_order_follow(struct tgi_order *o, struct tgi_event *event, struct tg_error *err)
{
    if (!tgi_vec_reserve(&o->foreign, &o->cap_foreign, (uint64_t)o->n_foreign + 1, sizeof *o->foreign))
        return tgi_error_memory(err, "keeping events");
    o->foreign[o->n_foreign++] = (struct foreign){event, ++o->last_foreign};
    return 0;
}

void tgi_order_forget(struct tgi_order *o, const struct tgi_event *event)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < o->n_foreign; i++)
        if (o->foreign[i].event != event)
            o->foreign[n++] = o->foreign[i];
    o->n_foreign = n;
}

/* ---- Progress -----------------------------------------------------------------------------*/

struct tgi_stamp tgi_order_append(struct tgi_order *o, uint32_t lane)
{
    if (o->recorder)
        return tgi_recorder_append(o->recorder, lane);
    return (struct tgi_stamp){lane, ++o->lanes[lane].tail};
}

struct tgi_stamp tgi_order_tail(const struct tgi_order *o, uint32_t lane)
{
    if (o->recorder)
        return TGI_STAMP_NONE;
    return (struct tgi_stamp){lane, o->lanes[lane].tail};
}

bool tgi_order_is_tail(const struct tgi_order *o, struct tgi_stamp s)
{
    return s.lane != TG_NONE && o->lanes[s.lane].tail == s.seq;
}

uint64_t tgi_order_n_pending(const struct tgi_order *o, uint32_t lane)
{
    return o->lanes[lane].tail - o->lanes[lane].done;
}

/* The oldest first: most looks find it not done, which is one call.  Of what is behind one that is done, half each time. */
int tgi_order_poll(struct tgi_order *o, uint32_t lane, struct tg_error *err)
{
    struct lane *l = &o->lanes[lane];
    uint32_t n_done = 0, n_open = l->n; /* marks before the first are over, those from the second on are not */
    while (n_done < n_open) {
        uint32_t at = n_done == 0 ? 0 : n_done + (n_open - n_done) / 2;
        int answer = o->devices->ops->query(o->devices, mark_at(l, at)->event, err);
        if (answer < 0)
            return answer;
        if (answer == 0)
            n_open = at;
        else
            n_done = at + 1;
    }
    if (n_done == 0)
        return 0;
    l->done = mark_at(l, n_done - 1)->seq;
    l->first = (l->first + n_done) & (l->cap - 1);
    l->n -= n_done;
    return 0;
}

int tgi_order_synchronize(struct tgi_order *o, struct tgi_stamp s, struct tg_error *err)
{
    if (tgi_order_is_done(o, s))
        return 0;
    if (o->recorder)
        return tgi_error(err, TG_E_STATE, "what is recorded cannot be waited for");
    struct lane *l = &o->lanes[s.lane];
    struct mark *m = find_mark(l, s.seq);
    int rc = m ? 0 : tgi_order_seal(o, s.lane, err);
    if (rc)
        return rc;
    m = m ? m : mark_at(l, l->n - 1);
    rc = o->devices->ops->synchronize(o->devices, m->event, err);
    return rc ? rc : tgi_order_poll(o, s.lane, err);
}

void tgi_order_drained(struct tgi_order *o, uint32_t lane)
{
    struct lane *l = &o->lanes[lane];
    l->done = l->tail;
    l->first = l->cap ? (l->first + l->n) & (l->cap - 1) : 0;
    l->n = 0;
}

/* ---- Life ---------------------------------------------------------------------------------*/

int tgi_order_create(struct tgi_devices *devices, struct tgi_order **order_p, struct tg_error *err)
{
    struct tgi_order *o = calloc(1, sizeof *o);
    if (!o)
        return tgi_error_memory(err, "ordering lanes");
    o->devices = devices;
    o->n_lanes = devices->n_lanes;
    o->lanes = calloc(o->n_lanes, sizeof *o->lanes);
    bool ok = o->lanes != NULL;
    for (uint32_t i = 0; ok && i < o->n_lanes; i++)
        ok = (o->lanes[i].known = calloc(n_known(o), sizeof *o->lanes[i].known)) != NULL;
    if (!ok) {
        tgi_order_destroy(o);
        return tgi_error_memory(err, "ordering lanes");
    }
    *order_p = o;
    return 0;
}

int tgi_order_create_recording(struct tgi_recorder *recorder, struct tgi_order **order_p, struct tg_error *err)
{
    int rc = tgi_order_create(tgi_recorder_devices(recorder), order_p, err);
    if (rc == 0)
        (*order_p)->recorder = recorder;
    return rc;
}

static void lane_fini(struct tgi_order *o, struct lane *l)
{
    for (uint32_t i = 0; i < l->cap; i++) {
        if (l->marks[i].event)
            o->devices->ops->event_destroy(o->devices, l->marks[i].event);
        free(l->marks[i].known);
    }
    free(l->marks);
    free(l->known);
}

void tgi_order_destroy(struct tgi_order *o)
{
    if (!o)
        return;
    bool is_attached = !o->recorder && o->devices->ops->attach(o->devices, NULL) == 0; /* a recorder's has no events */
    for (uint32_t i = 0; o->lanes && i < o->n_lanes; i++)
        lane_fini(o, &o->lanes[i]);
    if (is_attached)
        o->devices->ops->detach(o->devices);
    free(o->lanes);
    free(o->foreign);
    free(o);
}

void tgi_order_stats(const struct tgi_order *o, struct tgi_order_stats *stats_p) { *stats_p = o->stats; }
