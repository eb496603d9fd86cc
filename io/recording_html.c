/* What the page of a record carries: small tables as JSON, numbers of tasks as columns.  A column is a text of base64; each
 * number takes the bytes it needs, most of them one or two, as differences from what stands before. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/json_out.h"
#include "io/output.h"
#include "io/page.h"
#include "io/recording_export.h"
#include "io/recording_table.h"

struct writer {
    const struct tgi_recording *r;
    const struct tgi_recording_paths *paths;
    struct tgi_recording_table table;
    struct tgi_json json;
    struct tgi_text numbers, base64; /* of the column under construction */
    bool is_out_of_memory;
};

/* ---- Columns ------------------------------------------------------------------------------*/

static void put_column(struct writer *w, const char *name)
{
    w->base64.size = 0;
    tgi_text_str(&w->base64, "\"");
    tgi_text_base64(&w->base64, w->numbers.data, w->numbers.size);
    tgi_text_add(&w->base64, "\"", 2); /* terminated */
    w->is_out_of_memory |= w->base64.is_out_of_memory || w->numbers.is_out_of_memory;
    if (!w->is_out_of_memory)
        tgi_json_raw(&w->json, name, w->base64.data);
    w->numbers.size = 0;
}

/* None is 0, so that it takes a byte. */
static uint64_t one_more(uint32_t index) { return index == TG_NONE ? 0 : (uint64_t)index + 1; }

static int64_t difference(uint64_t a, uint64_t b) { return (int64_t)(a - b); }

static void put_zigzag_or_none(struct writer *w, bool is_there, int64_t value)
{
    if (is_there)
        tgi_text_varint(&w->numbers, ((uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0)) + 1);
    else
        tgi_text_varint(&w->numbers, 0);
}

enum { IS_FRAME = 1, IS_STOLEN = 2, IS_CRITICAL = 4, STATE_SHIFT = 3 }; /* as in io/html/record.js */

static uint64_t flags_of(const struct writer *w, uint32_t t)
{
    const struct tgi_recording_task *task = &w->r->tasks[t];
    return (task->flags & TGI_RECORDED_FRAME ? IS_FRAME : 0) | (task->flags & TGI_RECORDED_STOLEN ? IS_STOLEN : 0) |
           (w->paths->is_critical[t] ? IS_CRITICAL : 0) | (uint64_t)(task->state & 31) << STATE_SHIFT;
}

/* 1 + the lane that a task was stolen from, one more than there are for the submitter; 0: it was not stolen, or nobody knows. */
static uint64_t victim_of(const struct tgi_recording *r, uint32_t t)
{
    uint32_t victim;
    if (!(r->tasks[t].flags & TGI_RECORDED_STOLEN) || !tgi_recording_victim(r, t, &victim))
        return 0;
    return victim == TG_NONE ? r->n_lanes + 1 : victim + 1u;
}

/* A cost as a whole number; 0: not given, or nothing to show. */
static uint64_t cost_of(double value) { return isfinite(value) && value >= 1 && value < 0x1p53 ? (uint64_t)value : 0; }

static bool has_costs(const struct tgi_recording *r)
{
    for (uint64_t t = 0; t < r->n_tasks; t++)
        if (cost_of(r->tasks[t].flops) && cost_of(r->tasks[t].bytes))
            return true;
    return false;
}

/* statement: adds one number of task t. */
#define COLUMN(w, name, statement)                                     \
    do {                                                               \
        for (uint32_t t = 0; t < (w)->r->n_tasks; t++) {               \
            const struct tgi_recording_task *task = &(w)->r->tasks[t]; \
            statement;                                                 \
        }                                                              \
        put_column(w, name);                                           \
    } while (0)

