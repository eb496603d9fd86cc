/* One `tgraph run`: what it was asked for, what it holds between its steps, and how it went.
 *
 * run.c makes it and goes through the steps; run_record.c and run_summary.c say afterwards how it went. */
#ifndef TGI_IO_CLI_RUN_JOB_H
#define TGI_IO_CLI_RUN_JOB_H

#include "graph/model.h"
#include "io/cli/checkpoint.h"
#include "io/cli/cli.h"
#include "io/cli/device_choice.h"
#include "io/cli/results.h"
#include "io/live_record.h"
#include "io/output.h"
#include "io/run_bounds.h"
#include "io/saved_plan.h"
#include "sched/machine.h"

struct tgi_cli_job {
    const struct tgi_cli *cli;
    const struct tg_graph *graph;
    struct tgi_device_choice devices;
    struct tg_runtime *runtime;
    struct tg_run *run;
    struct tg_run_options options;
    uint64_t *makespans_ns; /* of the measured runs */
    uint32_t n_measured, n_workers, n_devices; /* n_devices 0: CPUs alone */
    int status;             /* of the last run, with err */
    struct tg_error err;
    struct tgi_cli_results results;
    struct tgi_output gantt, record, trace; /* file NULL: none is asked for */
    struct tgi_live_record *live; /* stands for `record` until that is written; NULL: none */
    double predicted_ns;    /* with --machine or --plan; 0: not known */
    struct tgi_saved_plan plan; /* to follow; name NULL: none */
    struct tgi_machine machine; /* of --machine; n_devices 0: none */
    struct tgi_machine_bounds bounds; /* by it; none: not known, or not all of the graph ran */
    struct tgi_cli_checkpoint *checkpoint; /* NULL: none is asked for */
};

/* Of a job whose run has been created: what decides what runs where, "plan" included; "cpu", or the executor of the last start. */
const char *tgi_cli_job_policy(const struct tgi_cli_job *job);
const char *tgi_cli_job_executor(const struct tgi_cli_job *job);
/* Why the executor was chosen; NULL: it was not, or there was nothing to choose. */
const char *tgi_cli_job_executor_reason(const struct tgi_cli_job *job);
/* Once it has been executed: "ok", "failed", "timeout", "cancelled" or "interrupted"; the bounds, where they are of what ran. */
const char *tgi_cli_job_outcome(const struct tgi_cli_job *job);
struct tgi_machine_bounds tgi_cli_job_bounds(const struct tgi_cli_job *job);

#endif
