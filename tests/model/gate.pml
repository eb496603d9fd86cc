/* A gate opens once, and as soon as its last predecessor is done: a model of how workers count it down in sched/release.h.
 *
 * Predecessors and one other task lie in a pool that workers take from, as from their own deques and each other's.  A worker
 * holds back what it has to count while it goes on with predecessors, and counts before it executes the other task, which here
 * takes as long as a member of the gate has not run, or finds nothing.  If the gate stays shut, the other task never ends: a
 * state without successor, and the check fails.
 *
 * Must fail: -DFORGET_WHEN_IDLE
 * Must fail: -DHOLD_FOR_OTHERS
 * Must fail: -DOPEN_AT_ONE */
#define WORKERS 3
#define PREDECESSORS 5

byte n_pool = PREDECESSORS; /* predecessors that nobody has taken */
bool has_other = true;
byte left = PREDECESSORS; /* the gate's counter */
byte n_opened = 0, n_ended = 0;
byte n_done = 0;          /* predecessors */

inline count_held()
{
    atomic { before = left; left = left - held }; /* fetch_sub, acq_rel */
#ifdef OPEN_AT_ONE
    if
    :: before == 1 -> n_opened++
#else
    if
    :: before == held -> assert(n_done == PREDECESSORS); n_opened++
#endif
    :: else
    fi;
    held = 0
}

active [WORKERS] proctype worker()
{
    byte held = 0, before;
    do
    :: atomic { n_pool > 0 -> n_pool-- }
        n_done++;           /* the body */
        held++
    :: atomic { has_other -> has_other = false }
#ifndef HOLD_FOR_OTHERS
        if
        :: held > 0 -> count_held()
        :: else
        fi;
#endif
        n_opened > 0        /* the body */
    :: n_pool == 0 && !has_other ->
#ifndef FORGET_WHEN_IDLE
        if
        :: held > 0 -> count_held()
        :: else
        fi;
#endif
        break
    od;
    n_ended++;
    n_ended == WORKERS && n_opened == 1 /* waits for ever if the gate did not open, or twice */
}
