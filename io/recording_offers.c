/* What a plan had to choose from, into the record of a run that follows it. */
#include <stdlib.h>

#include "graph/error.h"
#include "io/recording.h"

/* They come in the order of placement; here they stand by task, those of one as they came. */
int tgi_recording_take_offers(struct tgi_recording *r, const struct tgi_offers *offers, const uint32_t *node_of, struct tg_error *err)
{
    struct tgi_recording_offer *to = malloc(((size_t)offers->n + 1) * sizeof(*to));
    uint32_t *at = calloc(r->n_tasks + 2, sizeof(*at));
    if (!to || !at) {
        free(to);
        free(at);
        return tgi_error_memory(err, "what a plan had to choose from");
    }
    for (uint32_t i = 0; i < offers->n; i++)
        at[offers->list[i].task + 1]++;
    for (uint64_t t = 0; t < r->n_tasks; t++)
        at[t + 1] += at[t];
    for (uint32_t i = 0; i < offers->n; i++) {
        const struct tgi_offer *o = &offers->list[i];
        to[at[o->task]++] = (struct tgi_recording_offer){o->ready_ns, o->move_ns,  o->wait_ns, o->work_ns, o->contention_ns,
                                                         o->after_ns, o->task,     node_of[o->device]};
    }
    free(at);
    free(r->offers);
    r->offers = to;
    r->n_offers = offers->n;
    return 0;
}
