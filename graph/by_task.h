/* Arrays of what few tasks have are sorted by task: where those of one task begin. */
#ifndef TGI_GRAPH_BY_TASK_H
#define TGI_GRAPH_BY_TASK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Use TGI_FIRST_OF_TASK.  at: where the task stands in an item. */
static inline uint64_t tgi_first_of_task(const void *items, uint64_t n, size_t item_bytes, size_t at, uint32_t task)
{
    uint64_t low = 0, high = n;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        uint32_t its;
        memcpy(&its, (const char *)items + middle * item_bytes + at, sizeof its);
        if (its < task)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The index of the first item whose member `task` is not before `wanted`; n: there is none. */
#define TGI_FIRST_OF_TASK(items, n, wanted) \
    tgi_first_of_task(items, n, sizeof *(items), offsetof(__typeof__(*(items)), task), wanted)

#endif
