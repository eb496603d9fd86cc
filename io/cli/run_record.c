/* See run_record.h. */
#include "io/cli/run_record.h"

#include <stdlib.h>

#include "graph/error.h"
#include "io/cli/recording.h"
#include "io/gantt.h"
#include "io/recording.h"

#define SETTLE_MS 500 /* for tasks that a time limit left behind */

/* Before the run, so that no hour of computing ends in a folder that is not there. */
int tgi_cli_run_open(struct tgi_cli_job *job, const char *option, struct tgi_output *out)
{
    const char *path = tgi_cli_text(job->cli, option, NULL);
    struct tg_error err;
    if (!path)
        return 0;
    if (!job->options.is_recorded) /* it would be, for this option, if it were small enough */
        return tgi_cli_fail(job->cli, TG_E_UNSUPPORTED, "--%s: the graph is too large to be recorded", option);
    if (tgi_output_open(out, path, &err))
        return tgi_cli_error(job->cli, &err);
    return 0;
}

/* A record that is there should the process be killed.  What cannot be put into a folder (a pipe) has none. */
void tgi_cli_run_begin_live(struct tgi_cli_job *job)
{
    struct tgi_recorded what = {.graph = job->graph, .n_workers = job->n_workers, .run = job->run, .policy = tgi_cli_job_policy(job),
                                .outcome = "did not end"};
    struct tg_error err;
    if (!job->record.temp)
        return;
    char *path = tgi_live_record_path(job->record.path);
    int rc = path ? tgi_live_record_create(path, &what, &job->live, &err) : tgi_error_memory(&err, "the record of a run");
    free(path);
    if (rc)
        tgi_cli_warn(job->cli, "should this run be killed, there will be no record of it: %s", err.text);
    else
        tgi_live_record_follow(job->live, job->run);
}

static int take_recording(const struct tgi_cli_job *job, struct tgi_recording *recording, struct tg_error *err)
{
    struct tg_run_stats stats;
    if (!tgi_run_settle(job->run, SETTLE_MS))
        return tgi_error(err, TG_E_STATE, "a task has not returned, so there is no record of the run");
    int rc = tg_run_stats(job->run, &stats, err);
    const struct tgi_span *spans = rc ? NULL : tgi_run_spans(job->run);
    if (rc == 0 && !spans)
        return tgi_error(err, TG_E_STATE, "the run did not start, so there is no record of it");
    struct tgi_recorded what = {job->graph, spans, stats.n_workers, stats.makespan_ns, tgi_run_rounds(job->run), job->run,
                                tgi_cli_job_policy(job), tgi_cli_job_outcome(job), false};
    if (rc == 0)
        rc = tgi_recording_create(&what, recording, err);
    struct tgi_machine_bounds bounds = tgi_cli_job_bounds(job);
    if (rc == 0)
        tgi_recording_take_bounds(recording, &bounds);
    return rc;
}

/* The record of the last run, and its picture. */
int tgi_cli_run_write(struct tgi_cli_job *job)
{
    struct tgi_recording recording;
    struct tg_error err;
    if (!job->gantt.file && !job->record.file && !job->trace.file)
        return 0;
    int rc = take_recording(job, &recording, &err);
    if (rc) {
        if (job->live)
            tgi_cli_note(job->cli, "\"%s.partial\" has what had ended", job->record.path);
        return tgi_cli_error(job->cli, &err);
    }
    if (job->record.file)
        rc = tgi_recording_write(&recording, job->record.file, &err);
    if (rc == 0 && job->record.file) {
        rc = tgi_output_finish(&job->record, &err);
        if (rc == 0)
            tgi_live_record_remove(job->live);
    }
    if (rc == 0 && job->gantt.file)
        rc = tgi_gantt_write(&recording, job->gantt.file, &err);
    if (rc == 0 && job->gantt.file)
        rc = tgi_output_finish(&job->gantt, &err);
    if (rc == 0 && job->trace.file)
        rc = tgi_cli_trace_write(job->cli, &recording, job->trace.file, &err);
    if (rc == 0 && job->trace.file)
        rc = tgi_output_finish(&job->trace, &err);
    tgi_recording_fini(&recording);
    return rc ? tgi_cli_error(job->cli, &err) : 0;
}
