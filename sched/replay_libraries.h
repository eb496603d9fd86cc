/* Whether the graph of a run calls libraries where kernels of ours would do.
 *
 * By itself a call is often the faster one, and by that ways are chosen (choice.h).  In a graph it may be the slower one: calls share the memory
 * that their library works in, so they follow each other in a few chains (mem/recorder.h), while of kernels any number runs side
 * by side.  So both graphs are measured: first the one with calls; then, if its calls have taken a good part of a replay, even evenly dealt to all
 * chains, and as soon as replays have taken as long together as another graph takes to make, the one without, for a few
 * starts.  It stays if it is faster.  So trying costs at most about as much as has been spent before, and a few starts.
 *
 * Knows no device and no clock: who uses it notes times.  One thread at a time. */
#ifndef TGI_SCHED_REPLAY_LIBRARIES_H
#define TGI_SCHED_REPLAY_LIBRARIES_H

#include <stdbool.h>

#include "sched/replay_choice.h"

/* All 0 at first. */
struct tgi_replay_libraries {
    double calls_ns; /* what the calls of a start take in a chain of their device, by their times alone; 0: no call has another way, INFINITY: it is not known */
    struct tgi_replay_time with, without; /* replays that found their graph made */
    double spent_ns, made_ns;             /* all of these so far; the last graph took to make */
    bool is_decided, is_without;          /* of the graph to replay now; decided: for good */
};

/* Before a start: whether it is to be the graph without calls. */
bool tgi_replay_libraries_choose(struct tgi_replay_libraries *l);
/* After one, by what was chosen for it: what it took without making a graph, and what that took; 0: it was there. */
void tgi_replay_libraries_note(struct tgi_replay_libraries *l, double ns, double made_ns);

#endif
