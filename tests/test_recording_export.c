/* Records for other tools: what was written is read again by parsers of the form, with names that try to break out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/recording_counters.h"
#include "io/recording_export.h"
#include "io/recording_table.h"
#include "io/utf8.h"
#include "tests/hostile.h"

static struct tg_error err;

struct sample {
    struct tgi_recording r;
    struct tgi_recording_paths paths;
};

static struct sample make_hostile(void)
{
    struct tg_graph *g = NULL;
    struct sample s;
    assert_int_equal(hostile_graph(&g, &err), 0);
    struct tgi_span *spans = calloc(g->n_tasks, sizeof(*spans));
    assert_non_null(spans);
    for (uint32_t t = 0; t < g->n_tasks; t++)
        spans[t] = (struct tgi_span){.start_ns = t * 1000 + 500, .end_ns = t * 1000 + 900, .worker = t % 3, .attempts = 1,
                                     .state = TG_TASK_DONE};
    struct tgi_recorded what = {.graph = g, .spans = spans, .n_workers = 3, .makespan_ns = g->n_tasks * 1000};
    assert_int_equal(tgi_recording_create(&what, &s.r, &err), 0);
    assert_int_equal(tgi_recording_paths_create(&s.r, &s.paths, &err), 0);
    free(spans);
    tg_graph_destroy(g);
    return s;
}

static void free_sample(struct sample *s)
{
    tgi_recording_paths_fini(&s->paths);
    tgi_recording_fini(&s->r);
}

typedef int (*write_fn)(const struct tgi_recording *, const struct tgi_recording_paths *, FILE *, struct tg_error *);

static char *written(write_fn write, const struct sample *s, size_t *size_p)
{
    char *text = NULL;
    FILE *to = open_memstream(&text, size_p);
    assert_non_null(to);
    assert_int_equal(write(&s->r, &s->paths, to, &err), 0);
    assert_int_equal(fclose(to), 0);
    return text;
}

/* A name as forms have it that cannot hold every byte: no control characters, U+FFFD for what is no UTF-8. */
static const char *clean(const char *name, char *text)
{
    size_t n = 0;
    while (*name) {
        int length = tgi_utf8_length(name);
        if (length == 0) {
            memcpy(text + n, "\xef\xbf\xbd", 3);
            n += 3;
        } else if (tgi_utf8_is_control(name)) {
            text[n++] = '?';
        } else {
            memcpy(text + n, name, (size_t)length);
            n += (size_t)length;
        }
        name += length ? length : 1;
    }
    text[n] = '\0';
    return text;
}

static const char *clean_name(const struct sample *s, uint32_t task, char *text)
{
    char name[TGI_RECORDING_NAME_SIZE];
    return clean(tgi_recording_task_name(&s->r, task, name, sizeof(name)), text);
}

/* ---- JSON ---------------------------------------------------------------------------------*/

static void chrome_traces_are_json_with_a_span_for_each_task(void **state)
{
    struct sample s = make_hostile();
    size_t size, n_spans = 0, n_arrows = 0, n_counters = 0;
    json_error_t error;
    json_t *event;
    size_t i;
    (void)state;
    char *text = written(tgi_recording_write_chrome, &s, &size);
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    assert_non_null(root);
    json_array_foreach(json_object_get(root, "traceEvents"), i, event) {
        const char *phase = json_string_value(json_object_get(event, "ph"));
        n_arrows += strcmp(phase, "s") == 0;
        n_counters += strcmp(phase, "C") == 0;
        if (strcmp(phase, "X") != 0)
            continue;
        uint32_t t = (uint32_t)n_spans++;
        assert_true(json_number_value(json_object_get(event, "ts")) == t + 0.5);
        assert_true(json_number_value(json_object_get(event, "dur")) == 0.4);
        assert_int_equal(json_integer_value(json_object_get(event, "tid")), t % 3);
    }
    assert_int_equal(n_spans, s.r.n_tasks);
    assert_int_equal(n_arrows, s.paths.n_critical - 1);
    assert_true(n_counters > 2 * s.r.n_tasks); /* running goes up and down with each */
    json_decref(root);
    free(text);
    free_sample(&s);
}

