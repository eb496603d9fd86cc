/* See replay_choice.h. */
#include "sched/replay_choice.h"

#include <stdio.h>

enum {
    WARM = 2, /* times of which the last are not cold */
    SURE = 4  /* that are enough to go back to streams by */
};
#define SMOOTHING 4.0
/* A graph is given up for streams only if they are faster by more than times vary anyway. */
#define CLEARLY 1.02

void tgi_replay_time_add(struct tgi_replay_time *t, double ns)
{
    t->ns = t->n < WARM ? ns : t->ns + (ns - t->ns) / SMOOTHING;
    t->n++;
}

static uint64_t n_commands(const struct tgi_replay_choice *c) { return c->n_commands ? c->n_commands : c->n_tasks; }

static bool is_assumed(const struct tgi_replay_choice *c)
{
    return c->costs.ns[TGI_REPLAY_RECORD] <= 0 || c->costs.ns[TGI_REPLAY_INSTANTIATE] <= 0;
}

static double making_ns(const struct tgi_replay_choice *c)
{
    return (double)n_commands(c) *
           (is_assumed(c) ? TGI_REPLAY_ASSUMED_NS : c->costs.ns[TGI_REPLAY_RECORD] + c->costs.ns[TGI_REPLAY_INSTANTIATE]);
}

/* False: streams have not been seen, neither here nor before. */
static bool find_saved(const struct tgi_replay_choice *c, double *ns_p)
{
    double submit = c->submit.n >= WARM ? c->submit.ns : c->costs.ns[TGI_REPLAY_SUBMIT] * (double)c->n_tasks;
    *ns_p = submit - c->costs.ns[TGI_REPLAY_LAUNCH] * (double)n_commands(c);
    return submit > 0;
}

static enum tgi_replay_reason reason_without_graph(struct tgi_replay_choice *c)
{
    if (c->n_expected == 1)
        return TGI_REPLAY_SINGLE;
    if (c->n_starts == 0)
        return TGI_REPLAY_FIRST;
    if (!find_saved(c, &c->saved_ns))
        return TGI_REPLAY_UNKNOWN;
    uint64_t n_left = c->n_expected > c->n_starts ? c->n_expected - c->n_starts : 0;
    uint64_t n = c->n_expected ? n_left : c->n_on_streams;
    c->make_ns = making_ns(c);
    return c->saved_ns > 0 && (double)n * c->saved_ns > c->make_ns ? TGI_REPLAY_PAYS : TGI_REPLAY_DEAR;
}

/* A first start on streams is a cold one: what is slower than that is slow. */
static enum tgi_replay_reason reason_with_graph(struct tgi_replay_choice *c)
{
    if (c->replay.n < SURE || c->streams.n == 0)
        return TGI_REPLAY_PAYS;
    if (c->replay.ns > CLEARLY * c->streams.ns)
        return TGI_REPLAY_SLOWER;
    return c->streams.n >= WARM ? TGI_REPLAY_FASTER : TGI_REPLAY_PAYS;
}

bool tgi_replay_choose(struct tgi_replay_choice *c)
{
    bool was_made = c->has_graph;
    enum tgi_replay_reason reason = was_made ? reason_with_graph(c) : reason_without_graph(c);
    bool is_graph = reason == TGI_REPLAY_PAYS || reason == TGI_REPLAY_FASTER;
    if (!was_made)
        c->n_before = c->n_starts;
    c->reason = reason;
    c->has_graph |= is_graph;
    c->n_starts++;
    c->n_on_streams += !is_graph;
    return is_graph;
}

/* ---- In words -----------------------------------------------------------------------------*/

struct spelled {
    char text[24];
};

static struct spelled time_of(double ns)
{
    struct spelled s;
    snprintf(s.text, sizeof s.text, ns < 1e6 ? "%.1f us" : "%.2f ms", ns / (ns < 1e6 ? 1e3 : 1e6));
    return s;
}

static void explain_pays(const struct tgi_replay_choice *c, char *text, size_t size)
{
    int n = snprintf(text, size, "graph from start %llu on, as each saves up to %s and making it was to take %s",
                     (unsigned long long)c->n_before + 1, time_of(c->saved_ns).text, time_of(c->make_ns).text);
    if (c->made_ns > 0 && n >= 0 && (size_t)n < size)
        snprintf(text + n, size - (size_t)n, " (it took %s)", time_of(c->made_ns).text);
}

static void explain_dear(const struct tgi_replay_choice *c, char *text, size_t size)
{
    if (c->saved_ns <= 0) {
        snprintf(text, size, "streams, as launching a graph of %llu commands takes the host no less than enqueuing them",
                 (unsigned long long)n_commands(c));
        return;
    }
    uint64_t n = c->n_expected ? c->n_expected - c->n_before : c->n_on_streams;
    snprintf(text, size, "streams, as a graph saves up to %s a start and takes %s to make%s, %llu start%s %s", time_of(c->saved_ns).text,
             time_of(c->make_ns).text, is_assumed(c) ? " (assumed, not measured yet)" : "", (unsigned long long)n, n == 1 ? "" : "s",
             c->n_expected ? "being left" : "having been seen");
}

void tgi_replay_explain(const struct tgi_replay_choice *c, char *text, size_t size)
{
    switch (c->reason) {
    case TGI_REPLAY_SINGLE:
        snprintf(text, size, "streams, as one start was asked for");
        return;
    case TGI_REPLAY_FIRST:
        snprintf(text, size, "streams, as it was the first start");
        return;
    case TGI_REPLAY_UNKNOWN:
        snprintf(text, size, "streams, as what they take was not known yet");
        return;
    case TGI_REPLAY_DEAR:
        explain_dear(c, text, size);
        return;
    case TGI_REPLAY_PAYS:
        explain_pays(c, text, size);
        return;
    default:
        snprintf(text, size, "%s, as a start takes %s as a graph and %s on streams; making graphs took %s",
                 c->reason == TGI_REPLAY_FASTER ? "graph" : "streams", time_of(c->replay.ns).text, time_of(c->streams.ns).text,
                 time_of(c->made_ns).text);
    }
}
