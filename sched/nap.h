/* How long the thread that submits sleeps between two looks at devices that have long been at work: in proportion to how long that has been, so
 * that the end is seen that much later at worst.  Predictions add half of it (io/cli/simulate.c). */
#ifndef TGI_SCHED_NAP_H
#define TGI_SCHED_NAP_H

#include <stdint.h>

enum { TGI_SHORTEST_NAP_NS = 2000, TGI_LONGEST_NAP_NS = 100000, TGI_NAP_SHARE = 64 };

static inline uint64_t tgi_nap_ns(uint64_t waited_ns)
{
    uint64_t ns = waited_ns / TGI_NAP_SHARE;
    return ns < TGI_SHORTEST_NAP_NS ? TGI_SHORTEST_NAP_NS : ns > TGI_LONGEST_NAP_NS ? TGI_LONGEST_NAP_NS : ns;
}

#endif
