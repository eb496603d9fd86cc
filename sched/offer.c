#include "sched/offer.h"

#include <stdlib.h>

bool tgi_offers_reserve(struct tgi_offers *o, uint32_t n)
{
    if (o->is_out_of_memory || o->n + n > TGI_MOST_OFFERS)
        return false;
    if (o->n + n <= o->cap)
        return true;
    uint32_t cap = o->cap ? 2 * o->cap : 256;
    struct tgi_offer *grown = realloc(o->list, cap * sizeof *grown);
    o->is_out_of_memory = !grown;
    if (!grown)
        return false;
    o->list = grown;
    o->cap = cap;
    return true;
}

void tgi_offers_fini(struct tgi_offers *o)
{
    free(o->list);
    *o = (struct tgi_offers){0};
}
