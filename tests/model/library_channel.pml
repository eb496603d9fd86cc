/* Every message of a channel is received once, in the order of its sender, and nobody who awaits is forgotten: a model of
 * gpu/library/queue.h, whose slots have numbers, and of gpu/library/waiters.h, where tasks leave tokens.
 *
 * Two senders, two receivers, one capacity of two.  Each is a task: if it cannot go on it awaits, which here means that the
 * process stands still until its token is handed out.  A task that is forgotten leaves a state without a successor, as all
 * processes must end.  Every step is seen by all at once: what orders of memory are needed is for ThreadSanitizer, on the same
 * text.
 *
 * Must fail: -DPASS_BEFORE_WRITING -DCLAIM_WITHOUT_SWAP -DNUMBER_STAYS -DLOOK_BEFORE_LAYING -DWAKE_BEFORE_PASSING -DWAKE_ONE */
#define SENDERS 2
#define RECEIVERS 2
#define EACH 2 /* messages of a sender, and of a receiver */
#define CAPACITY 2
#define NONE 255

byte tail = 0, head = 0;
byte number[CAPACITY];
byte slot[CAPACITY];
byte n_seen[4]; /* by message: 2 * sender + which */

/* Of those who wait to receive, 0, and to send, 1: tokens lie or do not, by process. */
byte balance[2];
bool is_laid[4], is_called[4];
bool is_made = false;

/* Lays a permit on a token: its task is called. */
inline call(side)
{
    balance[side]--;
    if
    :: is_laid[2 * side] -> is_laid[2 * side] = false; is_called[2 * side] = true
    :: is_laid[2 * side + 1] -> is_laid[2 * side + 1] = false; is_called[2 * side + 1] = true
    :: else -> assert(false) /* a permit without a token */
    fi
}

/* As many as there is work for: messages, or room, that are claimed or not.  Permits are taken and used in one step; what
 * comes between them is the business of two holders of permits alone. */
inline wake(side)
{
    if
    :: balance[side] > 0 ->
        atomic {
            work = (side == 0 -> tail - head : CAPACITY - (tail - head));
#ifdef WAKE_ONE
            if :: work > 1 -> work = 1 :: else fi;
#endif
            do
            :: work > 0 && balance[side] > 0 -> call(side); work--
            :: else -> break
            od;
            work = 0
        }
    :: else
    fi
}

inline look(side) { atomic {
    if
    :: side == 0 -> t = head; has = number[t % CAPACITY] == t + 1
    :: else -> t = tail; has = number[t % CAPACITY] == t
    fi }
}

inline await(side, me)
{
#ifdef LOOK_BEFORE_LAYING
    look(side);
    is_laid[me] = true;
    balance[side]++;
#else
    is_laid[me] = true;
    balance[side]++;
    look(side);
#endif
    if
    :: has -> atomic { if :: balance[side] > 0 -> call(side) :: else fi }
    :: else
    fi;
    atomic { has = false; t = 0 };
    atomic { is_called[me] -> is_called[me] = false }
}

/* Process 0 and 1 receive, 2 and 3 send. */
active [RECEIVERS + SENDERS] proctype task()
{
    byte me = _pid, side = _pid / 2, n = 0, t = 0, work = 0, item = 0, last = NONE, other = NONE;
    bool has = false, won = false;
    is_made;
    do
    :: n == EACH -> break
    :: n < EACH ->
        look(side);
        won = false;
        if
        :: has ->
#ifdef CLAIM_WITHOUT_SWAP
            won = true;
            if :: side == 0 -> head = t + 1 :: else -> tail = t + 1 fi
#else
            atomic {
                won = (side == 0 -> head == t : tail == t);
                if :: won && side == 0 -> head++ :: won && side == 1 -> tail++ :: else fi
            }
#endif
        :: !has && ((side == 0 && t == head) || (side == 1 && t == tail)) -> await(side, me)
        :: else
        fi;
        if
        :: won && side == 1 ->
            item = 2 * (me - 2) + n;
#ifdef WAKE_BEFORE_PASSING
            wake(0);
            slot[t % CAPACITY] = item;
            number[t % CAPACITY] = t + 1;
#else
#ifdef PASS_BEFORE_WRITING
            number[t % CAPACITY] = t + 1;
            slot[t % CAPACITY] = item;
#else
            slot[t % CAPACITY] = item;
            number[t % CAPACITY] = t + 1;
#endif
            wake(0);
#endif
            n++
        :: won && side == 0 ->
            item = slot[t % CAPACITY];
            atomic {
                assert(n_seen[item] == 0);
                n_seen[item] = 1;
                /* The sender's order, as this receiver sees it. */
                if
                :: item / 2 == 0 -> assert(last == NONE || item > last); last = item
                :: else -> assert(other == NONE || item > other); other = item
                fi
            };
#ifdef NUMBER_STAYS
            number[t % CAPACITY] = t;
#else
            number[t % CAPACITY] = t + CAPACITY;
#endif
            wake(1);
            n++
        :: else
        fi;
        atomic { t = 0; item = 0; has = false; won = false }
    od
}

init { atomic { number[1] = 1; is_made = true } }
