/* tgraph export --view cuda-graph: the CUDA graph that a run would replay. */
#include <string.h>
#include <unistd.h>

#include "io/cli/device_choice.h"
#include "io/cli/recording.h"
#include "io/layout.h"
#include "io/output.h"
#include "io/program_picture.h"
#include "sched/offload_graph.h"

#define MAX_NODES 1500
#define TIME_LIMIT_NS (20 * (uint64_t)1000000000)

struct job {
    const struct tgi_cli *cli;
    const char *type;
    struct tg_runtime *runtime;
    struct tg_run *run;
    struct tgi_offload_preview preview;
    struct tgi_program_picture picture;
};

static bool is_type(const struct job *job, const char *type) { return strcmp(job->type, type) == 0; }

static int write_dot(void *user, FILE *to, struct tg_error *err)
{
    const struct job *job = user;
    return tgi_program_write_dot(&job->picture, to, err);
}

static int write_to(struct job *job, const char *path)
{
    struct tgi_output out;
    struct tg_error err;
    if (tgi_output_open(&out, path, &err))
        return tgi_cli_error(job->cli, &err);
    int rc = is_type(job, "json")  ? tgi_program_write_json(&job->picture, out.file, &err)
             : is_type(job, "dot") ? tgi_program_write_dot(&job->picture, out.file, &err)
                                   : tgi_layout_write(write_dot, job, job->type, tgi_cli_time_ns(job->cli, "time-limit", TIME_LIMIT_NS),
                                                      out.file, &err);
    if (rc == 0)
        rc = tgi_output_finish(&out, &err);
    tgi_output_abandon(&out);
    return rc ? tgi_cli_error(job->cli, &err) : 0;
}

static int preview(struct job *job, const struct tg_graph *graph)
{
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_run_options run_options = TG_RUN_OPTIONS_INIT;
    struct tgi_device_choice choice;
    struct tg_error err;
    char devices[128];
    int rc = tgi_device_choice_read(job->cli, &choice);
    if (rc)
        return rc;
    if (choice.is_given && !choice.has_cuda)
        return tgi_cli_usage(job->cli, "--view cuda-graph is there for cuda devices, and -D asks for none");
    tgi_device_choice_format(&choice, devices, sizeof(devices));
    options.devices = choice.is_given ? devices : "cuda";
    options.n_workers = choice.n_workers;
    options.has_devices_alone = true; /* as a run of the program has them */
    run_options.executor = TG_EXECUTOR_GRAPH;
    rc = tgi_cli_runtime_create(&options, &job->runtime, &err);
    if (rc == 0)
        rc = tg_run_create(job->runtime, graph, &run_options, &job->run, &err);
    if (rc == 0)
        rc = tgi_offload_preview(job->run, &job->preview, &err);
    return rc ? tgi_cli_error(job->cli, &err) : 0;
}

static int check_size(const struct job *job)
{
    uint32_t n = job->preview.recorded.program.n;
    int64_t most = tgi_cli_int(job->cli, "max-nodes", MAX_NODES);
    if (is_type(job, "json") || is_type(job, "dot") || n <= most)
        return 0;
    return tgi_cli_fail(job->cli, TG_E_LIMIT, "a CUDA graph of %u nodes is more than can be laid out in a short time (--max-nodes %lld);"
                        " -t dot and -t json have all of it", n, (long long)most);
}

int tgi_cli_export_program(const struct tgi_cli *cli, const struct tg_graph *graph, const char *type, const char *path)
{
    struct job job = {.cli = cli, .type = type};
    bool is_binary = is_type(&job, "png") || is_type(&job, "pdf");
    if (!is_binary && !is_type(&job, "dot") && !is_type(&job, "svg") && !is_type(&job, "json"))
        return tgi_cli_usage(cli, "--view cuda-graph is there as dot, svg, png, pdf and json");
    if (tgi_cli_has(cli, "focus") || tgi_cli_has(cli, "group") || tgi_cli_has(cli, "critical-path"))
        return tgi_cli_usage(cli, "--focus, --group and --critical-path do not go with --view cuda-graph");
    if (is_binary && (!path || strcmp(path, "-") == 0) && isatty(STDOUT_FILENO))
        return tgi_cli_usage(cli, "a %s does not belong on a terminal; use -o FILE", type);
    int rc = preview(&job, graph);
    if (rc == 0) {
        job.picture = (struct tgi_program_picture){graph, &job.preview.recorded.program, job.preview.tile,
                                                   job.runtime->offload->devices};
        rc = check_size(&job);
    }
    if (rc == 0)
        rc = write_to(&job, path);
    tgi_offload_preview_fini(&job.preview);
    tg_run_destroy(job.run);
    tg_runtime_destroy(job.runtime);
    return rc;
}
