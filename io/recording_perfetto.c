/* A Perfetto trace is a protobuf message Trace whose packets, field 1, stand one after the other.  A track is
 * declared once, with its parent: CPUs or device, then lane.  Kernels are categories, interned by number; each task is
 * a packet where it begins and one where it ends; counters are tracks of their own, a packet for each value.  The numbers are those of perfetto/trace/trace_packet.proto and
 * track_event/{track_event,track_descriptor}.proto. */
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/output.h"
#include "io/recording_counters.h"
#include "io/recording_export.h"
#include "io/text.h"
#include "io/utf8.h"

enum { TRACE_PACKET = 1 };
enum { PACKET_TIMESTAMP = 8, PACKET_SEQUENCE = 10, PACKET_TRACK_EVENT = 11, PACKET_INTERNED = 12, PACKET_FLAGS = 13,
       PACKET_TRACK_DESCRIPTOR = 60 };
enum { FLAG_STATE_CLEARED = 1, FLAG_NEEDS_STATE = 2 };
enum { DESCRIPTOR_UUID = 1, DESCRIPTOR_NAME = 2, DESCRIPTOR_PARENT = 5, DESCRIPTOR_COUNTER = 8 };
enum { COUNTER_UNIT = 3, UNIT_COUNT = 2, UNIT_BYTES = 3 };
enum { EVENT_CATEGORY_IID = 3, EVENT_ANNOTATION = 4, EVENT_TYPE = 9, EVENT_TRACK = 11, EVENT_NAME = 23,
       EVENT_COUNTER_VALUE = 30, EVENT_FLOW = 47, EVENT_FLOW_END = 48 };
enum { TYPE_BEGIN = 1, TYPE_END = 2, TYPE_COUNTER = 4 };
enum { ANNOTATION_UINT = 3, ANNOTATION_NAME = 10 };
enum { INTERNED_CATEGORY = 1, CATEGORY_IID = 1, CATEGORY_NAME = 2 };

enum { ROOT_TRACK = 1 }; /* the CPUs; devices, lanes and counters follow */

/* Arrows between tasks, each with a number of its own from 1: by the task they start from, in order. */
struct flows {
    uint32_t *first; /* by task: flows first[t] .. first[t + 1] start there */
    uint32_t *from_critical, *from_other; /* by task: the flow that ends there; 0: none */
};

struct writer {
    const struct tgi_recording *r;
    struct tgi_counters counters;
    struct flows flows;
    struct tgi_text out, packet, message, part; /* from the outside inwards */
};

static void put_uint(struct tgi_text *text, uint32_t field, uint64_t value)
{
    tgi_text_varint(text, field << 3 | 0);
    tgi_text_varint(text, value);
}

static void put_fixed64(struct tgi_text *text, uint32_t field, uint64_t value)
{
    tgi_text_varint(text, field << 3 | 1);
    tgi_text_add(text, (const char *)&value, sizeof(value));
}

static void put_bytes(struct tgi_text *text, uint32_t field, const char *bytes, size_t size)
{
    tgi_text_varint(text, field << 3 | 2);
    tgi_text_varint(text, size);
    tgi_text_add(text, bytes, size);
}

/* Strings of protobuf are UTF-8; a control character would do no harm to the file, but to who prints it. */
static void put_string(struct tgi_text *text, uint32_t field, const char *string)
{
    char clean[3 * TGI_RECORDING_NAME_SIZE];
    size_t n = 0;
    while (*string && n + 4 < sizeof(clean)) {
        int length = tgi_utf8_length(string);
        if (length == 0)
            memcpy(clean + n, "\xef\xbf\xbd", 3);
        else if (tgi_utf8_is_control(string))
            clean[n] = '?';
        else
            memcpy(clean + n, string, (size_t)length);
        n += length == 0 ? 3 : tgi_utf8_is_control(string) ? 1 : (size_t)length;
        string += length ? length : 1;
    }
    put_bytes(text, field, clean, n);
}

/* The message becomes a field of the packet, and the packet one of the trace. */
static void finish_packet(struct writer *w, uint32_t field)
{
    put_uint(&w->packet, PACKET_SEQUENCE, 1);
    put_bytes(&w->packet, field, w->message.data, w->message.size);
    put_bytes(&w->out, TRACE_PACKET, w->packet.data, w->packet.size);
    w->packet.size = w->message.size = 0;
}

