/* What decides about the bodies of a graph: a kernel of one thread, before the first round and at the end of each.  In the same module:
 * what tells when the commands of a graph were executed, which has one argument, where 8 bytes go. */
#ifndef TGI_GPU_DECIDE_H
#define TGI_GPU_DECIDE_H

#include <stddef.h>
#include <stdint.h>

#define TGI_DECIDE_KERNEL "tgi_decide"
#define TGI_STAMP_KERNEL "tgi_stamp"

/* On the device, for each decision. */
struct tgi_decided {
    uint64_t n_taken[2]; /* executions of the body, of the other one, of this launch */
    uint64_t n_left;     /* rounds of a loop, the one to come included */
};

/* Its one argument. */
typedef struct tgi_decision {
    uint64_t condition, other; /* handles */
    const unsigned char *tile; /* the body is executed if it is not zero; NULL: it always is */
    struct tgi_decided *state;
    uint64_t n_rounds;         /* of a loop, before the first round: at most so many; 0: a round is over */
    uint32_t tile_bytes, is_loop, has_other;
} tgi_decision;

#ifndef __cplusplus
/* The embedded module; NULL: this build has none. */
const void *tgi_decide_fatbin(size_t *length_p);
#endif

#endif
