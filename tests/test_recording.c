/* Records of runs: what is taken, that files give it back, and that no file, however cut, damaged or made up, does
 * more than be refused or read in part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/recording.h"
#include "io/recording_memory.h"
#include "io/schedule.h"
#include "tests/hostile.h"

static struct tg_error err;
static char path[64]; /* of a scratch file */

/* ---- Making and comparing -----------------------------------------------------------------*/

/* The record of a graph whose tasks took made-up times. */
static struct tgi_recording make_recording(const struct tg_graph *g)
{
    struct tgi_span *spans = calloc(g->n_tasks, sizeof(*spans));
    struct tgi_recording r;
    assert_non_null(spans);
    for (uint32_t t = 0; t < g->n_tasks; t++)
        spans[t] = (struct tgi_span){.start_ns = t * 1000, .end_ns = t * 1000 + 300 + t % 7, .worker = t % 3,
                                     .attempts = 1, .state = TG_TASK_DONE, .victim = (uint16_t)(t % 2 ? 1 + (t + 1) % 3 : 0)};
    struct tgi_recorded what = {.graph = g, .spans = spans, .n_workers = 3, .makespan_ns = g->n_tasks * 1000,
                                .policy = "steal", .outcome = "ok"};
    assert_int_equal(tgi_recording_create(&what, &r, &err), 0);
    free(spans);
    return r;
}

static struct tgi_recording make_hostile(void)
{
    struct tg_graph *g = NULL;
    assert_int_equal(hostile_graph(&g, &err), 0);
    struct tgi_recording r = make_recording(g);
    tg_graph_destroy(g);
    return r;
}

static char *bytes_of(const struct tgi_recording *r, size_t *size_p)
{
    char *data = NULL;
    FILE *to = open_memstream(&data, size_p);
    assert_non_null(to);
    assert_int_equal(tgi_recording_write(r, to, &err), 0);
    assert_int_equal(fclose(to), 0);
    return data;
}

static int read_bytes(const char *data, size_t size, struct tgi_recording *r)
{
    FILE *to = fopen(path, "wb");
    assert_non_null(to);
    assert_int_equal(fwrite(data, 1, size, to), size);
    assert_int_equal(fclose(to), 0);
    err.text[0] = '\0';
    return tgi_recording_read(path, r, &err);
}