static void put_track(struct writer *w, uint64_t uuid, uint64_t parent, const char *name)
{
    put_uint(&w->message, DESCRIPTOR_UUID, uuid);
    put_string(&w->message, DESCRIPTOR_NAME, name);
    if (parent)
        put_uint(&w->message, DESCRIPTOR_PARENT, parent);
    finish_packet(w, PACKET_TRACK_DESCRIPTOR);
}

static uint64_t device_track(uint32_t device) { return device == TG_NONE ? ROOT_TRACK : ROOT_TRACK + 1 + device; }
static uint64_t lane_track(const struct tgi_recording *r, uint32_t lane) { return ROOT_TRACK + 1 + r->n_devices + lane; }

static void put_tracks(struct writer *w)
{
    const struct tgi_recording *r = w->r;
    char name[64];
    put_track(w, ROOT_TRACK, 0, "CPUs");
    for (uint32_t i = 0; i < r->n_devices; i++)
        put_track(w, device_track(i), 0, tgi_recording_node_name(r, i + 1, name, sizeof(name)));
    for (uint32_t i = 0; i < r->n_lanes; i++)
        put_track(w, lane_track(r, i), device_track(r->lanes[i].device), tgi_recording_lane_name(r, i, name, sizeof(name)));
}

static uint64_t counter_track(const struct writer *w, uint32_t i) { return lane_track(w->r, (uint32_t)w->r->n_lanes) + i; }

static void put_counter_tracks(struct writer *w)
{
    for (uint32_t i = 0; i < w->counters.n; i++) {
        const struct tgi_counter *c = &w->counters.counters[i];
        w->part.size = 0;
        put_uint(&w->part, COUNTER_UNIT, c->unit == TGI_COUNTS_BYTES ? UNIT_BYTES : UNIT_COUNT);
        put_uint(&w->message, DESCRIPTOR_UUID, counter_track(w, i));
        put_string(&w->message, DESCRIPTOR_NAME, c->name);
        put_uint(&w->message, DESCRIPTOR_PARENT, device_track(c->node ? c->node - 1 : TG_NONE));
        put_bytes(&w->message, DESCRIPTOR_COUNTER, w->part.data, w->part.size);
        finish_packet(w, PACKET_TRACK_DESCRIPTOR);
    }
}

static void put_counters(struct writer *w)
{
    for (uint32_t i = 0; i < w->counters.n; i++)
        for (uint32_t k = 0; k < w->counters.counters[i].n; k++) {
            put_uint(&w->packet, PACKET_TIMESTAMP, w->counters.counters[i].steps[k].at_ns);
            put_uint(&w->message, EVENT_TYPE, TYPE_COUNTER);
            put_uint(&w->message, EVENT_TRACK, counter_track(w, i));
            put_uint(&w->message, EVENT_COUNTER_VALUE, w->counters.counters[i].steps[k].value);
            finish_packet(w, PACKET_TRACK_EVENT);
        }
}

static void put_categories(struct writer *w)
{
    put_uint(&w->packet, PACKET_FLAGS, FLAG_STATE_CLEARED | FLAG_NEEDS_STATE);
    for (uint32_t k = 0; k < w->r->n_kernels; k++) {
        w->part.size = 0;
        put_uint(&w->part, CATEGORY_IID, k + 1);
        put_string(&w->part, CATEGORY_NAME, tgi_recording_kernel_name(w->r, k));
        put_bytes(&w->message, INTERNED_CATEGORY, w->part.data, w->part.size);
    }
    finish_packet(w, PACKET_INTERNED);
}

static void put_annotation(struct writer *w, const char *name, uint64_t value)
{
    w->part.size = 0;
    put_uint(&w->part, ANNOTATION_UINT, value);
    put_string(&w->part, ANNOTATION_NAME, name);
    put_bytes(&w->message, EVENT_ANNOTATION, w->part.data, w->part.size);
}

/* Calls fn for each arrow: along the critical path, and from the last predecessor where that was on another device. */
static void each_flow(const struct tgi_recording *r, const struct tgi_recording_paths *paths, struct flows *f,
                      void (*fn)(struct flows *f, uint32_t from, uint32_t to, bool is_critical))
{
    for (uint32_t i = 0; i + 1 < paths->n_critical; i++)
        fn(f, paths->critical[i], paths->critical[i + 1], true);
    for (uint32_t t = 0; t < r->n_tasks; t++) {
        uint32_t from = r->tasks[t].waited_for;
        if (from == TG_NONE || !tgi_recording_has_work(r, t) || !tgi_recording_has_work(r, from) ||
            r->lanes[r->tasks[t].lane].device == r->lanes[r->tasks[from].lane].device ||
            (paths->is_critical[t] && paths->is_critical[from]))
            continue;
        fn(f, from, t, false);
    }
}

