/* A record as rows: CSV and JSON. */
#include <math.h>
#include <string.h>

#include "graph/error.h"
#include "io/json_out.h"
#include "io/output.h"
#include "io/recording_export.h"
#include "io/utf8.h"

static const char *const state_names[] = {
    [TG_TASK_WAITING] = "waiting", [TG_TASK_DONE] = "done", [TG_TASK_FAILED] = "failed", [TG_TASK_SKIPPED] = "skipped"};

static const char *state_name(uint8_t state)
{
    return state < sizeof(state_names) / sizeof(*state_names) && state_names[state] ? state_names[state] : "unknown";
}

/* ---- CSV ----------------------------------------------------------------------------------*/

/* A field in quotes.  Spreadsheets take a text that starts like a formula for one, in quotes or not; an apostrophe
 * in front makes it text. */
static void put_field(FILE *to, const char *text)
{
    putc('"', to);
    if (*text && strchr("=+-@", *text))
        putc('\'', to);
    while (*text) {
        int length = tgi_utf8_length(text);
        if (length == 0)
            fputs("\xef\xbf\xbd", to);
        else if (tgi_utf8_is_control(text))
            putc('?', to);
        else if (*text == '"')
            fputs("\"\"", to);
        else
            fwrite(text, 1, (size_t)length, to);
        text += length ? length : 1;
    }
    putc('"', to);
}

int tgi_recording_write_csv(const struct tgi_recording *r, const struct tgi_recording_paths *paths, FILE *to,
                            struct tg_error *err)
{
    char name[TGI_RECORDING_NAME_SIZE], lane[64];
    fputs("task,kernel,state,lane,ready_ns,start_ns,end_ns,waited_for,slack_ns,is_critical,attempts,priority\r\n", to);
    for (uint32_t t = 0; t < r->n_tasks && !ferror(to); t++) {
        const struct tgi_recording_task *task = &r->tasks[t];
        put_field(to, tgi_recording_task_name(r, t, name, sizeof(name)));
        putc(',', to);
        put_field(to, tgi_recording_kernel_name(r, task->kernel));
        fprintf(to, ",%s,", state_name(task->state));
        if (task->lane != TG_NONE)
            put_field(to, tgi_recording_lane_name(r, task->lane, lane, sizeof(lane)));
        fprintf(to, ",%llu,%llu,%llu,", (unsigned long long)task->ready_ns, (unsigned long long)task->start_ns,
                (unsigned long long)task->end_ns);
        if (task->waited_for != TG_NONE)
            put_field(to, tgi_recording_task_name(r, task->waited_for, name, sizeof(name)));
        fprintf(to, ",%llu,%u,%u,%d\r\n", (unsigned long long)paths->slack_ns[t], paths->is_critical[t], task->attempts,
                (int)task->priority);
    }
    return tgi_output_check(to, "the tasks of a record", err);
}

/* ---- JSON ---------------------------------------------------------------------------------*/

static void put_cost(struct tgi_json *json, const char *key, double value)
{
    if (isfinite(value))
        tgi_json_double(json, key, value);
}

static void put_task(const struct tgi_recording *r, const struct tgi_recording_paths *paths, struct tgi_json *json, uint32_t t)
{
    const struct tgi_recording_task *task = &r->tasks[t];
    char name[TGI_RECORDING_NAME_SIZE];
    tgi_json_flat_object(json, NULL);
    tgi_json_string(json, "task", tgi_recording_task_name(r, t, name, sizeof(name)));
    tgi_json_uint(json, "kernel", task->kernel);
    tgi_json_string(json, "state", state_name(task->state));
    if (task->lane != TG_NONE)
        tgi_json_uint(json, "lane", task->lane);
    tgi_json_uint(json, "ready_ns", task->ready_ns);
    tgi_json_uint(json, "start_ns", task->start_ns);
    tgi_json_uint(json, "end_ns", task->end_ns);
    if (task->waited_for != TG_NONE)
        tgi_json_uint(json, "waited_for", task->waited_for);
    tgi_json_uint(json, "slack_ns", paths->slack_ns[t]);
    tgi_json_bool(json, "is_critical", paths->is_critical[t]);
    tgi_json_uint(json, "attempts", task->attempts);
    tgi_json_int(json, "priority", task->priority);
    tgi_json_bool(json, "is_frame", task->flags & TGI_RECORDED_FRAME);
    put_cost(json, "flops", task->flops);
    put_cost(json, "bytes", task->bytes);
    put_cost(json, "us", task->us);
    tgi_json_array(json, "preds");
    for (uint32_t e = 0; e < task->n_preds; e++)
        tgi_json_uint(json, NULL, r->preds[task->first_pred + e]);
    tgi_json_end(json);
    tgi_json_end(json);
}

static void put_tables(const struct tgi_recording *r, struct tgi_json *json)
{
    char name[64];
    tgi_json_array(json, "kernels");
    for (uint32_t k = 0; k < r->n_kernels; k++)
        tgi_json_string(json, NULL, tgi_recording_kernel_name(r, k));
    tgi_json_end(json);
    tgi_json_array(json, "lanes");
    for (uint32_t i = 0; i < r->n_lanes; i++)
        tgi_json_string(json, NULL, tgi_recording_lane_name(r, i, name, sizeof(name)));
    tgi_json_end(json);
    tgi_json_array(json, "transfers");
    for (uint64_t i = 0; i < r->n_transfers; i++) {
        const struct tgi_recording_transfer *x = &r->transfers[i];
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "from", tgi_recording_node_name(r, x->from, name, sizeof(name)));
        tgi_json_string(json, "to", tgi_recording_node_name(r, x->to, name, sizeof(name)));
        tgi_json_uint(json, "moved_bytes", x->bytes);
        tgi_json_string(json, "buffer", x->buffer < r->n_buffers ? tgi_recording_string(r, r->buffers[x->buffer].name) : NULL);
        tgi_json_uint(json, "tile", x->tile);
        tgi_json_end(json);
    }
    tgi_json_end(json);
}

int tgi_recording_write_json(const struct tgi_recording *r, const struct tgi_recording_paths *paths, FILE *to,
                             struct tg_error *err)
{
    struct tgi_json json = tgi_json_begin(to, TGI_JSON_PRETTY);
    tgi_json_object(&json, NULL);
    tgi_json_string(&json, "schema", "tgraph.record/1");
    tgi_json_string(&json, "name", tgi_recording_string(r, r->head.name));
    tgi_json_string(&json, "outcome", tgi_recording_string(r, r->head.outcome));
    tgi_json_string(&json, "policy", tgi_recording_string(r, r->head.policy));
    tgi_json_bool(&json, "is_cut", r->is_cut);
    tgi_json_uint(&json, "n_workers", r->head.n_workers);
    tgi_json_uint(&json, "makespan_ns", r->head.makespan_ns);
    tgi_json_uint(&json, "critical_path_ns", paths->critical_ns);
    put_tables(r, &json);
    tgi_json_array(&json, "tasks");
    for (uint32_t t = 0; t < r->n_tasks && !ferror(to); t++)
        put_task(r, paths, &json, t);
    tgi_json_end(&json);
    tgi_json_end(&json);
    return tgi_output_check(to, "the record as JSON", err);
}