static void assert_same(const struct tgi_recording *a, const struct tgi_recording *b)
{
    assert_memory_equal(&a->head, &b->head, sizeof(a->head));
#define SAME(member)                                        \
    assert_int_equal(a->n_##member, b->n_##member);         \
    if (a->n_##member)                                      \
        assert_memory_equal(a->member, b->member, a->n_##member * sizeof(*a->member))
    SAME(strings);
    SAME(kernels);
    SAME(devices);
    SAME(lanes);
    SAME(parts);
    SAME(tasks);
    SAME(preds);
    SAME(transfers);
    SAME(buffers);
    SAME(steals);
    SAME(places);
    SAME(offers);
    SAME(memory);
#undef SAME
}

/* ---- Files --------------------------------------------------------------------------------*/

static void a_file_gives_the_record_back(void **state)
{
    struct tgi_recording r = make_hostile(), again;
    size_t size;
    (void)state;
    assert_non_null(r.transfers); /* room for one */
    r.transfers[0] = (struct tgi_recording_transfer){4096, 1, 2, 0, 0, 0, 0, 3, 0};
    r.n_transfers = 1;
    tgi_recording_take_bounds(&r, &(struct tgi_machine_bounds){1234.5, 6.25});
    assert_int_equal(r.head.has_data_bounds, 1);
    assert_true(r.n_steals > 0 && r.n_memory > 0);
    char *data = bytes_of(&r, &size);
    assert_int_equal(read_bytes(data, size, &again), 0);
    assert_false(again.is_cut);
    assert_true(tgi_recording_is_one(path));
    assert_same(&r, &again);
    free(data);
    tgi_recording_fini(&again);
    tgi_recording_fini(&r);
}

static void a_cut_at_any_byte_leaves_what_is_whole(void **state)
{
    struct tgi_recording r = make_hostile(), part;
    struct tgi_recording_paths paths;
    size_t size, first_whole = 0;
    uint64_t n_last = 0;
    (void)state;
    char *data = bytes_of(&r, &size), name[TGI_RECORDING_NAME_SIZE];
    for (size_t n = 0; n < size; n++) {
        int rc = read_bytes(data, n, &part);
        if (rc) {
            assert_int_equal(rc, TG_E_RECORD);
            assert_int_equal(n_last, 0); /* the header alone cannot be done without */
            assert_int_equal(first_whole, 0);
            continue;
        }
        first_whole = first_whole ? first_whole : n;
        assert_true(part.is_cut);
        assert_true(part.n_tasks >= n_last);
        n_last = part.n_tasks;
        assert_int_equal(part.n_tasks_expected, r.n_tasks);
        for (uint32_t t = 0; t < part.n_tasks; t++) {
            assert_int_equal(part.tasks[t].end_ns, r.tasks[t].end_ns);
            tgi_recording_task_name(&part, t, name, sizeof(name));
        }
        assert_int_equal(tgi_recording_paths_create(&part, &paths, &err), 0);
        tgi_recording_paths_fini(&paths);
        tgi_recording_fini(&part);
    }
    assert_int_equal(n_last, r.n_tasks);
    assert_true(first_whole > 0);
    free(data);
    tgi_recording_fini(&r);
}

static void a_flipped_bit_anywhere_is_noticed(void **state)
{
    struct tgi_recording r = make_hostile(), wrong;
    size_t size;
    (void)state;
    char *data = bytes_of(&r, &size);
    for (size_t i = 0; i < size; i++) {
        data[i] ^= (char)(1 << i % 8);
        int rc = read_bytes(data, size, &wrong);
        if (rc == 0) { /* padding between sections says nothing */
            assert_same(&r, &wrong);
            tgi_recording_fini(&wrong);
        } else {
            assert_true(rc == TG_E_RECORD || rc == TG_E_VERSION);
            assert_true(err.text[0] != '\0');
        }
        data[i] ^= (char)(1 << i % 8);
    }
    free(data);
    tgi_recording_fini(&r);
}

static void what_is_no_record_is_refused(void **state)
{
    static const char *const foreign[] = {"", "\x89", "{ \"tgraph\": \"1.0\" }", "\x89PNG\r\n\x1a\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                                          "\x89tgr\r\n\x1a\n"};
    struct tgi_recording r;
    (void)state;
    for (size_t i = 0; i < sizeof(foreign) / sizeof(*foreign); i++)
        assert_int_equal(read_bytes(foreign[i], strlen(foreign[i]), &r), TG_E_RECORD);
    assert_int_equal(tg_status_exit_code(TG_E_RECORD), 3);
    assert_int_equal(tgi_recording_read("/nonexistent/r.tgr", &r, &err), TG_E_OPEN);
}

/* As the file has it. */
static uint64_t sum_of(uint64_t sum, const char *p, size_t bytes)
{
    size_t all = bytes % 8;
    for (; bytes >= 8; p += 8, bytes -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
        sum ^= sum >> 32;
    }
    uint64_t rest = 0;
    if (bytes) {
        memcpy(&rest, p, bytes);
        sum = (sum ^ rest) * 0x9e3779b97f4a7c15u;
        sum ^= sum >> 32;
    }
    return sum ^ all;
}

/* Makes the header's checksum right again. */
static void seal(char *data)
{
    uint64_t n;
    memcpy(&n, data + 16, 8);
    n = sum_of(sum_of(0, data, 24), data + 32, n);
    memcpy(data + 24, &n, 8);
}

static void a_later_version_is_named(void **state)
{
    struct tgi_recording r = make_hostile(), none;
    size_t size;
    (void)state;
    char *data = bytes_of(&r, &size);
    data[8] = 2;
    seal(data);
    assert_int_equal(read_bytes(data, size, &none), TG_E_VERSION);
    assert_non_null(strstr(err.text, "version 2"));
    free(data);
    tgi_recording_fini(&r);
}

/* Each number of the directory becomes huge, or 0, in turn, and the header is sealed again. */
static void made_up_counts_allocate_nothing(void **state)
{
    static const uint32_t wrong[] = {0, 1, 0x7fffffff, 0xffffffff, 1u << 26, 4097, 3};
    struct tgi_recording r = make_hostile(), odd;
    size_t size;
    uint64_t directory;
    (void)state;
    char *data = bytes_of(&r, &size);
    memcpy(&directory, data + 16, 8);
    for (size_t at = 8; at < 32 + directory; at += 4)
        for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
            char kept[4];
            if (at >= 24 && at < 32)
                continue;
            memcpy(kept, data + at, 4);
            memcpy(data + at, &wrong[i], 4);
            uint64_t n;
            memcpy(&n, data + 16, 8);
            if (n <= size - 32)
                seal(data);
            int rc = read_bytes(data, size, &odd);
            if (rc == 0) {
                struct tgi_recording_paths paths;
                if (tgi_recording_paths_create(&odd, &paths, &err) == 0)
                    tgi_recording_paths_fini(&paths);
                tgi_recording_fini(&odd);
            } else {
                assert_true(rc == TG_E_RECORD || rc == TG_E_VERSION || rc == TG_E_LIMIT);
            }
            memcpy(data + at, kept, 4);
        }
    free(data);
    tgi_recording_fini(&r);
}

/* Records with wrong contents and right checksums. */
static void references_out_of_the_record_are_refused(void **state)
{
    struct tgi_recording r = make_hostile(), odd;
    size_t size;
    (void)state;
#define WRONG(lvalue, value)                                                                     \
    do {                                                                                         \
        __typeof__(lvalue) kept = lvalue;                                                        \
        lvalue = (value);                                                                        \
        char *data = bytes_of(&r, &size);                                                        \
        assert_int_equal(read_bytes(data, size, &odd), TG_E_RECORD);                             \
        free(data);                                                                              \
        lvalue = kept;                                                                           \
    } while (0)
    WRONG(r.tasks[3].name, (uint32_t)r.n_strings);
    WRONG(r.tasks[3].kernel, (uint32_t)r.n_kernels);
    WRONG(r.tasks[3].lane, 17);
    WRONG(r.tasks[3].part, 1);
    WRONG(r.tasks[3].start_ns, UINT64_MAX);
    WRONG(r.tasks[3].waited_for, (uint32_t)r.n_tasks);
    WRONG(r.tasks[3].first_pred, r.n_preds + 1);
    WRONG(r.tasks[3].n_preds, UINT32_MAX);
    WRONG(r.tasks[r.n_tasks - 1].first_pred, 0); /* shared with others */
    WRONG(r.preds[0], (uint32_t)r.n_tasks);
    WRONG(r.parts[0].parent, 0);
    WRONG(r.parts[0].n_tasks, (uint32_t)r.n_tasks + 1);
    WRONG(r.kernels[1].name, UINT32_MAX);
    WRONG(r.lanes[0].device, 0);
    WRONG(r.head.name, UINT32_MAX);
    WRONG(r.head.n_workers, 1000);
    WRONG(r.head.memory_ns, -1);
    WRONG(r.head.memory_ns, NAN);
    WRONG(r.head.links_ns, INFINITY);
    WRONG(r.steals[1].task, (uint32_t)r.n_tasks);
    WRONG(r.steals[1].task, r.steals[0].task);
    WRONG(r.steals[1].victim, (uint32_t)r.n_lanes);
    WRONG(r.memory[0].at_ns, r.memory[1].at_ns + 1);
    WRONG(r.memory[0].node, 1);
    struct tgi_recording_device device = {.kind = 0};
    r.devices[0] = device; /* room for one */
    r.n_devices = 1;
    r.places[0] = (struct tgi_recording_place){1, 2, 3, 1, TGI_WEIGHED_ESTIMATE, 0};
    r.n_places = 1;
    char *good = bytes_of(&r, &size);
    assert_int_equal(read_bytes(good, size, &odd), 0);
    assert_same(&r, &odd);
    free(good);
    tgi_recording_fini(&odd);
    WRONG(r.places[0].task, (uint32_t)r.n_tasks);
    WRONG(r.places[0].node, 2);
    WRONG(r.places[0].node, 0);
    WRONG(r.places[0].busy_ns, -1);
    WRONG(r.places[0].move_ns, NAN);
    r.n_places = 0;
    r.offers[0] = (struct tgi_recording_offer){1, 2, 3, 4, 5, 6, 3, 1};
    r.n_offers = 1;
    WRONG(r.offers[0].task, (uint32_t)r.n_tasks);
    WRONG(r.offers[0].node, 2);
    WRONG(r.offers[0].wait_ns, -1);
    WRONG(r.offers[0].after_ns, NAN);
    r.n_offers = r.n_devices = 0;
    WRONG(r.strings[r.n_strings - 1], 'x');
    WRONG(r.strings[0], 'x');
#undef WRONG
    /* A circle is found when the path is. */
    struct tgi_recording_paths paths;
    uint64_t t = 0;
    while (r.tasks[t].n_preds == 0)
        t++;
    r.preds[r.tasks[t].first_pred] = (uint32_t)t;
    assert_int_equal(tgi_recording_paths_create(&r, &paths, &err), TG_E_RECORD);
    tgi_recording_fini(&r);
}

/* A file of a version to come: records with a field more in front, and a section nobody knows. */
static void unknown_fields_and_sections_are_passed_over(void **state)
{
    struct tgi_recording r = make_hostile(), again;
    size_t size, n_new = 0;
    uint64_t directory, zero = 0, at = 0;
    uint32_t n_sections;
    char *new_data = NULL, head[32], *d;
    (void)state;
    char *data = bytes_of(&r, &size);
    memcpy(head, data, 32);
    memcpy(&directory, data + 16, 8);
    memcpy(&n_sections, data + 12, 4);
    char *changed = malloc(directory + 1000);
    size_t n = 0;
    FILE *to = open_memstream(&new_data, &n_new);
    FILE *payload;
    char *payload_data = NULL;
    size_t n_payload = 0;
    payload = open_memstream(&payload_data, &n_payload);
    assert_non_null(changed);
    d = data + 32;
    at = 32 + directory;
    for (uint32_t s = 0; s < n_sections; s++) {
        uint32_t record_bytes, n_fields, more = 8;
        uint64_t n_records;
        memcpy(&record_bytes, d + 16, 4);
        memcpy(&n_fields, d + 20, 4);
        memcpy(&n_records, d + 24, 8);
        char *entry = changed + n;
        memcpy(entry, d, 32 + n_fields * 24);
        n += 32 + n_fields * 24;
        d += 32 + n_fields * 24;
        bool grows = strcmp(entry, "tasks") == 0 || strcmp(entry, "head") == 0;
        char *section = NULL;
        size_t n_section = 0;
        FILE *into = open_memstream(&section, &n_section);
        for (uint64_t i = 0; i < n_records; i++) {
            if (grows)
                fwrite("newfield", 1, 8, into);
            fwrite(data + at + i * record_bytes, 1, record_bytes, into);
        }
        at += n_records * record_bytes + (-(n_records * record_bytes) & 7) + 8;
        fclose(into);
        if (grows) {
            uint32_t grown = record_bytes + more;
            memcpy(entry + 16, &grown, 4);
            for (uint32_t f = 0; f < n_fields; f++) {
                uint32_t offset;
                memcpy(&offset, entry + 32 + f * 24 + 16, 4);
                offset += more;
                memcpy(entry + 32 + f * 24 + 16, &offset, 4);
            }
        }
        uint64_t sum = sum_of(0, section, n_section);
        fwrite(section, 1, n_section, payload);
        fwrite(&zero, 1, -n_section & 7, payload);
        fwrite(&sum, 8, 1, payload);
        free(section);
    }
    memset(changed + n, 0, 32);
    strcpy(changed + n, "weather");
    changed[n + 16] = 1; /* a byte each, none of them, no fields */
    n += 32;
    fwrite(&zero, 8, 1, payload);
    fclose(payload);
    n_sections++;
    directory = n;
    memcpy(head + 12, &n_sections, 4);
    memcpy(head + 16, &directory, 8);
    fwrite(head, 1, 32, to);
    fwrite(changed, 1, n, to);
    fwrite(payload_data, 1, n_payload, to);
    fclose(to);
    seal(new_data);
    assert_int_equal(read_bytes(new_data, n_new, &again), 0);
    assert_same(&r, &again);
    free(new_data);
    free(payload_data);
    free(changed);
    free(data);
    tgi_recording_fini(&again);
    tgi_recording_fini(&r);
}

/* ---- Contents -----------------------------------------------------------------------------*/

/* A graph of examples/graphs that is executed, with bodies. */
static const char loops[] =
    "{ \"tgraph\": \"1.0\", \"name\": \"loops\", \"kernels\": { \"spin\": { \"builtin\": \"spin\" } },"
    " \"tasks\": [ { \"id\": \"before\", \"kernel\": \"spin\", \"args\": { \"us\": 20 } },"
    " { \"id\": \"outer\", \"after\": [ \"before\" ], \"repeat\": 3, \"do\": ["
    "   { \"id\": \"a\", \"kernel\": \"spin\", \"args\": { \"us\": 10 } },"
    "   { \"id\": \"inner\", \"after\": [ \"a\" ], \"repeat\": 2, \"do\": [ { \"id\": \"b\", \"kernel\": \"spin\", \"args\": { \"us\": 10 } } ] } ] },"
    " { \"id\": \"after\", \"after\": [ \"outer\" ], \"kernel\": \"spin\", \"args\": { \"us\": 20 } } ] }";

/* What 0.1.0 wrote, of a run on two devices, before there were steals, places and memory. */
static void a_record_of_an_older_version_is_read(void **state)
{
    struct tgi_recording r;
    uint32_t n, victim, task;
    (void)state;
    assert_int_equal(tgi_recording_read("tests/records/0.1.0.tgr", &r, &err), 0);
    assert_false(r.is_cut);
    assert_int_equal(r.n_tasks, 10);
    assert_int_equal(r.n_devices, 2);
    assert_string_equal(tgi_recording_string(&r, r.devices[1].name), "stand-in 1");
    assert_true(r.devices[1].peak_bytes > 0 && r.devices[1].flop_per_s == 0);
    assert_true(r.n_transfers > 0 && r.n_steals == 0 && r.n_places == 0 && r.n_memory == 0);
    task = tgi_recording_find(&r, "potrf[2]", NULL);
    assert_int_equal(task, 9);
    assert_false(tgi_recording_victim(&r, task, &victim));
    tgi_recording_places(&r, task, &n);
    assert_int_equal(n, 0);
    tgi_recording_fini(&r);
}

static void who_was_robbed_is_kept(void **state)
{
    struct tgi_recording r = make_hostile();
    uint32_t victim;
    (void)state;
    for (uint32_t t = 0; t < r.n_tasks; t++) {
        assert_int_equal(tgi_recording_victim(&r, t, &victim), t % 2);
        assert_int_equal(victim, t % 2 ? (t + 1) % 3 : TG_NONE);
    }
    tgi_recording_fini(&r);
}

/* Chain of n tasks, each writing its own tile of 64 bytes and reading the one before: two are in use at any time. */
static struct tgi_recording make_chain(uint32_t n)
{
    struct tg_graph *g;
    struct tg_buffer_spec buffer = TG_BUFFER_SPEC_INIT;
    struct tg_task_spec task = TG_TASK_SPEC_INIT;
    tg_buffer_id x;
    assert_int_equal(tg_graph_create("chain", &g, &err), 0);
    buffer.name = "x";
    buffer.dtype = TG_F64;
    buffer.n_dims = 1;
    buffer.shape[0] = 8;
    buffer.n_tile_dims = 1;
    buffer.tiles[0] = n + 1;
    buffer.init = TG_INIT_ZERO;
    assert_int_equal(tg_graph_add_buffer(g, &buffer, &x, &err), 0);
    task.kind = TG_TASK_COPY;
    for (uint32_t t = 0; t < n; t++) {
        struct tg_arg args[] = {tg_arg_tile(x, t + 1), tg_arg_tile(x, t)};
        task.args = args;
        task.n_args = 2;
        assert_int_equal(tg_graph_add_task(g, &task, NULL, &err), 0);
    }
    assert_int_equal(tg_graph_freeze(g, &err), 0);
    struct tgi_recording r = make_recording(g);
    tg_graph_destroy(g);
    return r;
}

static void memory_is_what_tasks_use(void **state)
{
    struct tgi_recording r = make_chain(4);
    (void)state;
    /* Task t takes t * 1000 .. + 300 + t % 7; tile t is in use from task t - 1 to task t. */
    static const struct {
        uint64_t at_ns, bytes;
    } expected[] = {{0, 128},   {300, 64},   {1000, 128}, {1301, 64}, {2000, 128},
                    {2302, 64}, {3000, 128}, {3303, 0}};
    assert_int_equal(r.n_memory, 8);
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(r.memory[i].at_ns, expected[i].at_ns);
        assert_int_equal(r.memory[i].bytes, expected[i].bytes);
        assert_int_equal(r.memory[i].node, 0);
    }
    tgi_recording_fini(&r);
}

static void many_changes_of_memory_become_few_samples(void **state)
{
    struct tgi_recording r = make_chain(20000), again;
    size_t size;
    (void)state;
    assert_in_range(r.n_memory, TGI_MOST_MEMORY_SAMPLES / 2, TGI_MOST_MEMORY_SAMPLES);
    for (uint64_t i = 0; i < r.n_memory; i++) {
        assert_true(i == 0 || r.memory[i].at_ns > r.memory[i - 1].at_ns);
        assert_int_equal(r.memory[i].bytes, 128); /* the most of each stretch */
    }
    char *data = bytes_of(&r, &size);
    assert_int_equal(read_bytes(data, size, &again), 0);
    assert_same(&r, &again);
    free(data);
    tgi_recording_fini(&again);
    tgi_recording_fini(&r);
}

static void rounds_of_bodies_are_part_of_the_graph(void **state)
{
    struct tg_graph *g;
    struct tg_runtime *rt;
    struct tg_run *run;
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_run_options run_options = TG_RUN_OPTIONS_INIT;
    struct tgi_recording r;
    struct tgi_recording_paths paths;
    struct tgi_schedule schedule;
    char name[TGI_RECORDING_NAME_SIZE];
    (void)state;
    FILE *to = fopen(path, "w");
    assert_non_null(to);
    fputs(loops, to);
    fclose(to);
    assert_int_equal(tg_graph_load(path, NULL, &g, &err), 0);
    assert_int_equal(tg_graph_freeze(g, &err), 0);
    options.n_workers = 2;
    run_options.is_recorded = true;
    assert_int_equal(tg_runtime_create(&options, &rt, &err), 0);
    assert_int_equal(tg_run_create(rt, g, &run_options, &run, &err), 0);
    assert_int_equal(tg_run_start(run, &err), 0);
    assert_int_equal(tg_run_wait(run, &err), 0);
    assert_true(tgi_run_settle(run, 10000));
    struct tg_run_stats stats;
    assert_int_equal(tg_run_stats(run, &stats, &err), 0);
    struct tgi_recorded what = {g, tgi_run_spans(run), 2, stats.makespan_ns, tgi_run_rounds(run), run, NULL, NULL, false};
    assert_int_equal(tgi_recording_create(&what, &r, &err), 0);
    assert_int_equal(tgi_recording_paths_create(&r, &paths, &err), 0);
    assert_int_equal(tgi_schedule_create(g, tgi_run_spans(run), tgi_run_rounds(run), &schedule, &err), 0);
    /* 3 tasks, 3 rounds of 2 with a gate, 6 rounds of 1 with a gate */
    assert_int_equal(r.n_tasks, 3 + 3 * 3 + 6 * 2);
    assert_int_equal(paths.critical_ns, (uint64_t)schedule.critical_ns);
    assert_int_equal(paths.n_critical, 1 + 3 + 6 + 1); /* one after the other: all that has work */
    uint64_t last = 0;
    for (uint32_t i = 0; i < paths.n_critical; i++) {
        const struct tgi_recording_task *t = &r.tasks[paths.critical[i]];
        assert_true(t->start_ns >= last && t->ready_ns <= t->start_ns);
        last = t->end_ns;
    }
    uint32_t b = tgi_recording_find(&r, "outer:2/inner:1/b", NULL);
    assert_true(b != TG_NONE);
    assert_string_equal(tgi_recording_task_name(&r, b, name, sizeof(name)), "outer:2/inner:1/b");
    uint32_t gate = tgi_recording_find(&r, "outer:2/inner:1", NULL), before = tgi_recording_find(&r, "outer:2/inner:0/b", NULL);
    assert_int_equal(r.tasks[b].waited_for, gate);
    assert_int_equal(r.tasks[gate].waited_for, before);
    assert_int_equal(r.tasks[b].ready_ns, r.tasks[before].end_ns);
    uint32_t outer = tgi_recording_find(&r, "outer", NULL);
    assert_int_equal(r.tasks[outer].waited_for, tgi_recording_find(&r, "before", NULL));
    assert_int_equal(r.tasks[tgi_recording_find(&r, "after", NULL)].waited_for, outer);
    for (size_t size = 1; size < 20; size++) {
        tgi_recording_task_name(&r, b, name, size);
        assert_int_equal(strlen(name), size - 1 < 17 ? size - 1 : 17);
    }
    uint32_t near;
    assert_int_equal(tgi_recording_find(&r, "befoer", &near), TG_NONE);
    assert_int_equal(near, 0);
    tgi_schedule_fini(&schedule);
    tgi_recording_paths_fini(&paths);
    tgi_recording_fini(&r);
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    tg_graph_destroy(g);
}

static int make_path(void **state)
{
    (void)state;
    strcpy(path, "/tmp/test_recording.XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 || close(fd) != 0;
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_gives_the_record_back),
        cmocka_unit_test(a_cut_at_any_byte_leaves_what_is_whole),
        cmocka_unit_test(a_flipped_bit_anywhere_is_noticed),
        cmocka_unit_test(what_is_no_record_is_refused),
        cmocka_unit_test(a_later_version_is_named),
        cmocka_unit_test(made_up_counts_allocate_nothing),
        cmocka_unit_test(references_out_of_the_record_are_refused),
        cmocka_unit_test(unknown_fields_and_sections_are_passed_over),
        cmocka_unit_test(a_record_of_an_older_version_is_read),
        cmocka_unit_test(who_was_robbed_is_kept),
        cmocka_unit_test(memory_is_what_tasks_use),
        cmocka_unit_test(many_changes_of_memory_become_few_samples),
        cmocka_unit_test(rounds_of_bodies_are_part_of_the_graph),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
