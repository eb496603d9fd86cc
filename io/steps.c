#include "io/steps.h"

#include <stdlib.h>

static int compare_changes(const void *a, const void *b)
{
    const struct tgi_change *x = a, *y = b;
    if (x->at_ns != y->at_ns)
        return x->at_ns < y->at_ns ? -1 : 1;
    return x->by < y->by ? -1 : x->by > y->by;
}

/* Adds what holds from at_ns on; within one stretch the most stays, at one moment the last. */
static uint32_t add_step(struct tgi_step *steps, uint32_t n, uint64_t stretch_ns, uint64_t at_ns, uint64_t value)
{
    struct tgi_step *last = n ? &steps[n - 1] : NULL;
    if (!last || at_ns / stretch_ns != last->at_ns / stretch_ns) {
        steps[n] = (struct tgi_step){at_ns, value};
        return n + 1;
    }
    last->value = stretch_ns == 1 || value > last->value ? value : last->value;
    return n;
}

uint32_t tgi_steps_make(struct tgi_change *changes, uint64_t n, uint32_t most, struct tgi_step *steps)
{
    uint64_t stretch_ns = 1, value = 0;
    uint32_t n_steps = 0;
    int64_t sum = 0; /* below 0 only within a moment */
    qsort(changes, n, sizeof(*changes), compare_changes);
    if (n > most)
        stretch_ns = changes[n - 1].at_ns / (most - 1) + 1;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t before = value, at_ns = changes[i].at_ns, last_ns = i > 0 ? changes[i - 1].at_ns : at_ns;
        sum += changes[i].by;
        value = sum > 0 ? (uint64_t)sum : 0;
        if (stretch_ns > 1 && at_ns / stretch_ns != last_ns / stretch_ns) /* the most of one stretch is not that of the next */
            n_steps = add_step(steps, n_steps, stretch_ns, (last_ns / stretch_ns + 1) * stretch_ns, before);
        n_steps = add_step(steps, n_steps, stretch_ns, at_ns, value);
    }
    return n_steps;
}
