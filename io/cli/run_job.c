/* See run_job.h. */
#include "io/cli/run_job.h"

const char *tgi_cli_job_policy(const struct tgi_cli_job *job)
{
    return job->plan.name ? "plan" : job->options.policy ? job->options.policy : job->n_devices ? "auto" : "steal";
}

const char *tgi_cli_job_executor(const struct tgi_cli_job *job)
{
    if (!job->n_devices)
        return "cpu";
    switch (tg_run_executor(job->run, NULL)) {
    case TG_EXECUTOR_GRAPH:
        return "graph";
    case TG_EXECUTOR_RESIDENT:
        return "resident";
    default:
        return "streams";
    }
}

const char *tgi_cli_job_executor_reason(const struct tgi_cli_job *job)
{
    const char *why = NULL;
    tg_run_executor(job->run, &why);
    return job->n_devices && job->options.executor == TG_EXECUTOR_AUTO ? why : NULL;
}

const char *tgi_cli_job_outcome(const struct tgi_cli_job *job)
{
    if (tgi_cli_signal())
        return "interrupted";
    switch (job->status) {
    case 0:
        return "ok";
    case TG_E_RUN_TIMEOUT:
        return "timeout";
    case TG_E_CANCELLED:
        return "cancelled";
    default:
        return "failed";
    }
}

/* Those of the whole graph say nothing about a part of it. */
struct tgi_machine_bounds tgi_cli_job_bounds(const struct tgi_cli_job *job)
{
    bool is_whole = job->status == 0 && !tgi_cli_signal() && !tgi_cli_has(job->cli, "resume");
    return is_whole ? job->bounds : TGI_MACHINE_BOUNDS_NONE;
}