static void records_are_json_documents(void **state)
{
    struct sample s = make_hostile();
    size_t size, i;
    json_t *task;
    (void)state;
    char *text = written(tgi_recording_write_json, &s, &size);
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL), *tasks = json_object_get(root, "tasks");
    assert_string_equal(json_string_value(json_object_get(root, "schema")), "tgraph.record/1");
    assert_int_equal(json_array_size(tasks), s.r.n_tasks);
    json_array_foreach(tasks, i, task)
        assert_int_equal(json_array_size(json_object_get(task, "preds")), s.r.tasks[i].n_preds);
    json_decref(root);
    free(text);
    free_sample(&s);
}

/* ---- HTML ---------------------------------------------------------------------------------*/

static uint64_t varint_at(const char *base64, size_t *bit_p)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
        uint32_t byte = 0;
        for (int i = 0; i < 8; i++, ++*bit_p)
            byte = byte << 1 | ((uint32_t)(strchr(digits, base64[*bit_p / 6]) - digits) >> (5 - *bit_p % 6) & 1);
        value |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128))
            return value;
    }
}

/* What a browser makes of it is tests/test_page.c. */
static void pages_hold_the_record_as_a_json_document(void **state)
{
    static const char begin[] = "<script type=\"application/json\" id=\"record\">", end[] = "</script>";
    struct sample s = make_hostile();
    char name[TGI_RECORDING_NAME_SIZE];
    size_t size, bit = 0;
    (void)state;
    char *text = written(tgi_recording_write_html, &s, &size);
    char *json = strstr(text, begin), *after = json ? strstr(json, end) : NULL;
    assert_non_null(after);
    json += strlen(begin);
    assert_null(memchr(json, '<', (size_t)(after - json)));
    json_t *root = json_loadb(json, (size_t)(after - json), JSON_REJECT_DUPLICATES, NULL), *names = json_object_get(root, "names");
    assert_int_equal(json_array_size(names), s.r.n_tasks);
    for (uint32_t t = 0; t < s.r.n_tasks; t++) {
        const char *shown = json_string_value(json_array_get(names, t));
        tgi_recording_task_name(&s.r, t, name, sizeof(name));
        if (shown[0] && hostile_names[t / 2][0] != '\xff')
            assert_string_equal(shown, name);
    }
    const char *took = json_string_value(json_object_get(json_object_get(root, "columns"), "took"));
    for (uint32_t t = 0; t < s.r.n_tasks; t++)
        assert_int_equal(varint_at(took, &bit), s.r.tasks[t].end_ns - s.r.tasks[t].start_ns);
    assert_true(strlen(took) == (bit / 8 + 2) / 3 * 4);
    json_decref(root);
    free(text);
    free_sample(&s);
}

/* ---- CSV ----------------------------------------------------------------------------------*/

/* The next field by RFC 4180; returns what follows it. */
static const char *read_field(const char *p, char *field)
{
    size_t n = 0;
    if (*p != '"') {
        while (*p != ',' && *p != '\r') {
            assert_true(*p != '"' && *p != '\n' && *p);
            field[n++] = *p++;
        }
    } else {
        for (p++; *p != '"' || p[1] == '"'; p++) {
            assert_true(*p != '\0');
            p += *p == '"';
            field[n++] = *p;
        }
        p++;
    }
    field[n] = '\0';
    assert_true(*p == ',' || (*p == '\r' && p[1] == '\n'));
    return p + (*p == ',' ? 1 : 2);
}

static void csv_has_a_line_for_each_task_and_no_formulas(void **state)
{
    struct sample s = make_hostile();
    char field[TGI_RECORDING_NAME_SIZE], name[3 * TGI_RECORDING_NAME_SIZE];
    size_t size;
    (void)state;
    char *text = written(tgi_recording_write_csv, &s, &size);
    const char *p = text;
    for (uint32_t line = 0; line <= s.r.n_tasks; line++)
        for (int column = 0; column < 12; column++) {
            p = read_field(p, field);
            if (line == 0 || column > 0)
                continue;
            clean_name(&s, line - 1, name);
            assert_false(strchr("=+-@", field[0]) && field[0]);
            assert_string_equal(field + (strchr("=+-@", name[0]) != NULL), name);
        }
    assert_int_equal(*p, '\0');
    free(text);
    free_sample(&s);
}

/* ---- Protobuf -----------------------------------------------------------------------------*/

