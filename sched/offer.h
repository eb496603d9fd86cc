/* Why a plan put a task where it is: for each task, the devices that were considered and the terms of what each would have come to.
 *
 * Nothing is kept while a plan is made.  Policies that plan ahead are deterministic, so a plan is explained by making it once
 * more, for as much time as the first time took, and only where somebody wants to know. */
#ifndef TGI_SCHED_OFFER_H
#define TGI_SCHED_OFFER_H

#include <stdbool.h>
#include <stdint.h>

enum {
    TGI_OFFERS_EACH = 4,      /* of a task: the one it took and the best of the others */
    TGI_MOST_OFFERS = 1 << 20 /* in all; tasks that are placed after that have none */
};

/* The task ends ready + move + wait + work + contention; what is least with `after` is taken. */
struct tgi_offer {
    uint32_t task, device;
    double ready_ns;      /* everything before it has ended */
    double move_ns;       /* until what it reads is there, ports and evictions included */
    double wait_ns;       /* for a lane */
    double work_ns;       /* undisturbed */
    double contention_ns; /* for other tasks' turns at the memory */
    double after_ns;      /* what follows, if it goes on from there; 0: it was not looked at */
};

/* In the order of placement, of each task the offer that it took first.  Zero-initialised: empty. */
struct tgi_offers {
    struct tgi_offer *list;
    uint32_t n, cap;
    bool is_out_of_memory;
};

/* False: there is no room for a task's any more, or no memory. */
bool tgi_offers_reserve(struct tgi_offers *offers, uint32_t n);
void tgi_offers_fini(struct tgi_offers *offers);
static inline double tgi_offer_ns(const struct tgi_offer *o)
{
    return o->move_ns + o->wait_ns + o->work_ns + o->contention_ns;
}

#endif
