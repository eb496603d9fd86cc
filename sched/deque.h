/* A growable work-stealing deque of 64-bit items (Chase and Lev, SPAA 2005), self-contained.
 *
 * One owner pushes and takes at the bottom; any thread steals at the top.  Indices only grow and
 * are signed, so top > bottom is representable while an empty deque is being probed.  The memory
 * orders follow Le, Pop, Cohen and Zappa Nardelli (PPoPP 2013) with what was found wrong in their
 * listing put right:
 *  - Every store of bottom is a release: a thief that reads bottom must also see the items below
 *    it, whichever store it read.
 *  - A new array is published by a release store and loaded with acquire, and push uses the array
 *    it has just published.
 *  - Orders stand on the operations, not on fences, so that ThreadSanitizer sees them.
 *
 * The outcome that sequential consistency forbids, between take and steal on the last items: the
 * owner lowers bottom to b and still reads the old top, so that it takes item b without a CAS,
 * while a thief that has read a top of b still reads the old bottom b + 1 and takes item b too.
 * take's store of bottom and load of top, and steal's loads of top and bottom, are all seq_cst; in
 * their total order one of the two must see the other's write.
 *
 * Arrays that were outgrown stay allocated until tgi_deque_fini(): a slow thief may still read a
 * stale item from one, but then its CAS on top fails. */
#ifndef TGI_SCHED_DEQUE_H
#define TGI_SCHED_DEQUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct tgi_deque_array {
    struct tgi_deque_array *outgrown; /* the one before, half as large */
    int64_t capacity;                 /* power of two */
    _Atomic uint64_t items[];
};

struct tgi_deque {
    /* Written by thieves, and by the owner for the last item. */
    _Alignas(64) _Atomic int64_t top;
    /* Written by the owner; publishes the items below it. */
    _Alignas(64) _Atomic int64_t bottom;
    _Atomic(struct tgi_deque_array *) array;
    int64_t top_seen; /* owner's: a lower bound of top, so that push rarely reads the thieves' line */
};

#define TGI_DEQUE_EMPTY UINT64_MAX /* no item has this value */
#define TGI_DEQUE_LOST (UINT64_MAX - 1) /* steal lost a race: there may be more */

static inline struct tgi_deque_array *tgi_deque_array_create(int64_t capacity, struct tgi_deque_array *outgrown)
{
    struct tgi_deque_array *a = malloc(sizeof *a + (size_t)capacity * sizeof a->items[0]);
    if (a) {
        a->outgrown = outgrown;
        a->capacity = capacity;
    }
    return a;
}

/* capacity: a power of two, at least 2. */
static inline bool tgi_deque_init(struct tgi_deque *d, int64_t capacity)
{
    struct tgi_deque_array *a = tgi_deque_array_create(capacity, NULL);
    atomic_init(&d->top, 0);
    atomic_init(&d->bottom, 0);
    atomic_init(&d->array, a);
    d->top_seen = 0;
    return a != NULL;
}

/* Nobody else may use the deque any more. */
static inline void tgi_deque_fini(struct tgi_deque *d)
{
    struct tgi_deque_array *a = atomic_load_explicit(&d->array, memory_order_relaxed);
    while (a) {
        struct tgi_deque_array *outgrown = a->outgrown;
        free(a);
        a = outgrown;
    }
    atomic_store_explicit(&d->array, NULL, memory_order_relaxed);
}

/* Makes room for one more item; false without memory. */
static inline bool tgi_deque_grow_owner(struct tgi_deque *d, int64_t top, int64_t bottom)
{
    struct tgi_deque_array *old = atomic_load_explicit(&d->array, memory_order_relaxed);
    struct tgi_deque_array *a = tgi_deque_array_create(old->capacity * 2, old);
    if (!a)
        return false;
    for (int64_t i = top; i < bottom; i++)
        atomic_store_explicit(&a->items[i & (a->capacity - 1)],
                              atomic_load_explicit(&old->items[i & (old->capacity - 1)], memory_order_relaxed),
                              memory_order_relaxed);
    /* Publishes the copied items; pairs with the acquire in steal. */
    atomic_store_explicit(&d->array, a, memory_order_release);
    return true;
}