/* One field of a message. */
struct field {
    uint32_t number;
    uint64_t value;            /* of varint and fixed64 */
    const unsigned char *data; /* of bytes; else NULL */
    size_t size;
};
struct message {
    const unsigned char *at, *end;
};

static uint64_t read_varint(struct message *m)
{
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
        assert_true(m->at < m->end && shift < 64);
        value |= (uint64_t)(*m->at & 0x7f) << shift;
        if (!(*m->at++ & 0x80))
            return value;
    }
}

static bool next_field(struct message *m, struct field *f)
{
    if (m->at == m->end)
        return false;
    uint64_t key = read_varint(m);
    *f = (struct field){.number = (uint32_t)(key >> 3)};
    switch (key & 7) {
    case 0:
        f->value = read_varint(m);
        break;
    case 1:
        assert_true(m->end - m->at >= 8);
        memcpy(&f->value, m->at, 8);
        m->at += 8;
        break;
    case 2:
        f->size = read_varint(m);
        assert_true(f->size <= (size_t)(m->end - m->at));
        f->data = m->at;
        m->at += f->size;
        break;
    default:
        fail_msg("wire type %d", (int)(key & 7));
    }
    return true;
}

/* The field of that number; it must be there once at most. */
static bool find_field(const struct field *of, uint32_t number, struct field *found)
{
    struct message m = {of->data, of->data + of->size};
    struct field f;
    bool is_there = false;
    while (next_field(&m, &f))
        if (f.number == number) {
            assert_false(is_there);
            is_there = true;
            *found = f;
        }
    return is_there;
}

static uint64_t number_in(const struct field *of, uint32_t number)
{
    struct field f;
    return find_field(of, number, &f) ? f.value : 0;
}

static void assert_text(const struct field *of, uint32_t number, const char *expected)
{
    struct field f;
    assert_true(find_field(of, number, &f));
    assert_int_equal(f.size, strlen(expected));
    if (f.size)
        assert_memory_equal(f.data, expected, f.size);
}

/* The schema, of the messages and fields that we write, by the numbers and types in trace.proto, trace_packet.proto,
 * track_event.proto, track_descriptor.proto, counter_descriptor.proto, debug_annotation.proto and interned_data.proto. */
enum wire { VARINT, FIXED64, BYTES };
enum message_kind { NO_MESSAGE, PACKET, EVENT, DESCRIPTOR, COUNTER, ANNOTATION, INTERNED, CATEGORY };
static const struct {
    enum message_kind of;
    uint32_t number;
    enum wire wire;
    enum message_kind is; /* of bytes: what they are; NO_MESSAGE: a string */
} schema[] = {
    {PACKET, 8, VARINT, 0},     {PACKET, 10, VARINT, 0},       {PACKET, 11, BYTES, EVENT},  {PACKET, 12, BYTES, INTERNED},
    {PACKET, 13, VARINT, 0},    {PACKET, 60, BYTES, DESCRIPTOR},
    {EVENT, 3, VARINT, 0},      {EVENT, 4, BYTES, ANNOTATION}, {EVENT, 9, VARINT, 0},       {EVENT, 11, VARINT, 0},
    {EVENT, 23, BYTES, 0},      {EVENT, 30, VARINT, 0},        {EVENT, 47, FIXED64, 0},     {EVENT, 48, FIXED64, 0},
    {DESCRIPTOR, 1, VARINT, 0}, {DESCRIPTOR, 2, BYTES, 0},     {DESCRIPTOR, 5, VARINT, 0},  {DESCRIPTOR, 8, BYTES, COUNTER},
    {COUNTER, 3, VARINT, 0},
    {ANNOTATION, 3, VARINT, 0}, {ANNOTATION, 10, BYTES, 0},
    {INTERNED, 1, BYTES, CATEGORY}, {CATEGORY, 1, VARINT, 0}, {CATEGORY, 2, BYTES, 0}};