static void count_flow(struct flows *f, uint32_t from, uint32_t to, bool is_critical)
{
    (void)to, (void)is_critical;
    f->first[from + 1]++;
}

static void put_flow(struct flows *f, uint32_t from, uint32_t to, bool is_critical)
{
    (is_critical ? f->from_critical : f->from_other)[to] = ++f->first[from];
}

static int list_flows(struct writer *w, const struct tgi_recording_paths *paths, struct tg_error *err)
{
    struct flows *f = &w->flows;
    uint64_t n = w->r->n_tasks;
    f->first = calloc(n + 2, sizeof(*f->first));
    f->from_critical = calloc(n + 1, sizeof(*f->from_critical));
    f->from_other = calloc(n + 1, sizeof(*f->from_other));
    if (!f->first || !f->from_critical || !f->from_other)
        return tgi_error_memory(err, "the trace of a record");
    each_flow(w->r, paths, f, count_flow);
    for (uint64_t t = 1; t <= n; t++)
        f->first[t] += f->first[t - 1];
    each_flow(w->r, paths, f, put_flow); /* moves each first to the next one's */
    memmove(f->first + 1, f->first, n * sizeof(*f->first));
    f->first[0] = 0;
    return 0;
}

static void put_task(struct writer *w, uint32_t t)
{
    const struct tgi_recording *r = w->r;
    const struct tgi_recording_task *task = &r->tasks[t];
    char name[TGI_RECORDING_NAME_SIZE];
    put_uint(&w->packet, PACKET_TIMESTAMP, task->start_ns);
    put_uint(&w->packet, PACKET_FLAGS, FLAG_NEEDS_STATE);
    put_uint(&w->message, EVENT_TYPE, TYPE_BEGIN);
    put_uint(&w->message, EVENT_TRACK, lane_track(r, task->lane));
    put_uint(&w->message, EVENT_CATEGORY_IID, task->kernel + 1);
    put_string(&w->message, EVENT_NAME, tgi_recording_task_name(r, t, name, sizeof(name)));
    if (task->ready_ns < task->start_ns)
        put_annotation(w, "queued_ns", task->start_ns - task->ready_ns);
    for (uint32_t i = w->flows.first[t]; i < w->flows.first[t + 1]; i++)
        put_fixed64(&w->message, EVENT_FLOW, i + 1);
    if (w->flows.from_critical[t])
        put_fixed64(&w->message, EVENT_FLOW_END, w->flows.from_critical[t]);
    if (w->flows.from_other[t])
        put_fixed64(&w->message, EVENT_FLOW_END, w->flows.from_other[t]);
    finish_packet(w, PACKET_TRACK_EVENT);

    put_uint(&w->packet, PACKET_TIMESTAMP, task->end_ns);
    put_uint(&w->message, EVENT_TYPE, TYPE_END);
    put_uint(&w->message, EVENT_TRACK, lane_track(r, task->lane));
    finish_packet(w, PACKET_TRACK_EVENT);
}

static void fini(struct writer *w)
{
    free(w->flows.first);
    free(w->flows.from_critical);
    free(w->flows.from_other);
    tgi_recording_counters_fini(&w->counters);
    tgi_text_fini(&w->out);
    tgi_text_fini(&w->packet);
    tgi_text_fini(&w->message);
    tgi_text_fini(&w->part);
}

static int put_trace(struct writer *w, struct tg_error *err)
{
    put_categories(w);
    put_tracks(w);
    put_counter_tracks(w);
    for (uint32_t t = 0; t < w->r->n_tasks && !ferror(w->out.to); t++)
        if (tgi_recording_has_work(w->r, t))
            put_task(w, t);
    put_counters(w);
    int rc = tgi_text_finish(&w->out, err);
    if (rc == 0 && (w->packet.is_out_of_memory || w->message.is_out_of_memory || w->part.is_out_of_memory))
        rc = tgi_error_memory(err, "the trace of a record");
    if (rc == 0)
        rc = tgi_output_check(w->out.to, "the trace of a record", err);
    return rc;
}

int tgi_recording_write_perfetto(const struct tgi_recording *r, const struct tgi_recording_paths *paths, FILE *to,
                                 struct tg_error *err)
{
    struct writer w = {.r = r, .out = {.to = to}};
    int rc = tgi_recording_counters_create(r, &w.counters, err);
    if (rc == 0)
        rc = list_flows(&w, paths, err);
    if (rc == 0)
        rc = put_trace(&w, err);
    fini(&w);
    return rc;
}
