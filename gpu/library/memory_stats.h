/* What each of the allocators tells about itself. */
#ifndef TGD_MEMORY_STATS_H
#define TGD_MEMORY_STATS_H

#include <stdint.h>

/* Figures may be a moment apart while others allocate. */
struct tgd_memory_stats {
    uint64_t usable;   /* bytes that can be handed out in all */
    uint64_t in_use;   /* bytes handed out, as they were rounded up; of a slab heap also what lies in magazines */
    uint64_t peak;     /* the most of them so far */
    uint64_t n_failed; /* requests refused with TGD_E_NO_MEMORY */
};

#endif