static void assert_follows_schema(enum message_kind kind, const unsigned char *data, size_t size)
{
    struct message m = {data, data + size};
    struct field f;
    for (const unsigned char *at = m.at; next_field(&m, &f); at = m.at) {
        size_t i = 0;
        while (i < sizeof(schema) / sizeof(*schema) && (schema[i].of != kind || schema[i].number != f.number))
            i++;
        if (i == sizeof(schema) / sizeof(*schema))
            fail_msg("message %d has no field %u", (int)kind, f.number);
        assert_int_equal(*at & 7, schema[i].wire); /* the type is in the key's first byte */
        if (schema[i].wire == BYTES && schema[i].is)
            assert_follows_schema(schema[i].is, f.data, f.size);
        for (size_t k = 0; schema[i].wire == BYTES && !schema[i].is && k < f.size;) { /* strings are UTF-8 */
            char text[5] = "";
            memcpy(text, f.data + k, f.size - k < 4 ? f.size - k : 4);
            int length = tgi_utf8_length(text);
            assert_true(length > 0 && !tgi_utf8_is_control(text));
            k += (size_t)length;
        }
    }
}

/* What a counter track says; its values follow the counters of the record. */
static void check_counter(const struct tgi_counters *counters, uint32_t i, uint32_t k, const struct field *packet, const struct field *event)
{
    assert_true(i < counters->n && k < counters->counters[i].n);
    assert_int_equal(number_in(packet, 8), counters->counters[i].steps[k].at_ns);
    assert_int_equal(number_in(event, 30), counters->counters[i].steps[k].value);
}


static void perfetto_traces_decode_to_the_tasks(void **state)
{
    struct sample s = make_hostile();
    char name[3 * TGI_RECORDING_NAME_SIZE];
    struct field packet, event, other;
    struct tgi_counters counters;
    uint32_t n_of_counter[8] = {0}, n_counter_tracks = 0, n_tracks = 0, n_begun = 0, n_ended = 0, n_flows = 0, n_flow_ends = 0, n_categories = 0;
    uint64_t last_track = 0;
    size_t size;
    (void)state;
    assert_int_equal(tgi_recording_counters_create(&s.r, &counters, &err), 0);
    char *text = written(tgi_recording_write_perfetto, &s, &size);
    struct message trace = {(unsigned char *)text, (unsigned char *)text + size};
    while (next_field(&trace, &packet)) {
        assert_int_equal(packet.number, 1);
        assert_follows_schema(PACKET, packet.data, packet.size);
        assert_int_equal(number_in(&packet, 10), 1); /* trusted_packet_sequence_id */
        if (find_field(&packet, 12, &other)) {       /* interned_data */
            struct message m = {other.data, other.data + other.size};
            struct field category;
            assert_true(number_in(&packet, 13) & 1); /* the state begins here */
            while (next_field(&m, &category)) {
                assert_int_equal(category.number, 1);
                assert_int_equal(number_in(&category, 1), ++n_categories);
                assert_text(&category, 2, clean(tgi_recording_kernel_name(&s.r, n_categories - 1), name));
            }
        }
        if (find_field(&packet, 60, &other)) { /* track_descriptor */
            n_tracks++;
            assert_int_equal(number_in(&other, 1), n_tracks); /* numbered as they come */
            struct field counter;
            if (find_field(&other, 8, &counter)) {
                assert_text(&other, 2, counters.counters[n_counter_tracks].name);
                assert_int_equal(number_in(&counter, 3), counters.counters[n_counter_tracks++].unit == TGI_COUNTS_BYTES ? 3 : 2);
            }
        }
        if (!find_field(&packet, 11, &event)) /* track_event */
            continue;
        if (number_in(&event, 9) == 4) { /* a counter */
            uint32_t c = (uint32_t)number_in(&event, 11) - (1 + 3 + 1);
            check_counter(&counters, c, n_of_counter[c]++, &packet, &event);
            continue;
        }
        if (number_in(&event, 9) == 2) { /* the end of a slice */
            assert_int_equal(number_in(&event, 11), last_track);
            assert_int_equal(number_in(&packet, 8), s.r.tasks[n_ended++].end_ns);
            continue;
        }
        uint32_t t = n_begun++;
        assert_int_equal(number_in(&event, 9), 1);
        assert_int_equal(number_in(&packet, 8), s.r.tasks[t].start_ns);
        last_track = number_in(&event, 11);
        assert_int_equal(last_track, 2 + t % 3);
        assert_int_equal(number_in(&event, 3), s.r.tasks[t].kernel + 1);
        assert_text(&event, 23, clean_name(&s, t, name));
        n_flows += find_field(&event, 47, &other);
        n_flow_ends += find_field(&event, 48, &other);
    }
    assert_int_equal(n_tracks, 1 + 3 + counters.n);
    assert_int_equal(n_counter_tracks, counters.n);
    assert_int_equal(counters.n, 4); /* running, waiting, rate, memory of the host */
    for (uint32_t i = 0; i < counters.n; i++)
        assert_int_equal(n_of_counter[i], counters.counters[i].n);
    tgi_recording_counters_fini(&counters);
    assert_int_equal(n_categories, s.r.n_kernels);
    assert_int_equal(n_begun, s.r.n_tasks);
    assert_int_equal(n_ended, s.r.n_tasks);
    assert_int_equal(n_flows, s.paths.n_critical - 1);
    assert_int_equal(n_flow_ends, s.paths.n_critical - 1);
    free(text);
    free_sample(&s);
}

