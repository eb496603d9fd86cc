/* See replay_libraries.h. */
#include "sched/replay_libraries.h"

enum { N_WITH = 3, N_WITHOUT = 3 }; /* replays that count until something is decided */
#define LEAST_PART 0.25  /* of a replay, that calls must take */
#define HOPELESS   2.0   /* times the other: no second replay is needed */
#define GAIN       0.97  /* times the other, at most */

static void decide(struct tgi_replay_libraries *l, bool is_without)
{
    l->is_decided = true;
    l->is_without = is_without;
}

bool tgi_replay_libraries_choose(struct tgi_replay_libraries *l)
{
    if (l->is_decided || l->is_without || l->with.n < N_WITH)
        return l->is_without;
    if (l->calls_ns < LEAST_PART * l->with.ns)
        decide(l, false);
    else
        l->is_without = l->spent_ns >= l->made_ns;
    return l->is_without;
}

void tgi_replay_libraries_note(struct tgi_replay_libraries *l, double ns, double made_ns)
{
    if (made_ns > 0)
        l->made_ns = made_ns;
    l->spent_ns += ns;
    if (l->is_decided)
        return;
    if (!l->is_without) {
        if (made_ns <= 0)
            tgi_replay_time_add(&l->with, ns);
        return;
    }
    if (ns > HOPELESS * l->with.ns) {
        decide(l, false);
        return;
    }
    if (made_ns <= 0)
        tgi_replay_time_add(&l->without, ns);
    if (l->without.n >= N_WITHOUT)
        decide(l, l->without.ns <= GAIN * l->with.ns);
}
