/* Whether the next start of a run goes to streams or is replayed as a graph (offload_graph.h), and whether that graph has resident
 * kernels (resident_gain.h), if the run leaves that open.
 *
 * Making a graph costs once and saves with every start after that.  How many starts there will be is known, or it is not:
 *
 *   known    the graph is made as soon as the starts that are left save more than it costs;
 *   unknown  once the starts so far would have saved as much as it costs, as who rents skis buys them when rent has
 *            come to their price: that is at most twice of what knowing would have cost.
 *
 * Before both were seen, a replay saves at most what the host takes to enqueue a start on streams less what it takes to launch a
 * graph.  After that, it saves what was measured, and a graph that turns out slower is given up.  The first start always goes
 * to streams: its data are not where later starts find them, so that its graph would be good for it alone.
 *
 * Once a graph has been recorded it is known which clusters there could be in it, and what they are expected to take.  Those that surely
 * gain become kernels at once, if what they gain pays for compiling these.  Else the graph is made without, and measured.  Then, by
 * the same rule of starts and costs:
 *
 *   a graph without kernels, where some might gain, is made again with them;
 *   one with kernels that takes longer than nodes would take at the least is made again without;
 *   and the one that was measured to be faster stays.
 *
 * Knows no device and no clock: who uses it notes times.  One thread at a time. */
#ifndef TGI_SCHED_REPLAY_CHOICE_H
#define TGI_SCHED_REPLAY_CHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sched/resident_gain.h"

/* What this machine took before, of runs of about this size (replay_costs.h); 0: nothing was measured. */
enum tgi_replay_cost {
    TGI_REPLAY_RECORD,      /* a command */
    TGI_REPLAY_INSTANTIATE, /* a command */
    TGI_REPLAY_UPDATE,      /* a graph that is changed in place, a command of it */
    TGI_REPLAY_LAUNCH,      /* the host's part of a replay, a command */
    TGI_REPLAY_SUBMIT,      /* the host's part of a start on streams, a task */
    TGI_REPLAY_COPY,        /* how far small copies from the host follow each other in a replay */
    TGI_REPLAY_ON_STREAMS,  /* a start on streams of a task that does nothing, less enqueuing it: what begins and ends a run */
    TGI_REPLAY_AS_GRAPH,    /* the same as a replay, less the host's part of it */
    TGI_N_REPLAY_COSTS
};
struct tgi_replay_costs {
    double ns[TGI_N_REPLAY_COSTS];
};
/* Of a command whose making nobody has measured yet; summaries say where it was used. */
#define TGI_REPLAY_ASSUMED_NS 8000.0
/* Of a resident kernel that has to be compiled: NVRTC took about that on the machine of docs/PERFORMANCE.md; planning, a task, at most. */
#define TGI_REPLAY_COMPILE_NS 650e6
#define TGI_REPLAY_PLAN_NS 1000.0

/* A time that is seen again and again; the first is left out of it once there is another, as it is when all is cold. */
struct tgi_replay_time {
    double ns; /* smoothed; 0: none was seen */
    uint32_t n;
};
void tgi_replay_time_add(struct tgi_replay_time *time, double ns);

enum tgi_replay_reason {
    TGI_REPLAY_SINGLE,   /* streams: no other start will come */
    TGI_REPLAY_FIRST,    /* streams: it is the first one */
    TGI_REPLAY_UNKNOWN,  /* streams: what they take is still to be seen */
    TGI_REPLAY_DEAR,     /* streams: a graph would not pay, or not yet */
    TGI_REPLAY_PAYS,     /* graph */
    TGI_REPLAY_FASTER,   /* graph: both were measured */
    TGI_REPLAY_SLOWER    /* streams: both were measured */
};

enum tgi_replay_way {
    TGI_REPLAY_STREAMS,
    TGI_REPLAY_GRAPH,   /* all tasks are nodes */
    TGI_REPLAY_RESIDENT /* some are inside resident kernels */
};

/* What there is of clusters in a run, as recorded (struct tgi_clustering); all 0: none was recorded, or nothing can be in one. */
struct tgi_replay_clusters {
    struct tgi_gain possible, sure, hoped; /* of all, of those that surely gain, of these and those that may */
    bool is_compiled;                      /* there are kernels for the hoped ones */
};

struct tgi_replay_choice {
    struct tgi_replay_costs costs;
    uint64_t n_expected;  /* starts that were asked for; 0: unknown */
    uint64_t n_tasks;
    uint64_t n_commands;  /* of a graph; 0: none was recorded yet */
    uint64_t n_starts;    /* begun */
    uint64_t n_on_streams;
    struct tgi_replay_time submit, streams; /* a start on streams: the host's part, all of it */
    struct tgi_replay_time replay, resident; /* a replayed one, all of it, without resident kernels and with them */
    double made_ns;       /* what making graphs took that is not in these two */
    bool has_graph;
    enum tgi_replay_way way; /* of the graph that is in use, or would be: GRAPH or RESIDENT */
    struct tgi_replay_clusters clusters;
    bool is_weighed;         /* these are known */
    bool takes_hoped;        /* a graph with resident kernels has all that may gain, not only those that surely do */
    uint64_t n_replays;      /* that this graph was chosen for */
    char against[160];       /* why there are no resident kernels although some were to be; empty: nothing was against it */
    /* the last decision */
    enum tgi_replay_reason reason;
    double saved_ns, make_ns; /* a start, at most; what making was expected to take */
    uint64_t n_before;        /* starts before it; of PAYS: before the first that was to be a graph */
};

/* Begins a start: how it goes.  Of a graph that is not made yet, RESIDENT and GRAPH are left to tgi_replay_weigh(). */
enum tgi_replay_way tgi_replay_choose(struct tgi_replay_choice *choice);
/* A graph is being made, and this is what there is of clusters in it; false: they are to be nodes.  Decides once. */
bool tgi_replay_weigh(struct tgi_replay_choice *choice, const struct tgi_replay_clusters *clusters);
/* There can be no resident kernels, and why. */
void tgi_replay_refuse_resident(struct tgi_replay_choice *choice, const char *why);
/* What is expected of the clusters that are used or were tried, else of those that surely gain, else of all; NULL: there are none. */
const struct tgi_gain *tgi_replay_gain(const struct tgi_replay_choice *choice);
/* Why the last one was chosen, with the numbers, in one line. */
void tgi_replay_explain(const struct tgi_replay_choice *choice, char *text, size_t size);

#endif
