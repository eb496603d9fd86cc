/* See replay_choice.h. */
#include "sched/replay_choice.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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

static const struct tgi_replay_time *time_in_use(const struct tgi_replay_choice *c)
{
    return c->way == TGI_REPLAY_RESIDENT ? &c->resident : &c->replay;
}

/* A first start on streams is a cold one: what is slower than that is slow. */
static enum tgi_replay_reason reason_with_graph(struct tgi_replay_choice *c)
{
    const struct tgi_replay_time *replay = time_in_use(c);
    if (replay->n < SURE || c->streams.n == 0)
        return TGI_REPLAY_PAYS;
    if (replay->ns > CLEARLY * c->streams.ns)
        return TGI_REPLAY_SLOWER;
    return c->streams.n >= WARM ? TGI_REPLAY_FASTER : TGI_REPLAY_PAYS;
}

/* ---- Resident kernels ---------------------------------------------------------------------*/

/* Starts that another graph is good for; where their number is not known, as many as have been seen. */
static double starts_for_another(const struct tgi_replay_choice *c)
{
    uint64_t n_left = c->n_expected > c->n_starts ? c->n_expected - c->n_starts : 0;
    return (double)(c->n_expected ? n_left : c->n_replays);
}

static double compiling_ns(const struct tgi_replay_choice *c) { return c->clusters.is_compiled ? 0 : TGI_REPLAY_COMPILE_NS; }

/* What making the graph anew takes. */
static double making_again_ns(const struct tgi_replay_choice *c) { return c->made_ns > 0 ? c->made_ns : making_ns(c); }

static double saved_surely_ns(const struct tgi_replay_choice *c) { return c->clusters.sure.nodes_ns - c->clusters.sure.worst_ns; }

/* At most, of graphs that have been measured without them. */
static double saved_hopefully_ns(const struct tgi_replay_choice *c)
{
    double nodes_ns = TGI_GAIN_NODES_UP_TO * c->clusters.hoped.nodes_ns;
    return (nodes_ns < c->replay.ns ? nodes_ns : c->replay.ns) - c->clusters.hoped.resident_ns;
}

static bool resident_may_pay(const struct tgi_replay_choice *c)
{
    double make_ns = making_again_ns(c) + (double)c->clusters.hoped.n_tasks * TGI_REPLAY_PLAN_NS + compiling_ns(c);
    return c->clusters.hoped.n_tasks && !c->against[0] && starts_for_another(c) * saved_hopefully_ns(c) > make_ns;
}

/* Slower than streams, it would be given up, and nodes were never tried. */
static bool nodes_may_pay(const struct tgi_replay_choice *c)
{
    const struct tgi_gain *in_use = c->takes_hoped ? &c->clusters.hoped : &c->clusters.sure;
    if (c->streams.n && c->resident.ns > CLEARLY * c->streams.ns)
        return true;
    return starts_for_another(c) * (c->resident.ns - in_use->nodes_ns) > making_again_ns(c);
}

static void use(struct tgi_replay_choice *c, enum tgi_replay_way way)
{
    c->way = way;
    c->n_replays = 0;
}

static void turn_to(struct tgi_replay_choice *c, enum tgi_replay_way way)
{
    use(c, way);
    c->n_before = c->n_starts;
}

/* Which graph is used on, once that which is has been seen. */
static void reconsider(struct tgi_replay_choice *c)
{
    bool is_resident = c->way == TGI_REPLAY_RESIDENT;
    const struct tgi_replay_time *now = time_in_use(c), *other = is_resident ? &c->replay : &c->resident;
    if (now->n < SURE)
        return;
    if (other->n >= SURE) {
        if (now->ns > CLEARLY * other->ns && !c->against[0])
            turn_to(c, is_resident ? TGI_REPLAY_GRAPH : TGI_REPLAY_RESIDENT);
    } else if (is_resident && nodes_may_pay(c))
        turn_to(c, TGI_REPLAY_GRAPH);
    else if (!is_resident && resident_may_pay(c)) {
        c->takes_hoped = true;
        turn_to(c, TGI_REPLAY_RESIDENT);
    }
}

bool tgi_replay_weigh(struct tgi_replay_choice *c, const struct tgi_replay_clusters *clusters)
{
    if (c->is_weighed)
        return c->way == TGI_REPLAY_RESIDENT;
    c->is_weighed = true;
    c->clusters = *clusters;
    double n = c->n_expected ? starts_for_another(c) : (double)c->n_starts;
    /* They are planned already. */
    bool is_resident = c->clusters.sure.n_tasks && !c->against[0] && n * saved_surely_ns(c) > compiling_ns(c);
    use(c, is_resident ? TGI_REPLAY_RESIDENT : TGI_REPLAY_GRAPH);
    return is_resident;
}

void tgi_replay_refuse_resident(struct tgi_replay_choice *c, const char *why)
{
    snprintf(c->against, sizeof c->against, "%s", why);
    c->is_weighed = true;
    use(c, TGI_REPLAY_GRAPH);
}

const struct tgi_gain *tgi_replay_gain(const struct tgi_replay_choice *c)
{
    const struct tgi_replay_clusters *k = &c->clusters;
    const struct tgi_gain *g = c->takes_hoped ? &k->hoped : k->sure.n_tasks ? &k->sure : &k->possible;
    return c->against[0] || !g->n_tasks ? NULL : g;
}

