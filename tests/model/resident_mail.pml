/* No task is lost or run twice by way of mailboxes, and workers leave when all is done and not before: a model of
 * announcing, claiming, sending and withdrawing, and of the count that ends an epoch, in gpu/resident/scheduler.h.
 *
 * A heap stands for all rings.  Tasks may make others, which are counted before they can be
 * found.  Worker 0 announces itself and the other two may send to it: two senders and one receiver is all there is to a
 * mailbox, and what a worker does for its own and for others' does not mix.  A worker that sits in wait for mail that nobody will send, or a task that stays behind,
 * leaves a state without a successor or breaks the assertion at the end.
 *
 * Must fail: -DWITHDRAW_WITHOUT_CLEARING -DDONT_AWAIT_MAIL -DCLAIM_BEFORE_TAKING -DCOUNT_AFTER_PUTTING -DREAD_MADE_FIRST */
#define WORKERS 3
#define BEGIN 2 /* tasks at the start */
#define MADE 3  /* tasks that tasks make, at most */

byte heap = BEGIN; /* tasks that anybody can find */
byte finished = 0, made = BEGIN;
byte n_to_make = MADE;
bool idle = false; /* worker 0's bit */
byte mail = 0;     /* worker 0's */
byte n_gone = 0;

inline execute()
{
    do
    :: atomic { n_to_make > 0 -> n_to_make-- };
#ifdef COUNT_AFTER_PUTTING
        heap++;
        made++
#else
        made++;
        heap++
#endif
    :: break
    od;
    /* Feeds one of the idle if it has something to give. */
    if
    :: me != 0 && idle ->
#ifdef CLAIM_BEFORE_TAKING
        atomic { is_claimed = idle; idle = false };
        if
        :: is_claimed ->
            atomic { has_task = heap > 0; if :: has_task -> heap-- :: else fi };
            if :: has_task -> mail++ :: else idle = true fi
        :: else
        fi
#else
        atomic { has_task = heap > 0; if :: has_task -> heap-- :: else fi };
        if
        :: has_task ->
            atomic { is_claimed = idle; idle = false };
            if
            :: is_claimed -> assert(mail == 0); mail = 1
            :: else -> heap++
            fi
        :: else
        fi
#endif
    :: true
    fi;
    finished++
}

/* Clears the own bit; if somebody else has, waits for what comes and puts it aside. */
inline withdraw()
{
    if
    :: is_announced ->
#ifdef WITHDRAW_WITHOUT_CLEARING
        is_claimed = !idle;
#else
        atomic { is_claimed = !idle; idle = false };
#endif
        if
#ifndef DONT_AWAIT_MAIL
        :: is_claimed -> mail == 1; mail = 0; heap++
#endif
        :: else
        fi;
        is_announced = false
    :: else
    fi
}

active [WORKERS] proctype worker()
{
    byte me = _pid, seen_finished = 0, seen_made = 0;
    bool has_task, is_claimed, is_announced = false;
    do
    :: true ->
        atomic { has_task = heap > 0; if :: has_task -> heap-- :: else fi };
        if
        :: has_task ->
            withdraw();
            execute()
        :: else ->
            if :: me == 0 && !is_announced -> idle = true; is_announced = true :: else fi;
            if
            :: me == 0 && mail == 1 -> mail = 0; is_announced = false; execute()
            :: else ->
#ifdef READ_MADE_FIRST
                seen_made = made;
                seen_finished = finished;
#else
                seen_finished = finished;
                seen_made = made;
#endif
                if
                :: seen_finished == seen_made -> withdraw(); break
                :: else -> (heap > 0 || (me == 0 && mail == 1) || finished == made)
                fi
            fi
        fi
    od;
    n_gone++;
    assert(heap == 0 && finished == made)
}

active proctype auditor()
{
    n_gone == WORKERS;
    assert(mail == 0 && !idle)
}