static void put_tasks(struct writer *w)
{
    const struct tgi_recording *r = w->r;
    struct tgi_text *to = &w->numbers;
    COLUMN(w, "start", tgi_text_zigzag(to, difference(task->start_ns, t ? task[-1].start_ns : 0)));
    COLUMN(w, "took", tgi_text_varint(to, task->end_ns - task->start_ns));
    COLUMN(w, "queued", tgi_text_zigzag(to, difference(task->start_ns, task->ready_ns)));
    COLUMN(w, "slack", (void)task; tgi_text_varint(to, w->paths->slack_ns[t]));
    COLUMN(w, "lane", tgi_text_varint(to, one_more(task->lane)));
    COLUMN(w, "kernel", tgi_text_varint(to, task->kernel));
    COLUMN(w, "flags", (void)task; tgi_text_varint(to, flags_of(w, t)));
    COLUMN(w, "attempts", tgi_text_varint(to, task->attempts));
    COLUMN(w, "victim", (void)task; tgi_text_varint(to, victim_of(r, t)));
    COLUMN(w, "priority", tgi_text_zigzag(to, task->priority));
    COLUMN(w, "waited_for", put_zigzag_or_none(w, task->waited_for != TG_NONE, difference(t, task->waited_for)));
    if (has_costs(r)) {
        COLUMN(w, "flops", tgi_text_varint(to, cost_of(task->flops)));
        COLUMN(w, "bytes", tgi_text_varint(to, cost_of(task->bytes)));
    }
    COLUMN(w, "n_preds", tgi_text_varint(to, task->n_preds));
    COLUMN(w, "preds", for (uint32_t e = 0; e < task->n_preds; e++)
                           tgi_text_zigzag(to, difference(t, r->preds[task->first_pred + e])));
    for (uint32_t i = 0; i < w->paths->n_critical; i++)
        tgi_text_zigzag(to, difference(w->paths->critical[i], i ? w->paths->critical[i - 1] : 0));
    put_column(w, "critical");
}

#define COPY_COLUMN(w, name, value)                                             \
    do {                                                                        \
        for (uint64_t i = 0; i < (w)->r->n_transfers; i++) {                    \
            const struct tgi_recording_transfer *copy = &(w)->r->transfers[i];  \
            tgi_text_varint(&(w)->numbers, value);                              \
        }                                                                       \
        put_column(w, name);                                                    \
    } while (0)

static void put_copies(struct writer *w)
{
    const struct tgi_recording *r = w->r;
    COPY_COLUMN(w, "copy_bytes", copy->bytes);
    COPY_COLUMN(w, "copy_from", copy->from);
    COPY_COLUMN(w, "copy_to", copy->to);
    COPY_COLUMN(w, "copy_buffer", copy->buffer);
    COPY_COLUMN(w, "copy_tile", copy->tile);
    for (uint64_t i = 0, last = 0; i < r->n_transfers; i++) {
        uint32_t task = r->transfers[i].task;
        put_zigzag_or_none(w, task != TG_NONE, difference(task, last));
        last = task == TG_NONE ? last : task;
    }
    put_column(w, "copy_task");
}

static void put_places(struct writer *w)
{
    const struct tgi_recording *r = w->r;
    for (uint64_t i = 0; i < r->n_places; i++)
        tgi_text_varint(&w->numbers, r->places[i].task - (i ? r->places[i - 1].task : 0));
    put_column(w, "place_task");
    for (uint64_t i = 0; i < r->n_places; i++)
        tgi_text_varint(&w->numbers, r->places[i].node);
    put_column(w, "place_node");
    for (uint64_t i = 0; i < r->n_places; i++)
        tgi_text_varint(&w->numbers, r->places[i].reason);
    put_column(w, "place_reason");
    for (uint64_t i = 0; i < r->n_places; i++)
        tgi_text_varint(&w->numbers, (uint64_t)r->places[i].busy_ns);
    put_column(w, "place_busy");
    for (uint64_t i = 0; i < r->n_places; i++)
        tgi_text_varint(&w->numbers, (uint64_t)r->places[i].move_ns);
    put_column(w, "place_move");
}

/* A list for each node that has any, in the order of time. */
static void put_memory(struct writer *w)
{
    const struct tgi_recording *r = w->r;
    tgi_json_array(&w->json, "memory");
    for (uint64_t i = 0, end = 0; i < r->n_memory; i = end) {
        char node[64], name[96];
        while (end < r->n_memory && r->memory[end].node == r->memory[i].node)
            end++;
        snprintf(name, sizeof(name), "%s memory", tgi_recording_node_name(r, r->memory[i].node, node, sizeof(node)));
        tgi_json_flat_object(&w->json, NULL);
        tgi_json_string(&w->json, "name", name);
        tgi_json_uint(&w->json, "n", end - i);
        for (uint64_t k = i; k < end; k++)
            tgi_text_varint(&w->numbers, r->memory[k].at_ns - (k > i ? r->memory[k - 1].at_ns : 0));
        put_column(w, "at");
        for (uint64_t k = i; k < end; k++)
            tgi_text_varint(&w->numbers, r->memory[k].bytes);
        put_column(w, "bytes");
        tgi_json_end(&w->json);
    }
    tgi_json_end(&w->json);
}

