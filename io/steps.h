/* A number over time: it holds from a moment on until the next. */
#ifndef TGI_IO_STEPS_H
#define TGI_IO_STEPS_H

#include <stdint.h>

struct tgi_change {
    uint64_t at_ns;
    int64_t by;
};
struct tgi_step {
    uint64_t at_ns, value;
};

/* From 0 on, the changes in the order of time (they are sorted here; at one moment what goes makes room for what comes).  Writes
 * at most `most` steps, at least 2; where there were more changes a step has the most of its stretch of time.  How many. */
uint32_t tgi_steps_make(struct tgi_change *changes, uint64_t n, uint32_t most, struct tgi_step *steps);

#endif
