/* No message is forgotten by a kernel that leaves, though nobody ever looks again after sending it, and there are never two kernels: a model
 * of `gone` (mem/service_view.h), of tgi_controller_leaves() and of tgi_service_wake_locked().
 *
 * A message that is left behind is a state without a successor.  Every step is seen by all at once, as the four accesses that matter are
 * seq_cst.
 *
 * Must fail: -DLEAVE_WITHOUT_LOOKING -DLOOK_BEFORE_SENDING -DLAUNCH_AT_ONCE */
#define MESSAGES 4

byte sent = 0, taken = 0;
bool gone = false, is_resident = true;

inline wake()
{
    do
#ifdef LAUNCH_AT_ONCE
    :: gone ->
#else
    :: gone && !is_resident ->
#endif
        assert(!is_resident);
        gone = false;
        is_resident = true;
        break
    :: !gone -> break
    od
}

active proctype host()
{
    do
    :: sent < MESSAGES ->
#ifdef LOOK_BEFORE_SENDING
        wake();
        sent++
#else
        sent++;
        wake()
#endif
    :: sent == MESSAGES -> break
    od;
    taken == MESSAGES
}

active proctype kernel()
{
end:
    do
    :: is_resident && sent > taken -> taken++
    :: is_resident && sent == taken -> /* for long enough */
#ifdef LEAVE_WITHOUT_LOOKING
        gone = true;
        is_resident = false
#else
        gone = true;
        if
        :: sent > taken -> gone = false
        :: sent == taken -> is_resident = false
        fi
#endif
    od
}