/* ---- Tables -------------------------------------------------------------------------------*/

static void put_names(struct writer *w)
{
    char name[TGI_RECORDING_NAME_SIZE], number[16];
    tgi_json_flat_array(&w->json, "names");
    for (uint32_t t = 0; t < w->r->n_tasks; t++) {
        tgi_recording_task_name(w->r, t, name, sizeof(name));
        snprintf(number, sizeof(number), "#%u", t);
        tgi_json_string(&w->json, NULL, strcmp(name, number) == 0 ? "" : name); /* the page knows that one */
    }
    tgi_json_end(&w->json);
}

static void put_kernels(struct writer *w)
{
    const struct tgi_recording *r = w->r;
    struct tgi_json *json = &w->json;
    tgi_json_array(json, "kernels");
    for (uint32_t i = 0; i < r->n_kernels; i++) {
        const struct tgi_kernel_figures none = {.kernel = i}, *found = tgi_recording_table_kernel(&w->table, i),
                                        *k = found ? found : &none;
        const char *cpu = tgi_recording_string(r, r->kernels[i].variant), *device = tgi_recording_string(r, r->kernels[i].device_variant);
        char variants[TGI_RECORDING_NAME_SIZE];
        snprintf(variants, sizeof(variants), "%s%s%s", cpu, cpu[0] && device[0] ? ", " : "", device);
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "name", tgi_recording_kernel_name(r, i));
        tgi_json_string(json, "fill", tgi_recording_fill(r, i));
        tgi_json_string(json, "variant", variants);
        tgi_json_uint(json, "n", k->n_tasks);
        tgi_kernel_figures_json(k, json);
        tgi_json_double(json, "flops", k->flops);
        tgi_json_end(json);
    }
    tgi_json_end(json);
}

static void put_machine(struct writer *w)
{
    const struct tgi_recording *r = w->r;
    struct tgi_json *json = &w->json;
    char name[64];
    tgi_json_array(json, "lanes");
    for (uint32_t i = 0; i < r->n_lanes; i++) {
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "name", tgi_recording_lane_name(r, i, name, sizeof(name)));
        tgi_json_uint(json, "node", r->lanes[i].device == TG_NONE ? 0 : r->lanes[i].device + 1);
        tgi_json_bool(json, "is_stream", r->lanes[i].kind != TGI_LANE_WORKER);
        tgi_json_uint(json, "busy_ns", w->table.lanes[i].busy_ns);
        tgi_json_uint(json, "n_steals", r->lanes[i].n_steals);
        tgi_json_uint(json, "n_parks", r->lanes[i].n_parks);
        tgi_json_end(json);
    }
    tgi_json_end(json);
    tgi_json_flat_array(json, "nodes");
    for (uint32_t i = 0; i <= r->n_devices; i++)
        tgi_json_string(json, NULL, tgi_recording_node_name(r, i, name, sizeof(name)));
    tgi_json_end(json);
    tgi_json_array(json, "devices");
    for (uint32_t i = 0; i < r->n_devices; i++) {
        const struct tgi_recording_device *d = &r->devices[i];
        tgi_json_flat_object(json, NULL);
        tgi_json_uint(json, "node", i + 1);
        tgi_json_string(json, "name", tgi_recording_string(r, d->name));
        tgi_json_uint(json, "in_bytes", d->in_bytes);
        tgi_json_uint(json, "out_bytes", d->out_bytes);
        tgi_json_uint(json, "peak_bytes", d->peak_bytes);
        tgi_json_double(json, "flop_per_s", d->flop_per_s);
        tgi_json_double(json, "byte_per_s", d->byte_per_s);
        tgi_json_end(json);
    }
    tgi_json_end(json);
    tgi_json_flat_array(json, "reasons"); /* for a place, by number */
    for (uint32_t i = 0; i <= TGI_WEIGHED_PART; i++)
        tgi_json_string(json, NULL, tgi_recording_reason(i));
    tgi_json_end(json);
    tgi_json_flat_array(json, "buffers");
    for (uint32_t i = 0; i < r->n_buffers; i++)
        tgi_json_string(json, NULL, tgi_recording_string(r, r->buffers[i].name));
    tgi_json_end(json);
}