/* False without memory; then the deque is as it was. */
static inline bool tgi_deque_push_owner(struct tgi_deque *d, uint64_t item)
{
    int64_t b = atomic_load_explicit(&d->bottom, memory_order_relaxed); /* ours alone to write */
    struct tgi_deque_array *a = atomic_load_explicit(&d->array, memory_order_relaxed);
    if (__builtin_expect(b - d->top_seen >= a->capacity, 0)) {
        /* acquire: the slot below top is free once the thief that moved top has read it.  Pairs
         * with the CAS in steal. */
        d->top_seen = atomic_load_explicit(&d->top, memory_order_acquire);
        if (b - d->top_seen >= a->capacity) {
            if (!tgi_deque_grow_owner(d, d->top_seen, b))
                return false;
            a = atomic_load_explicit(&d->array, memory_order_relaxed);
        }
    }
    atomic_store_explicit(&a->items[b & (a->capacity - 1)], item, memory_order_relaxed);
    /* Publishes the item and everything the owner wrote before; pairs with steal's load of bottom. */
    atomic_store_explicit(&d->bottom, b + 1, memory_order_release);
    return true;
}

static inline uint64_t tgi_deque_take_owner(struct tgi_deque *d)
{
    int64_t b = atomic_load_explicit(&d->bottom, memory_order_relaxed) - 1;
    struct tgi_deque_array *a = atomic_load_explicit(&d->array, memory_order_relaxed);
    /* Empty as far as the owner knows: bottom never falls below top, and top only grows, so an
     * exact test is possible without the fence below. */
    if (b < atomic_load_explicit(&d->top, memory_order_relaxed))
        return TGI_DEQUE_EMPTY;
    /* seq_cst: see the argument above. */
    atomic_store_explicit(&d->bottom, b, memory_order_seq_cst);
    int64_t t = atomic_load_explicit(&d->top, memory_order_seq_cst);
    uint64_t item = TGI_DEQUE_EMPTY;
    if (t <= b) {
        item = atomic_load_explicit(&a->items[b & (a->capacity - 1)], memory_order_relaxed);
        if (t < b)
            return item;
        /* The last item: whoever moves top has it. */
        if (!atomic_compare_exchange_strong_explicit(&d->top, &t, t + 1, memory_order_seq_cst, memory_order_relaxed))
            item = TGI_DEQUE_EMPTY;
    }
    /* release: a thief that reads this bottom must see the items of earlier pushes. */
    atomic_store_explicit(&d->bottom, b + 1, memory_order_release);
    return item;
}

/* take for a deque that nobody steals from. */
static inline uint64_t tgi_deque_take_alone(struct tgi_deque *d)
{
    int64_t b = atomic_load_explicit(&d->bottom, memory_order_relaxed) - 1;
    struct tgi_deque_array *a = atomic_load_explicit(&d->array, memory_order_relaxed);
    if (b < atomic_load_explicit(&d->top, memory_order_relaxed))
        return TGI_DEQUE_EMPTY;
    atomic_store_explicit(&d->bottom, b, memory_order_release);
    return atomic_load_explicit(&a->items[b & (a->capacity - 1)], memory_order_relaxed);
}

static inline uint64_t tgi_deque_steal(struct tgi_deque *d)
{
    /* seq_cst: see the argument above. */
    int64_t t = atomic_load_explicit(&d->top, memory_order_seq_cst);
    /* seq_cst, and acquire: pairs with the release in push. */
    int64_t b = atomic_load_explicit(&d->bottom, memory_order_seq_cst);
    if (t >= b)
        return TGI_DEQUE_EMPTY;
    /* acquire: pairs with the release in grow. */
    struct tgi_deque_array *a = atomic_load_explicit(&d->array, memory_order_acquire);
    uint64_t item = atomic_load_explicit(&a->items[t & (a->capacity - 1)], memory_order_relaxed);
    /* Only if top has not moved is the item we read the one at t. */
    if (!atomic_compare_exchange_strong_explicit(&d->top, &t, t + 1, memory_order_seq_cst, memory_order_relaxed))
        return TGI_DEQUE_LOST;
    return item;
}

/* How many items there seem to be; for deciding whether to look closer. */
static inline int64_t tgi_deque_size_hint(const struct tgi_deque *d)
{
    int64_t n = atomic_load_explicit(&((struct tgi_deque *)d)->bottom, memory_order_relaxed) -
                atomic_load_explicit(&((struct tgi_deque *)d)->top, memory_order_relaxed);
    return n > 0 ? n : 0;
}

#endif
