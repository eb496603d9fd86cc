#include "sched/ready.h"

#include <stdlib.h>

#include "graph/vec.h"

static bool precedes(const struct tgi_ready_item *a, const struct tgi_ready_item *b)
{
    return a->urgency != b->urgency ? a->urgency > b->urgency : a->number < b->number;
}

static void sift_up(struct tgi_ready *r, uint32_t i, struct tgi_ready_item item)
{
    for (; i > 0 && precedes(&item, &r->items[(i - 1) / 2]); i = (i - 1) / 2)
        r->items[i] = r->items[(i - 1) / 2];
    r->items[i] = item;
}

static void sift_down(struct tgi_ready *r, uint32_t i, struct tgi_ready_item item)
{
    for (uint32_t child; (child = 2 * i + 1) < r->n; i = child) {
        if (child + 1 < r->n && precedes(&r->items[child + 1], &r->items[child]))
            child++;
        if (!precedes(&r->items[child], &item))
            break;
        r->items[i] = r->items[child];
    }
    r->items[i] = item;
}

bool tgi_ready_push(struct tgi_ready *r, double urgency, struct tgi_offload_task *task)
{
    if (!tgi_vec_reserve(&r->items, &r->cap, (uint64_t)r->n + 1, sizeof *r->items))
        return false;
    sift_up(r, r->n++, (struct tgi_ready_item){urgency, r->n_pushed++, task});
    return true;
}

struct tgi_offload_task *tgi_ready_remove(struct tgi_ready *r, uint32_t i)
{
    struct tgi_offload_task *task = r->items[i].task;
    struct tgi_ready_item last = r->items[--r->n];
    if (i == r->n)
        return task;
    if (i > 0 && precedes(&last, &r->items[(i - 1) / 2]))
        sift_up(r, i, last);
    else
        sift_down(r, i, last);
    return task;
}

struct tgi_offload_task *tgi_ready_pop(struct tgi_ready *r) { return r->n ? tgi_ready_remove(r, 0) : NULL; }

void tgi_ready_fini(struct tgi_ready *r) { free(r->items); }
