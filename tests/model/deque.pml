/* Every item of sched/deque.h is taken once: a model of push, take and steal under TSO.
 *
 * Each of owner and thieves has a store buffer of two entries, which a process of its own empties in
 * order; a load sees the youngest store to the word in the own buffer, else memory.  A sequentially
 * consistent store is a store and a wait until the buffer is empty; a compare-and-swap waits for
 * that as well, then acts on memory.  Release and acquire cost nothing on TSO, so this model finds
 * what the hardware of x86 may do to the protocol; what compilers and weaker machines may do as well
 * is for the stress test under ThreadSanitizer.
 *
 * The owner pushes ITEMS items in bursts and takes in between, in every way there is.
 *
 * Must fail: -DTAKE_WITHOUT_FENCE -DTAKE_LAST_WITHOUT_CAS -DSTEAL_BOTTOM_FIRST */
#ifndef ITEMS
#define ITEMS 3
#endif
#ifndef THIEVES
#define THIEVES 2
#endif
#define SIZE 4 /* of the array: no slot is used twice */
#define BUFFER 3

/* Words of memory: top, bottom (biased by 1, since an empty deque is probed below 0), the items. */
#define TOP 0
#define BOTTOM 1
#define ITEM 2
byte memory[6];

/* The owner alone stores without waiting; thieves only swap, so that their buffers stay empty. */
byte address[BUFFER], value[BUFFER], n_buffered = 0;
bool is_over = false;
byte n_gone = 0; /* thieves */
byte n_seen[ITEMS];

inline store(a, v) { atomic { n_buffered < BUFFER -> address[n_buffered] = a; value[n_buffered] = v; n_buffered++ } }

inline load(a, result)
{
    atomic {
        result = memory[a];
        if :: n_buffered > 0 && address[0] == a -> result = value[0] :: else fi;
        if :: n_buffered > 1 && address[1] == a -> result = value[1] :: else fi;
        if :: n_buffered > 2 && address[2] == a -> result = value[2] :: else fi
    }
}

inline fence() { n_buffered == 0 }

inline see(item)
{
    atomic { assert(n_seen[item] == 0); n_seen[item]++ }
}

active proctype store_buffer()
{
end:
    do
    :: atomic {
        n_buffered > 0 ->
        memory[address[0]] = value[0];
        address[0] = address[1]; value[0] = value[1];
        address[1] = address[2]; value[1] = value[2];
        address[2] = 0; value[2] = 0;
        n_buffered--
       }
    :: atomic { is_over && n_buffered == 0 -> break }
    od
}

active proctype owner()
{
    byte n_pushed = 0, b, t, item;
    bool won;
    store(BOTTOM, 1);
    store(TOP, 1);
    do
    :: n_pushed < ITEMS -> /* push */
        load(BOTTOM, b);
        store(ITEM + b - 1, n_pushed);
        store(BOTTOM, b + 1);
        n_pushed++
    :: true -> /* take */
        load(BOTTOM, b);
        b--;
        load(TOP, t);
        if
        :: b < t ->
            if :: n_pushed == ITEMS -> break :: else fi
        :: else ->
            store(BOTTOM, b);
#ifndef TAKE_WITHOUT_FENCE
            fence();
#endif
            load(TOP, t);
            if
            :: t < b -> load(ITEM + b - 1, item); see(item)
            :: t == b ->
                load(ITEM + b - 1, item);
#ifdef TAKE_LAST_WITHOUT_CAS
                won = true; store(TOP, t + 1);
#else
                fence();
                atomic { won = memory[TOP] == t; if :: won -> memory[TOP] = t + 1 :: else fi }
#endif
                if :: won -> see(item) :: else fi;
                store(BOTTOM, b + 1)
            :: t > b -> store(BOTTOM, b + 1)
            fi
        fi
    od;
    fence();
    is_over = true
}

active [THIEVES] proctype thief()
{
    byte t, b, item;
    bool won;
    memory[BOTTOM] > 0 && memory[TOP] > 0;
    do
    :: is_over -> n_gone++; break
    :: true ->
#ifdef STEAL_BOTTOM_FIRST
        b = memory[BOTTOM];
        t = memory[TOP];
#else
        t = memory[TOP];
        b = memory[BOTTOM];
#endif
        if
        :: t < b ->
            item = memory[ITEM + t - 1];
            atomic { won = memory[TOP] == t; if :: won -> memory[TOP] = t + 1 :: else fi }
            if :: won -> see(item) :: else fi
        :: else
        fi
    od
}

/* Afterwards nothing is left behind. */
active proctype auditor()
{
    byte i;
    is_over && n_gone == THIEVES;
    d_step {
        i = 0;
        do
        :: i < ITEMS -> assert(n_seen[i] == 1); i++
        :: else -> break
        od
    }
}
