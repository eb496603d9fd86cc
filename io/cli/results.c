#include "io/cli/results.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/path.h"
#include "io/results.h"
#include "io/units.h"
#include "io/utf8.h"
#include "io/verify.h"
#include "sched/record.h"

void tgi_cli_results_fini(struct tgi_cli_results *results)
{
    for (uint32_t i = 0; i < results->n_checks; i++)
        free(results->checks[i].text);
    free(results->checks);
    *results = (struct tgi_cli_results){0};
}

/* ---- Checks -------------------------------------------------------------------------------*/

static void on_check(void *user, const struct tgi_check *check, bool passed, const char *text)
{
    struct tgi_cli_results *results = user;
    (void)check;
    results->n_failed += !passed;
    struct tgi_cli_check *checks = realloc(results->checks, (results->n_checks + 1) * sizeof(*checks));
    if (!checks)
        return; /* the count and the status of the whole still tell */
    results->checks = checks;
    checks[results->n_checks++] = (struct tgi_cli_check){strdup(text), passed};
}

int tgi_cli_results_verify(const struct tgi_cli *cli, const struct tg_graph *g, struct tg_run *run,
                           struct tgi_cli_results *results)
{
    struct tg_error err;
    if (g->space->n_checks == 0)
        tgi_cli_warn(cli, "--verify: the graph has no \"checks\", so there is nothing to verify");
    results->is_verified = true;
    int rc = tgi_verify(g, run, on_check, results, &err);
    return rc ? tgi_cli_error(cli, &err) : 0;
}

/* ---- Comparison ---------------------------------------------------------------------------*/

/* The reference: one task at a time, in program order, on one worker. */
static int run_sequentially(const struct tgi_cli *cli, const struct tg_graph *g, struct tg_runtime *runtime,
                            struct tg_run **run_p, struct tg_error *err)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    options.is_deterministic = true;
    options.timeout_ns = tgi_cli_time_ns(cli, "timeout", 0);
    int rc = tg_run_create(runtime, g, &options, &run, err);
    if (rc)
        return rc;
    tgi_cli_watch(run);
    rc = tg_run_start(run, err);
    if (rc == 0)
        rc = tg_run_wait(run, err);
    tgi_cli_watch(NULL);
    if (rc) {
        tg_run_destroy(run);
        return rc;
    }
    *run_p = run;
    return 0;
}

/* Contents of temporary buffers are nobody's. */
static bool has_results(const struct tg_graph *g)
{
    bool has_any = false;
    for (uint32_t i = 0; i < g->space->n_buffers && !has_any; i++) {
        const struct tgi_buffer *b = &g->space->buffers[i];
        has_any = !b->is_temp && b->n_present && b->tile_bytes;
    }
    return has_any;
}

int tgi_cli_results_compare(const struct tgi_cli *cli, const struct tg_graph *g, struct tg_runtime *runtime,
                            struct tg_run *run, struct tgi_cli_results *results)
{
    struct tg_run *sequential;
    struct tg_error err;
    bool has_any = has_results(g);
    if (!has_any)
        tgi_cli_warn(cli, "--compare: the graph has no data but temporary ones, so there is nothing to compare");
    if (run_sequentially(cli, g, runtime, &sequential, &err)) {
        int number = tgi_cli_signal();
        return number ? 128 + number : tgi_cli_error(cli, &err);
    }
    int rc = tgi_results_compare_sequential(g, run, sequential, &results->is_exact, &err);
    tg_run_destroy(sequential);
    results->is_compared = has_any && (rc == 0 || rc == TG_E_DIFFERS);
    results->is_same = rc == 0;
    return rc ? tgi_cli_error(cli, &err) : 0;
}

/* ---- Files --------------------------------------------------------------------------------*/

struct saving {
    const struct tgi_cli *cli;
    struct tgi_cli_results *results;
};

static void on_saved(void *user, const struct tgi_buffer *buffer, const char *path)
{
    struct saving *saving = user;
    saving->results->n_saved++;
    tgi_cli_detail(saving->cli, "buffer \"%s\" saved as %s", buffer->name, path);
}

