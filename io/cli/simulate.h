/* Runs against the virtual clock: in place of a real one, and beside one, as a prediction. */
#ifndef TGI_IO_CLI_SIMULATE_H
#define TGI_IO_CLI_SIMULATE_H

#include "io/cli/cli.h"
#include "io/cli/device_choice.h"
#include "io/run_bounds.h"
#include "sched/workload.h"

/* run --simulate: what the graph would do on --machine, or on this one with rough figures, under --policy; an exit code. */
int tgi_cli_simulate(const struct tgi_cli *cli, const struct tg_graph *graph, const struct tgi_device_choice *devices);

/* Tasks of a run by streams or on CPUs whose times it keeps, 32 bytes each; of a larger one there are none. */
enum { TGI_CLI_MOST_RECORDED = 4000000 };

struct tgi_cli_prediction {
    const char *policy;         /* NULL: what runs do without one */
    enum tg_executor executor;  /* that has executed it, or will */
    bool is_recorded;           /* with times of its tasks */
    uint32_t n_workers, n_gpus;
    uint64_t n_starts;          /* of more than one it is the later ones that count */
    const uint8_t *nodes;       /* by task, where it was placed: 0: with CPUs, else 1 + GPU; NULL: not known */
};
/* ns_p (may be NULL): how long such a run takes by a machine that was measured here; 0: that is not known, which a note says.  Bounds by the
 * machine's figures are found in either case.  An exit code. */
int tgi_cli_predict(const struct tgi_cli *cli, const struct tg_graph *graph, const struct tgi_machine *machine,
                    const struct tgi_cli_prediction *what, double *ns_p, struct tgi_machine_bounds *bounds_p);

/* "times of tasks: 120 measured, 16 by roofline", a line. */
void tgi_cli_print_times(const struct tgi_workload *w);

#endif