/* Of one that is not known `ns` is null. */
static void put_bounds(struct writer *w)
{
    struct tgi_run_bounds b = tgi_recording_bounds(w->r, w->paths);
    tgi_json_double(&w->json, "bound_ns", b.ns[b.binding]);
    tgi_json_string(&w->json, "binding", tgi_bound_name(b.binding));
    tgi_json_array(&w->json, "bounds");
    for (int i = 0; i < TGI_N_BOUNDS; i++) {
        tgi_json_flat_object(&w->json, NULL);
        tgi_json_string(&w->json, "name", tgi_bound_name((enum tgi_bound)i));
        tgi_json_double(&w->json, "ns", b.ns[i]);
        tgi_json_bool(&w->json, "is_beaten", tgi_run_bounds_is_beaten(&b, i));
        tgi_json_end(&w->json);
    }
    tgi_json_end(&w->json);
}

static void put_head(struct writer *w)
{
    const struct tgi_recording *r = w->r;
    const struct tgi_recording_head *h = &r->head;
    struct tgi_json *json = &w->json;
    tgi_json_string(json, "name", tgi_recording_string(r, h->name));
    tgi_json_string(json, "outcome", tgi_recording_string(r, h->outcome));
    tgi_json_string(json, "policy", tgi_recording_string(r, h->policy));
    tgi_json_string(json, "machine", tgi_recording_string(r, h->machine));
    tgi_json_string(json, "version", tgi_recording_string(r, h->version));
    tgi_json_uint(json, "began_s", h->began_s);
    tgi_json_bool(json, "is_cut", r->is_cut);
    tgi_json_bool(json, "is_unfinished", r->is_unfinished);
    tgi_json_uint(json, "n_lost_rounds", h->n_lost_rounds);
    tgi_json_uint(json, "n_workers", h->n_workers);
    tgi_json_uint(json, "makespan_ns", h->makespan_ns);
    tgi_json_bool(json, "knows_bounds", tgi_recording_knows_bounds(r, w->paths));
    tgi_json_uint(json, "critical_ns", w->paths->critical_ns);
    put_bounds(w);
    tgi_json_uint(json, "n_work", w->table.n_work);
    tgi_json_uint(json, "n_failed", w->table.n_failed);
    tgi_json_uint(json, "n_not_run", w->table.n_not_run);
    tgi_json_uint(json, "moved_bytes", h->to_device_bytes + h->to_host_bytes + h->peer_bytes);
    tgi_json_uint(json, "n_copied", h->n_copies);
    tgi_json_uint(json, "data_bytes", h->data_bytes);
    tgi_json_uint(json, "n_tasks", r->n_tasks);
    tgi_json_uint(json, "n_preds", r->n_preds);
    tgi_json_uint(json, "n_copies", r->n_transfers);
    tgi_json_uint(json, "n_places", r->n_places);
    tgi_json_uint(json, "n_critical", w->paths->n_critical);
}

static void put_record(struct writer *w)
{
    tgi_json_object(&w->json, NULL);
    put_head(w);
    put_kernels(w);
    put_machine(w);
    put_names(w);
    tgi_json_object(&w->json, "columns");
    put_tasks(w);
    put_copies(w);
    put_places(w);
    tgi_json_end(&w->json);
    put_memory(w);
    tgi_json_end(&w->json);
}

/* ---- The whole ----------------------------------------------------------------------------*/

/* The document in memory, which the caller frees. */
static int make_json(struct writer *w, char **text_p, size_t *size_p, struct tg_error *err)
{
    char *text = NULL;
    FILE *to = open_memstream(&text, size_p);
    if (!to)
        return tgi_error_memory(err, "the page of a record");
    w->json = tgi_json_begin(to, TGI_JSON_PRETTY);
    put_record(w);
    bool is_lost = ferror(to) || w->is_out_of_memory;
    if (fclose(to) != 0 || is_lost) {
        free(text);
        return tgi_error_memory(err, "the page of a record");
    }
    *text_p = text;
    return 0;
}

int tgi_recording_write_html(const struct tgi_recording *r, const struct tgi_recording_paths *paths, FILE *to, struct tg_error *err)
{
    struct writer w = {.r = r, .paths = paths};
    char *text = NULL;
    size_t size = 0;
    int rc = tgi_recording_table_create(r, paths, &w.table, err);
    if (rc)
        return rc;
    rc = make_json(&w, &text, &size, err);
    if (rc == 0) {
        rc = tgi_page_write(text, size, to, err);
        free(text);
    }
    if (rc == 0)
        rc = tgi_output_check(to, "the page of a record", err);
    tgi_text_fini(&w.numbers);
    tgi_text_fini(&w.base64);
    tgi_recording_table_fini(&w.table);
    return rc;
}