int tgi_cli_results_save(const struct tgi_cli *cli, const struct tg_graph *g, struct tg_run *run,
                         const char *folder, struct tgi_cli_results *results)
{
    struct saving saving = {cli, results};
    struct tg_error err;
    int rc = tgi_results_save(g, run, folder, on_saved, &saving, &err);
    return rc ? tgi_cli_error(cli, &err) : 0;
}

struct saved_as {
    char *path; /* tidy */
    const struct tgi_buffer *buffer;
};

static int compare_paths(const void *a, const void *b)
{
    const struct saved_as *x = a, *y = b;
    int order = strcmp(x->path, y->path);
    return order ? order : (x->buffer > y->buffer) - (x->buffer < y->buffer);
}

/* Two buffers of one file would leave the second alone. */
static int check_paths(const struct tg_graph *g, struct tg_error *err)
{
    const struct tgi_space *space = g->space;
    struct saved_as *all = calloc((size_t)space->n_buffers + 1, sizeof *all);
    uint32_t n = 0;
    int rc = all ? 0 : tgi_error_memory(err, "saving buffers");
    for (uint32_t i = 0; i < space->n_buffers && rc == 0; i++)
        if (space->buffers[i].save) {
            all[n] = (struct saved_as){tgi_path_tidy(space->buffers[i].save), &space->buffers[i]};
            rc = all[n].path ? 0 : tgi_error_memory(err, "saving buffers");
            n += rc == 0;
        }
    if (rc == 0)
        qsort(all, n, sizeof *all, compare_paths);
    for (uint32_t i = 1; i < n && rc == 0; i++)
        if (strcmp(all[i - 1].path, all[i].path) == 0)
            rc = tgi_error(err, TG_E_BAD_VALUE, "buffers \"%s\" and \"%s\" are both saved as \"%s\"", all[i - 1].buffer->name,
                           all[i].buffer->name, all[i].path);
    while (n)
        free(all[--n].path);
    free(all);
    return rc;
}

int tgi_cli_results_check(const struct tgi_cli *cli, const struct tg_graph *g, const char *folder)
{
    struct tg_error err;
    int rc = check_paths(g, &err);
    if (rc == 0)
        rc = tgi_results_check(g, folder, &err);
    return rc ? tgi_cli_error(cli, &err) : 0;
}

/* ---- Summary ------------------------------------------------------------------------------*/

void tgi_cli_results_print(const struct tgi_cli_results *results, FILE *to)
{
    char n[TGI_UNITS_SIZE];
    for (uint32_t i = 0; i < results->n_checks; i++) {
        fprintf(to, "  check: %s  ", results->checks[i].holds ? "holds" : "FAILS");
        tgi_utf8_print(to, results->checks[i].text ? results->checks[i].text : "");
        putc('\n', to);
    }
    if (results->is_compared)
        fprintf(to, "  compare: %s sequential execution%s\n", results->is_same ? "equal to" : "DIFFERS from",
                !results->is_same ? "" : results->is_exact ? ", bit for bit" : ", up to rounding");
    if (results->n_saved)
        fprintf(to, "  saved: %s file%s\n", tgi_format_count(results->n_saved, n, sizeof(n)),
                results->n_saved == 1 ? "" : "s");
}

void tgi_cli_results_json(const struct tgi_cli_results *results, struct tgi_json *json)
{
    if (results->is_verified) {
        tgi_json_array(json, "checks");
        for (uint32_t i = 0; i < results->n_checks; i++) {
            tgi_json_flat_object(json, NULL);
            tgi_json_bool(json, "holds", results->checks[i].holds);
            tgi_json_string(json, "text", results->checks[i].text);
            tgi_json_end(json);
        }
        tgi_json_end(json);
    }
    if (results->is_compared) {
        tgi_json_flat_object(json, "compare");
        tgi_json_string(json, "with", "sequential");
        tgi_json_bool(json, "is_same", results->is_same);
        tgi_json_bool(json, "is_exact", results->is_exact);
        tgi_json_end(json);
    }
    if (results->n_saved)
        tgi_json_uint(json, "saved_files", results->n_saved);
}