/* ---- Counters -----------------------------------------------------------------------------*/

static void counters_are_what_tasks_did(void **state)
{
    struct sample s = make_hostile();
    struct tgi_counters counters;
    uint64_t n_ended = 0;
    (void)state;
    assert_int_equal(tgi_recording_counters_create(&s.r, &counters, &err), 0);
    const struct tgi_counter *running = &counters.counters[0], *rate = &counters.counters[2];
    assert_string_equal(running->name, "running");
    assert_int_equal(running->n, 2 * s.r.n_tasks); /* one after the other, with gaps */
    for (uint32_t i = 0; i < running->n; i++) {
        assert_int_equal(running->steps[i].value, i % 2 == 0);
        assert_int_equal(running->steps[i].at_ns, i / 2 * 1000 + (i % 2 ? 900 : 500));
    }
    for (uint32_t i = 0; i < rate->n; i++) {
        uint64_t window_ns = rate->steps[1].at_ns;
        n_ended += (rate->steps[i].value * window_ns + 500000000) / 1000000000;
    }
    assert_int_equal(n_ended, s.r.n_tasks);
    tgi_recording_counters_fini(&counters);
    free_sample(&s);
}

/* Tasks that all run at once, and end one by one, more than there are steps. */
static void many_changes_are_few_steps_with_the_most_of_each(void **state)
{
    enum { N = 10000, MOST = 100 };
    struct tgi_change *changes = calloc(2 * N, sizeof(*changes));
    struct tgi_step steps[MOST];
    (void)state;
    assert_non_null(changes);
    for (uint32_t i = 0; i < N; i++) {
        changes[i] = (struct tgi_change){0, 1};
        changes[N + i] = (struct tgi_change){(i + 1) * 10, -1};
    }
    uint32_t n = tgi_steps_make(changes, 2 * N, MOST, steps);
    assert_in_range(n, MOST / 2, MOST);
    assert_int_equal(steps[0].value, N);
    for (uint32_t i = 0; i < n; i++) /* at the beginning of a stretch all are there that end later */
        assert_int_equal(steps[i].value, N - (steps[i].at_ns ? (steps[i].at_ns - 1) / 10 : 0));
    free(changes);
}

/* ---- DOT ----------------------------------------------------------------------------------*/

static int write_dot(const struct tgi_recording *r, const struct tgi_recording_paths *paths, FILE *to, struct tg_error *e)
{
    return tgi_recording_write_dot(r, paths, 10000, to, NULL, e);
}

