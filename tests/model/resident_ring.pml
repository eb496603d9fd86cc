/* Every task put into a ring of gpu/resident/ring.h is taken once, whoever takes how many: a model with both ends in one
 * word, which is read and swapped as a whole, and slots that are read one by one in between.
 *
 * The owner puts ITEMS tasks, and takes as a thief does.  Every step is seen by all at once: what orders of
 * memory are needed is for ThreadSanitizer, on the same text.
 *
 * Must fail: -DPUT_WITHOUT_ROOM -DTAKE_WITHOUT_SWAP -DPUBLISH_FIRST -DOWNER_TAKES_NEWEST */
#define ITEMS 5
#define CAPACITY 2
#define THIEVES 2

byte head = 0, tail = 0; /* one word */
byte slot[CAPACITY];
byte n_seen[ITEMS];
byte n_taken = 0;

inline see(item) { atomic { assert(n_seen[item] == 0); n_seen[item]++; n_taken++ } }

/* At most two. */
inline take()
{
    atomic { h = head; t = tail };
    if
    :: t == h
    :: t != h ->
        n = 1;
        if :: t - h > 1 -> n = 2 :: true fi;
        first = slot[h % CAPACITY];
        if :: n == 2 -> second = slot[(h + 1) % CAPACITY] :: else fi;
#ifdef TAKE_WITHOUT_SWAP
        won = true;
        head = h + n;
#else
        atomic { won = head == h && tail == t; if :: won -> head = h + n :: else fi }
#endif
        if
        :: won -> see(first); if :: n == 2 -> see(second) :: else fi
        :: else
        fi
    fi;
    d_step { h = 0; t = 0; n = 0; first = 0; second = 0; won = false }
}

active proctype owner()
{
    byte h, t, n, first, second, n_put = 0;
    bool won;
    do
    :: n_put < ITEMS ->
        atomic { h = head; t = tail };
        if
#ifndef PUT_WITHOUT_ROOM
        :: t - h == CAPACITY
        :: t - h < CAPACITY ->
#else
        :: true ->
#endif
#ifdef PUBLISH_FIRST
            tail++;
            slot[t % CAPACITY] = n_put;
#else
            slot[t % CAPACITY] = n_put;
            tail++;
#endif
            n_put++
        fi;
        d_step { h = 0; t = 0 }
#ifdef OWNER_TAKES_NEWEST
    :: tail > head ->
        atomic { h = head; t = tail };
        if
        :: t > h ->
            first = slot[(t - 1) % CAPACITY];
            atomic { won = head == h && tail == t; if :: won -> tail = t - 1 :: else fi };
            if :: won -> see(first) :: else fi
        :: else
        fi;
        d_step { h = 0; t = 0; first = 0; won = false }
#endif
    :: tail > head -> take()
    :: n_put == ITEMS && n_taken == ITEMS -> break
    od
}

active [THIEVES] proctype thief()
{
    byte h, t, n, first, second;
    bool won;
    do
    :: n_taken == ITEMS -> break
    :: tail > head -> take()
    od
}