/* ---- Starts -------------------------------------------------------------------------------*/

enum tgi_replay_way tgi_replay_choose(struct tgi_replay_choice *c)
{
    bool was_made = c->has_graph;
    if (was_made)
        reconsider(c);
    enum tgi_replay_reason reason = was_made ? reason_with_graph(c) : reason_without_graph(c);
    bool is_graph = reason == TGI_REPLAY_PAYS || reason == TGI_REPLAY_FASTER;
    if (!was_made) {
        c->n_before = c->n_starts;
        c->way = TGI_REPLAY_GRAPH;
    }
    c->reason = reason;
    c->has_graph |= is_graph;
    c->n_starts++;
    c->n_on_streams += !is_graph;
    c->n_replays += is_graph;
    return is_graph ? c->way : TGI_REPLAY_STREAMS;
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

/* Behind what is said already. */
static void say(char *text, size_t size, const char *format, ...) TG_PRINTF(3, 4);
static void say(char *text, size_t size, const char *format, ...)
{
    size_t n = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + n, size - n, format, args);
    va_end(args);
}

static const char *name_of(const struct tgi_replay_choice *c) { return c->way == TGI_REPLAY_RESIDENT ? "resident" : "graph"; }

static void explain_pays(const struct tgi_replay_choice *c, char *text, size_t size)
{
    say(text, size, "%s from start %llu on, as each saves up to %s and making it was to take %s", name_of(c),
        (unsigned long long)c->n_before + 1, time_of(c->saved_ns).text, time_of(c->make_ns).text);
    if (c->made_ns > 0)
        say(text, size, " (it took %s)", time_of(c->made_ns).text);
}

static void explain_dear(const struct tgi_replay_choice *c, char *text, size_t size)
{
    if (c->saved_ns <= 0) {
        say(text, size, "streams, as launching a graph of %llu commands takes the host no less than enqueuing them",
            (unsigned long long)n_commands(c));
        return;
    }
    uint64_t n = c->n_expected ? c->n_expected - c->n_before : c->n_on_streams;
    say(text, size, "streams, as a graph saves up to %s a start and takes %s to make%s, %llu start%s %s", time_of(c->saved_ns).text,
        time_of(c->make_ns).text, is_assumed(c) ? " (assumed, not measured yet)" : "", (unsigned long long)n, n == 1 ? "" : "s",
        c->n_expected ? "being left" : "having been seen");
}

static void explain_measured(const struct tgi_replay_choice *c, char *text, size_t size)
{
    say(text, size, "%s, as a start takes ", c->reason == TGI_REPLAY_SLOWER ? "streams" : name_of(c));
    if (c->resident.n)
        say(text, size, "%s with resident kernels, ", time_of(c->resident.ns).text);
    if (c->replay.n)
        say(text, size, "%s as a graph ", time_of(c->replay.ns).text);
    say(text, size, "and %s on streams; making graphs took %s", time_of(c->streams.ns).text, time_of(c->made_ns).text);
}

/* What was expected of resident kernels, and what came of it. */
static void explain_clusters(const struct tgi_replay_choice *c, char *text, size_t size)
{
    bool is_resident = c->way == TGI_REPLAY_RESIDENT;
    const struct tgi_gain *g = tgi_replay_gain(c);
    if (c->against[0])
        say(text, size, "; no task is resident: %s", c->against);
    if (!g)
        return;
    say(text, size, "; %llu task%s %s %s inside resident kernels, %s at worst%s, and %s or more as nodes", (unsigned long long)g->n_tasks,
        g->n_tasks == 1 ? "" : "s", is_resident || c->resident.n ? "were expected to take" : "would take", time_of(g->resident_ns).text,
        time_of(g->worst_ns).text, g->n_timed < g->n_tasks ? " (not all of them have been timed there)" : "", time_of(g->nodes_ns).text);
    if (!is_resident && !c->resident.n && c->clusters.sure.n_tasks)
        say(text, size, ", which saves too little for compiling their kernel in %s", time_of(compiling_ns(c)).text);
    else if (is_resident && c->takes_hoped && c->resident.n < SURE)
        say(text, size, ", so they are tried");
    if (is_resident && c->reason == TGI_REPLAY_PAYS && c->resident.n >= WARM)
        say(text, size, "; a start took %s", time_of(c->resident.ns).text);
}

void tgi_replay_explain(const struct tgi_replay_choice *c, char *text, size_t size)
{
    text[0] = '\0';
    switch (c->reason) {
    case TGI_REPLAY_SINGLE:
        say(text, size, "streams, as one start was asked for");
        return;
    case TGI_REPLAY_FIRST:
        say(text, size, "streams, as it was the first start");
        return;
    case TGI_REPLAY_UNKNOWN:
        say(text, size, "streams, as what they take was not known yet");
        return;
    case TGI_REPLAY_DEAR:
        explain_dear(c, text, size);
        return;
    case TGI_REPLAY_PAYS:
        explain_pays(c, text, size);
        break;
    case TGI_REPLAY_FASTER:
    case TGI_REPLAY_SLOWER:
        explain_measured(c, text, size);
    }
    explain_clusters(c, text, size);
}
