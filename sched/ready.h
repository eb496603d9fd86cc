/* Tasks that are ready for one node, the most urgent first; of equals the one that was pushed first.
 *
 * A binary heap.  The submitter's own. */
#ifndef TGI_SCHED_READY_H
#define TGI_SCHED_READY_H

#include <stdbool.h>
#include <stdint.h>

struct tgi_offload_task;
struct tgi_ready_item {
    double urgency;
    uint64_t number; /* of the push */
    struct tgi_offload_task *task;
};
struct tgi_ready {
    struct tgi_ready_item *items;
    uint32_t n, cap;
    uint64_t n_pushed;
};

/* False: no memory. */
bool tgi_ready_push(struct tgi_ready *ready, double urgency, struct tgi_offload_task *task);
/* NULL: empty. */
struct tgi_offload_task *tgi_ready_pop(struct tgi_ready *ready);
/* The item at a place of the array, which is not ordered but for its first; the last ones are among the least urgent. */
struct tgi_offload_task *tgi_ready_remove(struct tgi_ready *ready, uint32_t i);
void tgi_ready_fini(struct tgi_ready *ready);

#endif
