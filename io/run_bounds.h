/* Bounds of one run: its critical path and area follow from what its tasks took, memory traffic and links from the figures of a
 * machine file, if there was one.  Figures may be too low; a bound by them that the run was faster than is shown, and does not bind. */
#ifndef TGI_IO_RUN_BOUNDS_H
#define TGI_IO_RUN_BOUNDS_H

#include <stdio.h>

#include "io/json_out.h"
#include "sched/bounds.h"

struct tgi_run_bounds {
    double ns[TGI_N_BOUNDS]; /* NAN: not known */
    double makespan_ns;
    enum tgi_bound binding;  /* the largest that the run did not beat, the first of equal ones */
};

/* What of a machine's bounds goes with a run; NAN: there is none. */
struct tgi_machine_bounds {
    double memory_ns, links_ns;
};
#define TGI_MACHINE_BOUNDS_NONE ((struct tgi_machine_bounds){__builtin_nan(""), __builtin_nan("")})

struct tgi_run_bounds tgi_run_bounds(double path_ns, double area_ns, const struct tgi_machine_bounds *machine, double makespan_ns);
/* The binding one as a part of the makespan. */
double tgi_run_bounds_share(const struct tgi_run_bounds *b);
static inline bool tgi_run_bounds_is_beaten(const struct tgi_run_bounds *b, int i) { return b->ns[i] > b->makespan_ns; }

/* "  lower bound  12 ms   87 % efficient; binding: area   of critical path .., area .., ..", then a line for what is not known
 * and one for what was beaten. */
void tgi_run_bounds_print(const struct tgi_run_bounds *b, FILE *to);
/* "critical_path_ns", .. of those that are known, "binding", "efficiency": members of an object that is open. */
void tgi_run_bounds_json(const struct tgi_run_bounds *b, struct tgi_json *json);

#endif
