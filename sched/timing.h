/* The measured times of a machine, as a workload asks for them.
 *
 * A time belongs to a kernel on a class of devices, for certain sizes of arguments.  A kernel that is a built-in
 * there is known by that ("builtin gemm_nt f64"), whatever a graph calls it, so that what was measured once serves every
 * graph; others are known by the name the graph gives them.  A built-in of sizes that were not measured is
 * interpolated between those that were, along its declared operations, or bytes where it has none: straight lines between
 * logarithms, and beyond the ends the rate of the last one. */
#ifndef TGI_SCHED_TIMING_H
#define TGI_SCHED_TIMING_H

#include "sched/machine.h"

struct tgi_timing;

enum tgi_timing_found { TGI_TIMING_NONE, TGI_TIMING_EXACT, TGI_TIMING_FITTED };
struct tgi_timed {
    double ns;     /* of a task that nothing disturbs */
    double slower; /* times as long where n_together lanes of a memory are at it; 0: not measured */
    uint32_t n_together;
    double beside_ns;            /* on a device, beside others; 0: not measured */
    double enqueue_ns, move_ns, mark_ns, see_ns; /* the host's; 0: not measured */
    double graph_ns, graph_part; /* in a CUDA graph; 0: not measured */
    double copy_launch_ns;
    bool shares_lane;            /* there */
};

/* What kernels are called in times.  Terminated, cut at size. */
void tgi_timing_kernel(const struct tg_graph *g, uint32_t op, enum tgi_device_kind kind, char *text, size_t size);

/* NULL without memory.  The machine must outlive it and not change. */
struct tgi_timing *tgi_timing_create(const struct tgi_machine *m, const struct tg_graph *g);
void tgi_timing_destroy(struct tgi_timing *timing);
/* Whether there is any time for the operation. */
bool tgi_timing_knows(const struct tgi_timing *timing, uint32_t op);
/* flops, bytes: declared ones of the task, NAN: not declared. */
enum tgi_timing_found tgi_timing_find(const struct tgi_timing *timing, uint32_t op, uint32_t class, const char *arguments,
                                      double flops, double bytes, struct tgi_timed *timed_p);

#endif
