/* https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU: "X" events are spans, "M" names,
 * "s" and "f" the ends of arrows, "C" counters.  Times are microseconds, with fractions. */
#include "graph/error.h"
#include "io/json_out.h"
#include "io/output.h"
#include "io/recording_counters.h"
#include "io/recording_export.h"

/* 0: the CPUs; 1 + device. */
static uint32_t process_of(const struct tgi_recording *r, uint32_t lane)
{
    return r->lanes[lane].device == TG_NONE ? 0 : 1 + r->lanes[lane].device;
}

static void put_name(struct tgi_json *json, const char *what, uint32_t process, uint32_t lane, bool has_lane, const char *name)
{
    tgi_json_flat_object(json, NULL);
    tgi_json_string(json, "ph", "M");
    tgi_json_string(json, "name", what);
    tgi_json_uint(json, "pid", process);
    if (has_lane)
        tgi_json_uint(json, "tid", lane);
    tgi_json_object(json, "args");
    tgi_json_string(json, "name", name);
    tgi_json_end(json);
    tgi_json_end(json);
}

static void put_place(const struct tgi_recording *r, struct tgi_json *json, uint32_t lane)
{
    tgi_json_uint(json, "pid", process_of(r, lane));
    tgi_json_uint(json, "tid", lane);
}

static void put_task(const struct tgi_recording *r, const struct tgi_recording_paths *paths, struct tgi_json *json, uint32_t t)
{
    const struct tgi_recording_task *task = &r->tasks[t];
    char name[TGI_RECORDING_NAME_SIZE];
    tgi_json_flat_object(json, NULL);
    tgi_json_string(json, "ph", "X");
    tgi_json_string(json, "name", tgi_recording_task_name(r, t, name, sizeof(name)));
    tgi_json_string(json, "cat", tgi_recording_kernel_name(r, task->kernel));
    tgi_json_double(json, "ts", (double)task->start_ns / 1e3);
    tgi_json_double(json, "dur", (double)tgi_recording_took_ns(r, t) / 1e3);
    put_place(r, json, task->lane);
    tgi_json_object(json, "args");
    tgi_json_string(json, "kernel", tgi_recording_kernel_name(r, task->kernel));
    tgi_json_uint(json, "ready_ns", task->ready_ns);
    if (task->waited_for != TG_NONE)
        tgi_json_string(json, "waited_for", tgi_recording_task_name(r, task->waited_for, name, sizeof(name)));
    tgi_json_uint(json, "slack_ns", paths->slack_ns[t]);
    tgi_json_bool(json, "is_critical", paths->is_critical[t]);
    tgi_json_end(json);
    tgi_json_end(json);
}

static void put_arrow_end(const struct tgi_recording *r, struct tgi_json *json, const char *phase, uint32_t id, uint32_t lane,
                          uint64_t at_ns)
{
    tgi_json_flat_object(json, NULL);
    tgi_json_string(json, "ph", phase);
    tgi_json_string(json, "name", "critical path");
    tgi_json_string(json, "cat", "critical path");
    tgi_json_uint(json, "id", id);
    if (phase[0] == 'f')
        tgi_json_string(json, "bp", "e");
    tgi_json_double(json, "ts", (double)at_ns / 1e3);
    put_place(r, json, lane);
    tgi_json_end(json);
}

static void put_counters(const struct tgi_counters *counters, struct tgi_json *json)
{
    for (uint32_t i = 0; i < counters->n; i++)
        for (uint32_t k = 0; k < counters->counters[i].n; k++) {
            const struct tgi_counter *c = &counters->counters[i];
            tgi_json_flat_object(json, NULL);
            tgi_json_string(json, "ph", "C");
            tgi_json_string(json, "name", c->name);
            tgi_json_uint(json, "pid", c->node);
            tgi_json_double(json, "ts", (double)c->steps[k].at_ns / 1e3);
            tgi_json_object(json, "args");
            tgi_json_uint(json, c->unit == TGI_COUNTS_BYTES ? "bytes" : "tasks", c->steps[k].value);
            tgi_json_end(json);
            tgi_json_end(json);
        }
}

int tgi_recording_write_chrome(const struct tgi_recording *r, const struct tgi_recording_paths *paths, FILE *to,
                               struct tg_error *err)
{
    struct tgi_json json = tgi_json_begin(to, TGI_JSON_PRETTY);
    struct tgi_counters counters;
    char name[64];
    int rc = tgi_recording_counters_create(r, &counters, err);
    if (rc)
        return rc;
    tgi_json_object(&json, NULL);
    tgi_json_string(&json, "displayTimeUnit", "ns");
    tgi_json_array(&json, "traceEvents");
    put_name(&json, "process_name", 0, 0, false, "CPUs");
    for (uint32_t i = 0; i < r->n_devices; i++)
        put_name(&json, "process_name", i + 1, 0, false, tgi_recording_node_name(r, i + 1, name, sizeof(name)));
    for (uint32_t i = 0; i < r->n_lanes; i++)
        put_name(&json, "thread_name", process_of(r, i), i, true, tgi_recording_lane_name(r, i, name, sizeof(name)));
    for (uint32_t t = 0; t < r->n_tasks && !ferror(to); t++)
        if (tgi_recording_has_work(r, t))
            put_task(r, paths, &json, t);
    for (uint32_t i = 0; i + 1 < paths->n_critical; i++) {
        const struct tgi_recording_task *from = &r->tasks[paths->critical[i]], *next = &r->tasks[paths->critical[i + 1]];
        put_arrow_end(r, &json, "s", i, from->lane, from->start_ns);
        put_arrow_end(r, &json, "f", i, next->lane, next->start_ns);
    }
    put_counters(&counters, &json);
    tgi_recording_counters_fini(&counters);
    tgi_json_end(&json);
    tgi_json_end(&json);
    return tgi_output_check(to, "the trace of a record", err);
}
