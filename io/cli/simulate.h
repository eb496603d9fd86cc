/* Runs against the virtual clock: in place of a real one, and beside one, as a prediction. */
#ifndef TGI_IO_CLI_SIMULATE_H
#define TGI_IO_CLI_SIMULATE_H

#include "io/cli/cli.h"
#include "io/cli/device_choice.h"
#include "io/run_bounds.h"
#include "sched/workload.h"

/* run --simulate: what the graph would do on --machine, or on this one with rough figures, under --policy; an exit code. */
int tgi_cli_simulate(const struct tgi_cli *cli, const struct tg_graph *graph, const struct tgi_device_choice *devices);

/* ns_p (may be NULL): how long a run with that many workers and GPUs will take by a machine that was measured here, under a policy (NULL: what runs do
 * without one); 0: it does not know all kernels of the graph, which a note says.  Of a run that is started more than once it is the later starts that count.  Bounds
 * by the machine's figures are found in either case.  An exit code. */
int tgi_cli_predict(const struct tgi_cli *cli, const struct tg_graph *graph, const struct tgi_machine *machine, const char *policy,
                    uint32_t n_workers, uint32_t n_gpus, uint64_t n_starts, double *ns_p, struct tgi_machine_bounds *bounds_p);

/* "times of tasks: 120 measured, 16 by roofline", a line. */
void tgi_cli_print_times(const struct tgi_workload *w);

#endif
