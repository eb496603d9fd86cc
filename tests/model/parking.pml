/* No wake-up is lost: a model of sched/parking.[ch] with the publisher's store buffer made explicit.
 *
 * The publisher's store of new work waits in a buffer while its later load of n_asleep runs ahead; the
 * sleeper's barrier on both sides empties that buffer.  If every sleeper sleeps while an item lies
 * there, the model has a state without successor and the check fails.
 *
 * Must fail: -DWITHOUT_BARRIER -DLOOK_BEFORE_ANNOUNCE */
#define SLEEPERS 2
#define ITEMS 3

byte memory = 0;  /* items everybody sees */
byte buffer = 0;  /* items in the publisher's store buffer */
byte taken = 0;
byte n_asleep = 0;
bool asleep[SLEEPERS], called[SLEEPERS];

inline flush() { atomic { memory = memory + buffer; buffer = 0 } }

/* The system may write the buffer back at any time. */
active proctype store_buffer()
{
end:
    do
    :: atomic { buffer > 0 -> memory++; buffer-- }
    :: atomic { taken == ITEMS -> break }
    od
}

active proctype publisher()
{
    byte i = 0, w;
    bool is_claimed;
    do
    :: i < ITEMS ->
        i++;
        buffer++;               /* the store; the load below may run ahead of it */
        if
        :: n_asleep > 0 ->
            w = 0;
            do
            :: w < SLEEPERS ->
                is_claimed = false;
                if
                :: asleep[w] -> /* an atomic operation: it empties the buffer first */
                    atomic { memory = memory + buffer; buffer = 0; is_claimed = asleep[w]; asleep[w] = false }
                :: else
                fi;
                if
                :: is_claimed -> n_asleep--; called[w] = true; break
                :: else -> w++
                fi
            :: else -> break
            od
        :: else
        fi
    :: else -> break
    od
}

inline look() { atomic { found = memory > 0; if :: found -> memory--; taken++ :: else fi } }

active [SLEEPERS] proctype sleeper()
{
    bool found, is_claimed;
    byte w = _pid - 2;
    do
    :: taken == ITEMS -> break
    :: else ->
        look();
        if
        :: found -> goto again
        :: else
        fi;
#ifdef LOOK_BEFORE_ANNOUNCE
        look();
#endif
        n_asleep++;
        asleep[w] = true;
#ifndef WITHOUT_BARRIER
        flush();                /* membarrier: the publisher executes a fence */
#endif
#ifndef LOOK_BEFORE_ANNOUNCE
        look();
#endif
        if
        :: found ->
            atomic { is_claimed = asleep[w]; asleep[w] = false };
            if
            :: is_claimed -> n_asleep--
            :: else -> called[w]; called[w] = false /* a call is under way */
            fi
        :: else ->
            /* Asleep: for good only if nothing is left to do. */
            if
            :: called[w] -> called[w] = false
            :: taken == ITEMS -> break
            fi
        fi;
again:  skip
    od
}