/* Outside of quotes there is nothing but our own words. */
static void schedules_in_dot_have_our_attributes_only(void **state)
{
    static const char *const ours[] = {
        "digraph", "schedule", "graph", "node", "edge", "subgraph", "layout", "nop", "splines", "line", "fontname", "fontsize",
        "labelloc", "t", "label", "shape", "box", "style", "filled", "fixedsize", "true", "penwidth", "color", "arrowsize", "pos",
        "width", "height", "fillcolor", "tooltip", "plaintext"};
    struct sample s = make_hostile();
    size_t size, n_nodes = 0;
    (void)state;
    char *text = written(write_dot, &s, &size), word[64];
    bool is_quoted = false;
    for (const char *p = text; *p; p++) {
        if (is_quoted && *p == '\\') {
            p++;
            assert_true(*p == '"' || *p == '\\' || *p == 'n'); /* \n is ours; in names every \ is doubled */
        } else if (*p == '"') {
            is_quoted = !is_quoted;
        } else if (!is_quoted && *p >= 'a' && *p <= 'z') {
            size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyz_0123456789"), i = 0;
            assert_true(n < sizeof(word));
            memcpy(word, p, n);
            word[n] = '\0';
            while (i < sizeof(ours) / sizeof(*ours) && strcmp(ours[i], word) != 0)
                i++;
            bool is_id = strspn(word + 1, "0123456789") == n - 1 || strncmp(word, "cluster_", 8) == 0 || strncmp(word, "lane", 4) == 0;
            assert_true(i < sizeof(ours) / sizeof(*ours) || is_id);
            p += n - 1;
        }
        n_nodes += !is_quoted && strncmp(p, " [pos=", 6) == 0;
    }
    assert_false(is_quoted);
    assert_int_equal(n_nodes, s.r.n_tasks);
    free(text);
    free_sample(&s);
}

/* ---- DOT, as Graphviz reads it ------------------------------------------------------------*/

static struct {
    void *(*read)(const char *);
    int (*close)(void *);
    int (*n_nodes)(void *);
    int (*n_edges)(void *);
    void *(*find)(void *, char *, int);
    char *(*get)(void *, char *);
} cgraph;

static bool has_cgraph(void)
{
    void *library = dlopen("libcgraph.so.6", RTLD_NOW);
    if (!library)
        return false;
#define LOAD(member, name) *(void **)&cgraph.member = dlsym(library, name); assert_non_null(cgraph.member)
    LOAD(read, "agmemread");
    LOAD(close, "agclose");
    LOAD(n_nodes, "agnnodes");
    LOAD(n_edges, "agnedges");
    LOAD(find, "agnode");
    LOAD(get, "agget");
#undef LOAD
    return true;
}

/* cgraph keeps escapes and entities, which are for the layout: undone here, up to the first line break, which is ours. */
static const char *unescape(const char *label, char *text)
{
    size_t n = 0;
    for (; *label; label++) {
        if (*label == '\\' && label[1] == 'n')
            break;
        label += *label == '\\' && label[1] == '\\';
        text[n++] = *label;
        label += strncmp(label, "&amp;", 5) == 0 ? 4 : 0;
    }
    text[n] = '\0';
    return text;
}

static void schedules_in_dot_are_read_back(void **state)
{
    struct sample s = make_hostile();
    char node[32], text[3 * TGI_RECORDING_NAME_SIZE], name[3 * TGI_RECORDING_NAME_SIZE], tooltip[] = "tooltip", layout[] = "layout";
    size_t size;
    (void)state;
    if (!has_cgraph()) {
        free_sample(&s);
        skip();
    }
    char *dot = written(write_dot, &s, &size);
    void *graph = cgraph.read(dot);
    assert_non_null(graph);
    assert_string_equal(cgraph.get(graph, layout), "nop");
    assert_int_equal(cgraph.n_nodes(graph), s.r.n_tasks + 3); /* and the names of three lanes */
    assert_true(cgraph.n_edges(graph) >= (int)s.paths.n_critical - 1);
    for (uint32_t t = 0; t < s.r.n_tasks; t++) {
        snprintf(node, sizeof(node), "t%u", t);
        void *found = cgraph.find(graph, node, 0);
        assert_non_null(found);
        assert_string_equal(unescape(cgraph.get(found, tooltip), text), clean_name(&s, t, name));
    }
    cgraph.close(graph);
    free(dot);
    free_sample(&s);
}

