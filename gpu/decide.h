/* What decides about the bodies of a graph: a kernel of one thread, before the first round and at the end of each. */
#ifndef TGI_GPU_DECIDE_H
#define TGI_GPU_DECIDE_H

#include <stddef.h>
#include <stdint.h>

#define TGI_DECIDE_KERNEL "tgi_decide"

/* Its one argument. */
typedef struct tgi_decision {
    uint64_t condition, other; /* handles */
    const unsigned char *tile; /* the body is executed if it is not zero; NULL: it always is */
    uint64_t *left;            /* rounds, the one to come included; NULL: it is no loop */
    uint64_t n_rounds;         /* before the first round: at most so many; 0: a round is over */
    uint32_t tile_bytes, has_other;
} tgi_decision;

#ifndef __cplusplus
/* The embedded module; NULL: this build has none. */
const void *tgi_decide_fatbin(size_t *length_p);
#endif

#endif
