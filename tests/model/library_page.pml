/* Every object of a slab heap has one owner, of the class that its page has, and no page with free objects is forgotten: a model of
 * rows, bits and classes in gpu/library/page.h, with one page of two objects for two classes.
 *
 * Every step is seen by all at once: what orders of memory are needed is for ThreadSanitizer, on the same text.
 *
 * Must fail: -DSHOW_BEFORE_GIVING -DHIDE_WITHOUT_LOOK -DKEEP_WHAT_IS_TAKEN -DBITS_BEFORE_CLASS -DRETURN_WITHOUT_HOLDING */
#define WORKERS 3
#define ROUNDS 1
#define FREE 2

byte bits = 0;  /* of the page's objects: set, it is free */
byte class = FREE;
bool row[3];    /* the page's bit in each row */
byte owner = 0; /* objects in use */
byte n_gone = 0;
bool is_made = false;

inline give(to, what)
{
#ifdef SHOW_BEFORE_GIVING
    if :: bits == 0 -> row[to] = true :: else fi;
    atomic { assert((bits & what) == 0); bits = bits | what }
#else
    atomic { was = bits; assert((was & what) == 0); bits = bits | what };
    if :: was == 0 -> row[to] = true :: else fi;
#endif
    was = 0
}

inline hide(from)
{
    row[from] = false;
#ifndef HIDE_WITHOUT_LOOK
    if
    :: class == from ->
        if :: bits != 0 -> row[from] = true :: else fi
    :: else
    fi
#endif
}

inline take()
{
    seen = bits;
    if
    :: seen == 0 || class != mine -> hide(mine)
    :: else ->
        if :: seen & 1 -> wanted = 1 :: seen & 2 -> wanted = 2 :: seen == 3 -> wanted = 3 fi;
        atomic { got = bits & wanted; bits = bits & (3 - wanted) };
        if
        :: got ->
            now = class;
#ifndef KEEP_WHAT_IS_TAKEN
            if :: now != mine -> give(now, got); got = 0 :: else fi
#endif
        :: else
        fi
    fi;
    atomic { seen = 0; wanted = 0; now = 0 }
}

inline claim()
{
    atomic { won = row[FREE]; row[FREE] = false };
    if
    :: won ->
#ifdef BITS_BEFORE_CLASS
        bits = 3;
        class = mine;
#else
        class = mine;
        bits = 3;
#endif
        row[mine] = true
    :: else
    fi;
    won = false
}

inline reclaim()
{
    now = class;
    if
    :: now != FREE && bits == 3 ->
#ifdef RETURN_WITHOUT_HOLDING
        got = 3;
#else
        atomic { got = bits; bits = 0 };
#endif
        if
        :: got == 3 ->
            if
            :: class == now -> hide(now); atomic { class = FREE; bits = 0 }; row[FREE] = true
            :: else -> now = class; give(now, got)
            fi
        :: got == 1 || got == 2 -> now = class; give(now, got)
        :: else
        fi;
        got = 0
    :: else
    fi;
    now = 0
}

active [WORKERS] proctype worker()
{
    byte mine = _pid % 2, n = 0, seen = 0, wanted = 0, got = 0, now = 0, was = 0, tries = 0;
    bool won = false;
    is_made;
    do
    :: n == ROUNDS -> break
    :: n < ROUNDS ->
        /* What the heap does to fill a magazine; after three steps it may say that there is nothing. */
        do
        :: got || tries == 3 -> break
        :: !got && tries < 3 ->
            if
            :: row[mine] -> take()
            :: !row[mine] && row[FREE] -> claim()
            :: else -> reclaim()
            fi;
            tries++
        od;
        if
        :: got ->
            atomic { assert(class == mine); assert((owner & got) == 0); owner = owner | got };
            atomic { assert(class == mine); owner = owner & (3 - got) };
            give(mine, got);
            got = 0
        :: else
        fi;
        tries = 0;
        n++
    od;
    n_gone++
}

active proctype auditor()
{
    n_gone == WORKERS;
    assert((class == FREE && bits == 0 && row[FREE]) || (class != FREE && bits == 3 && row[class]))
}

init { atomic { row[FREE] = true; is_made = true } }