static void types_and_devices_in_dot_are_read_back(void **state)
{
    struct sample s = make_hostile();
    char node[32], text[3 * TGI_RECORDING_NAME_SIZE], name[3 * TGI_RECORDING_NAME_SIZE], label[] = "label";
    size_t size;
    (void)state;
    if (!has_cgraph()) {
        free_sample(&s);
        skip();
    }
    char *dot = written(tgi_recording_write_types, &s, &size);
    void *graph = cgraph.read(dot);
    assert_non_null(graph);
    assert_int_equal(cgraph.n_nodes(graph), s.r.n_kernels);
    for (uint32_t k = 0; k < s.r.n_kernels; k++) {
        snprintf(node, sizeof(node), "k%u", k);
        void *found = cgraph.find(graph, node, 0);
        assert_non_null(found);
        assert_string_equal(unescape(cgraph.get(found, label), text), clean(tgi_recording_kernel_name(&s.r, k), name));
        assert_non_null(strstr(cgraph.get(found, label), "\\n2 tasks, 800 ns"));
    }
    cgraph.close(graph);
    free(dot);

    dot = written(tgi_recording_write_devices, &s, &size);
    graph = cgraph.read(dot);
    assert_non_null(graph);
    assert_int_equal(cgraph.n_nodes(graph), 3); /* workers */
    assert_int_equal(cgraph.n_edges(graph), 0); /* nobody stole */
    cgraph.close(graph);
    free(dot);
    free_sample(&s);
}

/* ---- Figures ------------------------------------------------------------------------------*/

static void tables_add_up(void **state)
{
    struct sample s = make_hostile();
    struct tgi_recording_table table;
    uint32_t *longest, n_longest;
    uint64_t n = 0, total_ns = 0, busy_ns = 0, critical_ns = 0;
    (void)state;
    assert_int_equal(tgi_recording_table_create(&s.r, &s.paths, &table, &err), 0);
    for (uint32_t k = 0; k < table.n_kernels; k++) {
        n += table.kernels[k].n_tasks;
        total_ns += table.kernels[k].total_ns;
        critical_ns += table.kernels[k].critical_ns;
        assert_int_equal(table.kernels[k].median_ns, 400);
        assert_ptr_equal(tgi_recording_table_kernel(&table, table.kernels[k].kernel), &table.kernels[k]);
    }
    for (uint32_t i = 0; i < s.r.n_lanes; i++)
        busy_ns += table.lanes[i].busy_ns;
    assert_int_equal(n, s.r.n_tasks);
    assert_int_equal(total_ns, n * 400);
    assert_int_equal(busy_ns, total_ns);
    assert_int_equal(critical_ns, s.paths.critical_ns);
    assert_int_equal(s.paths.area_ns, total_ns / 3);
    assert_int_equal(tgi_recording_longest(&s.r, &longest, &n_longest, &err), 0);
    assert_int_equal(n_longest, n);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(longest[i], i); /* all take the same: in order */
    free(longest);
    tgi_recording_table_fini(&table);
    free_sample(&s);
}

/* A burst of two at a time in the first hundredth, then one alone to the end: the most of the burst is not that of what follows. */
static void a_burst_does_not_last_until_the_next_change(void **state)
{
    (void)state;
    enum { N_BURST = 5000, MOST = 256, LAST = 1000000 };
    static struct tgi_change changes[2 * N_BURST + 2];
    struct tgi_step steps[MOST];
    uint64_t n = 0, at_half = 0;
    changes[n++] = (struct tgi_change){0, 1};
    for (uint64_t i = 0; i < N_BURST; i++) {
        changes[n++] = (struct tgi_change){2 * i, 1};
        changes[n++] = (struct tgi_change){2 * i + 1, -1};
    }
    changes[n++] = (struct tgi_change){LAST, -1};
    uint32_t n_steps = tgi_steps_make(changes, n, MOST, steps);
    assert_in_range(n_steps, 3, MOST);
    assert_int_equal(steps[0].value, 2);
    for (uint32_t i = 0; i < n_steps && steps[i].at_ns <= LAST / 2; i++)
        at_half = steps[i].value;
    assert_int_equal(at_half, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chrome_traces_are_json_with_a_span_for_each_task),
        cmocka_unit_test(records_are_json_documents),
        cmocka_unit_test(pages_hold_the_record_as_a_json_document),
        cmocka_unit_test(csv_has_a_line_for_each_task_and_no_formulas),
        cmocka_unit_test(perfetto_traces_decode_to_the_tasks),
        cmocka_unit_test(counters_are_what_tasks_did),
        cmocka_unit_test(many_changes_are_few_steps_with_the_most_of_each),
        cmocka_unit_test(a_burst_does_not_last_until_the_next_change),
        cmocka_unit_test(schedules_in_dot_have_our_attributes_only),
        cmocka_unit_test(schedules_in_dot_are_read_back),
        cmocka_unit_test(types_and_devices_in_dot_are_read_back),
        cmocka_unit_test(tables_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
