#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "graph/model.h"
#include "io/fmt.h"
#include "io/import.h"
#include "tests/loaded_text.h"

static const struct tgi_workflow_options as_hash = {.scale = 1};
static const struct tgi_workflow_options as_spin = {.is_spin = true, .scale = 0.001};

/* ---- From workflows to graphs -------------------------------------------------------------*/

static char *write_workflow(const struct tgi_workflow *w, struct tgi_workflow_options options, size_t *size_p)
{
    char *text = NULL;
    FILE *to = open_memstream(&text, size_p);
    assert_non_null(to);
    struct tg_error err;
    int status = tgi_workflow_write(w, &options, to, &err);
    fclose(to);
    if (status != TG_OK)
        fail_msg("%s:%u: %s", err.file, err.line, err.text);
    return text;
}

static struct tg_graph *load_workflow(const struct tgi_workflow *w, struct tgi_workflow_options options)
{
    size_t size;
    char *text = write_workflow(w, options, &size);
    bool is_canonical = false;
    enum tgi_fmt_form form = options.is_lines ? TGI_FMT_LINES : TGI_FMT_DOCUMENT;
    assert_int_equal(tgi_fmt_is_canonical(form, text, size, "t", &is_canonical, NULL), TG_OK);
    assert_true(is_canonical || options.is_lines);
    struct tg_graph *graph = load_text(text, size, options.is_lines);
    free(text);
    return graph;
}

/* Whether a path leads from one task to another: ids are in program order. */
static bool leads_to(const struct tg_graph *g, uint32_t from, uint32_t to)
{
    uint8_t *reached = calloc(g->n_tasks, 1);
    assert_non_null(reached);
    reached[from] = 1;
    for (uint32_t t = from; t < to; t++)
        for (uint32_t i = g->nodes[t].succ; reached[t] && i < g->nodes[t + 1].succ; i++)
            reached[g->succ[i]] = 1;
    bool is_reached = reached[to];
    free(reached);
    return is_reached;
}

static void assert_leads(const struct tg_graph *g, const char *from, const char *to)
{
    uint32_t a = tg_graph_find_task(g, from), b = tg_graph_find_task(g, to);
    assert_true(a != TG_NONE && b != TG_NONE);
    if (!(a < b && leads_to(g, a, b)))
        fail_msg("%s does not lead to %s", from, to);
}

static void read_file(struct tgi_workflow *w, const char *path)
{
    struct tg_error err;
    tgi_workflow_init(w, path);
    int status = tgi_import_read(w, path, TGI_IMPORT_AUTO, &err);
    if (status == TG_E_NO_LIBRARY) {
        print_message("%s: %s\n", path, err.text);
        tgi_workflow_fini(w);
        skip();
    }
    if (status != TG_OK)
        fail_msg("%s:%u:%u: %s", err.file, err.line, err.column, err.text);
}

struct facts {
    const char *path;
    uint32_t n_tasks, n_files, n_edges;
    double seconds, bytes;
    const char *edges[8][2];
    uint64_t n_hash, n_spin; /* tasks of the graph */
};

static void check_facts(const struct facts *f)
{
    struct tgi_workflow w;
    read_file(&w, f->path);
    assert_int_equal(w.n_tasks, f->n_tasks);
    assert_int_equal(w.n_files, f->n_files);
    assert_int_equal(w.n_edges, f->n_edges);
    double seconds = 0, bytes = 0;
    for (uint32_t t = 0; t < w.n_tasks; t++)
        seconds += w.tasks[t].seconds;
    for (uint32_t i = 0; i < w.n_files; i++)
        bytes += w.files[i].bytes;
    assert_true(seconds > f->seconds - 1e-9 && seconds < f->seconds + 1e-9);
    assert_true(bytes == f->bytes);
    for (int i = 0; i < 4; i++) {
        struct tgi_workflow_options options = i / 2 ? as_spin : as_hash;
        options.is_lines = i % 2;
        struct tg_graph *graph = load_workflow(&w, options);
        assert_int_equal(graph->n_tasks, options.is_spin ? f->n_spin : f->n_hash);
        for (int k = 0; k < 8 && f->edges[k][0]; k++)
            assert_leads(graph, f->edges[k][0], f->edges[k][1]);
        tg_graph_destroy(graph);
    }
    tgi_workflow_fini(&w);
}

static void wfformat_1_4_is_read(void **state)
{
    (void)state;
    check_facts(&(struct facts){"tests/import/variants-1.4.json",
                                8,
                                12,
                                9,
                                30.5 + 31.5 + 32.5 + 12.25 + 13.25 + 14.25 + 2.5 + 0.75,
                                3200000 + 800000 * 6 + 500000 * 6 + 3 * 20000 + 60000 + 15000,
                                {{"align_0", "call_0"}, {"call_2", "join"}, {"join", "report"}},
                                8,
                                8});
}

static void wfformat_1_5_is_read(void **state)
{
    (void)state;
    struct tgi_workflow w;
    read_file(&w, "tests/import/mosaic-1.5.json");
    double seconds = 0, bytes = 0;
    for (uint32_t t = 0; t < w.n_tasks; t++)
        seconds += w.tasks[t].seconds;
    for (uint32_t i = 0; i < w.n_files; i++)
        bytes += w.files[i].bytes;
    uint32_t n_edges = w.n_edges;
    assert_string_equal(w.tasks[0].category, "mProject");
    tgi_workflow_fini(&w);
    assert_int_equal(n_edges % 2, 0); /* both ends declare every edge */
    /* 16 fits to concatenate and 17 images to add take gathering. */
    check_facts(&(struct facts){"tests/import/mosaic-1.5.json",
                                37,
                                64,
                                n_edges,
                                seconds,
                                bytes,
                                {{"mProject_ID0000001", "mDiffFit_ID0000009"},
                                 {"mDiffFit_ID0000024", "mConcatFit_ID0000025"},
                                 {"mConcatFit_ID0000025", "mBgModel_ID0000026"},
                                 {"mBackground_ID0000034", "mAdd_ID0000036"},
                                 {"mProject_ID0000008", "mViewer_ID0000037"}},
                                41,
                                45});
}

static void wfformat_1_6_is_read(void **state)
{
    (void)state;
    check_facts(&(struct facts){"tests/import/seismic-1.6.json",
                                5,
                                5,
                                5,
                                10,
                                1048576 + 524288 + 2 * 262144,
                                {{"prepare:1", "filter:2"}, {"filter:1", "stack:1"}, {"stack:1", "notify:1"}},
                                5,
                                5});
}

static void dot_is_read(void **state)
{
    (void)state;
    check_facts(
        &(struct facts){"tests/import/build.dot",
                        6,
                        4,
                        7,
                        0.8 + 1.25 + 2 + 0.09 + 1.5 + 3,
                        65536 + 200000 + 310000 + 1250000,
                        {{"tables", "lexer"}, {"parser", "link"}, {"link", "test"}, {"tables", "test"}},
                        6,
                        6});
}

static void stg_is_read(void **state)
{
    (void)state;
    check_facts(&(struct facts){"tests/import/small.stg",
                                10,
                                0,
                                13,
                                81e-6,
                                0,
                                {{"t0", "t1"}, {"t3", "t6"}, {"t5", "t7"}, {"t8", "t9"}},
                                10,
                                10});
}

static void dax_is_read(void **state)
{
    (void)state;
    check_facts(&(struct facts){"tests/import/sweep.dax",
                                6,
                                7,
                                8,
                                4.5 + 31.25 + 29.5 + 33 + 30 + 1.75,
                                120400 + 8388608 + 4 * 1048576 + 2048,
                                {{"ID00000", "ID00003"}, {"ID00004", "ID00005"}},
                                6,
                                6});
}

static void spin_burns_scaled_times_and_moves_scaled_bytes(void **state)
{
    (void)state;
    struct tgi_workflow w;
    read_file(&w, "tests/import/variants-1.4.json");
    size_t size;
    char *text = write_workflow(&w, (struct tgi_workflow_options){.is_spin = true, .scale = 0.01}, &size);
    assert_non_null(strstr(
        text, "\"us\": 305000, \"in0\": \"genome_fa\", \"in1\": \"reads_0_fq\", \"in_bytes0\": 32000"));
    assert_non_null(strstr(text, "\"out0\": \"sample_0_bam\""));
    assert_non_null(strstr(text, "\"out_bytes0\": 5000"));
    assert_non_null(strstr(text, "\"sample_0_bam\": { \"dtype\": \"u8\", \"shape\": [5000] }"));
    free(text);
    tgi_workflow_fini(&w);
}

/* ---- Errors -------------------------------------------------------------------------------*/

static void assert_fails(enum tgi_import_format format, const char *text, int status, uint32_t line,
                         const char *part)
{
    char path[] = "/tmp/tgraph-test-import-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    struct tgi_workflow w;
    struct tg_error err = {0};
    tgi_workflow_init(&w, path);
    int result = tgi_import_read(&w, path, format, &err);
    if (result == TG_OK) {
        char *out = NULL;
        size_t size;
        FILE *to = open_memstream(&out, &size);
        assert_non_null(to);
        result = tgi_workflow_write(&w, &as_hash, to, &err);
        fclose(to);
        free(out);
    }
    tgi_workflow_fini(&w);
    assert_int_equal(unlink(path), 0);
    if (result == TG_E_NO_LIBRARY)
        return;
    if (result != status || err.line != line || !strstr(err.text, part))
        fail_msg("expected %d at line %u with \"%s\", got %d at line %u: %s\nfor: %s", status, line, part,
                 result, err.line, err.text, text);
    if (line)
        assert_string_equal(err.file, path);
}
#define SYNTAX TG_E_IMPORT_SYNTAX

#define WF14(tasks) "{\"name\":\"w\",\"schemaVersion\":\"1.4\",\"workflow\":{\"tasks\":[\n" tasks "\n]}}"
#define WF15(tasks, files)                                                                                  \
    "{\"name\":\"w\",\"schemaVersion\":\"1.5\",\"workflow\":{\"specification\":{\"tasks\":[\n" tasks "\n]," \
    "\"files\":[" files "]}}}"

static void mistakes_in_wfformat_are_named_with_their_line(void **state)
{
    (void)state;
    enum tgi_import_format f = TGI_IMPORT_WFFORMAT;
    assert_fails(f, "{\"schemaVersion\":\"1.5\",\n}", TG_E_JSON_SYNTAX, 2, "key");
    assert_fails(f, "[]", SYNTAX, 1, "\"schemaVersion\" is missing");
    assert_fails(f, "{\n\"schemaVersion\":\"1.2\",\"workflow\":{}}", SYNTAX, 2, "1.2 is not supported");
    assert_fails(f, "{\n\"tgraph\":\"1.0\"}", SYNTAX, 2, "of tgraph's own");
    assert_fails(f, "{\"schemaVersion\":1.4,\"workflow\":{}}", SYNTAX, 1, "must be a string");
    assert_fails(f, "{\"schemaVersion\":\"1.4\"}", SYNTAX, 1, "\"workflow\" is missing");
    assert_fails(f, WF14(""), SYNTAX, 0, "no tasks");
    assert_fails(f, WF14("{\"name\":\"a\"},\n{\"name\":\"a\"}"), SYNTAX, 3, "\"a\" exists already (line 2)");
    assert_fails(f, WF14("{\"name\":\"a\",\n\"parents\":[\"b\"]}"), SYNTAX, 3, "unknown parent \"b\"");
    assert_fails(f, WF14("{\"name\":\"a\",\"children\":[\n\"c\"]}"), SYNTAX, 3, "unknown child \"c\"");
    assert_fails(f, WF14("{\"name\":\"a\",\"parents\":[\"a\"]}"), SYNTAX, 2, "depends on itself");
    assert_fails(f, WF14("{\"name\":\"a\",\"parents\":[\"b\"]},\n{\"name\":\"b\",\"parents\":[\"a\"]}"),
                 SYNTAX, 3, "cycle: b (line 3) <- a (line 2) <- b");
    assert_fails(f, WF14("{\"name\":\"a\",\"runtimeInSeconds\":-1}"), SYNTAX, 2, "not be negative");
    assert_fails(f, WF14("{\"name\":\"a\",\"files\":[{\"name\":\"x\",\"link\":\"sideways\"}]}"), SYNTAX, 2,
                 "sideways");
    assert_fails(f, WF14("7"), SYNTAX, 2, "must be an object");
    assert_fails(f, WF15("{\"name\":\"a\"}", ""), SYNTAX, 2, "\"id\" is missing");
    assert_fails(f, WF15("{\"name\":\"a\",\"id\":\"1\",\n\"inputFiles\":[\"x\"]}", ""), SYNTAX, 3,
                 "no file \"x\"");
    assert_fails(f, WF15("{\"name\":\"a\",\"id\":\"1\"}", "\n{\"id\":\"x\"},\n{\"id\":\"x\"}"), SYNTAX, 5,
                 "\"x\" exists already");
    assert_fails(f,
                 "{\"schemaVersion\":\"1.6\",\"workflow\":{\"specification\":{\"tasks\":[{\"name\":\"a\","
                 "\"id\":\"1\"}]},\n"
                 "\"execution\":{\"tasks\":[{\"id\":\"2\"}]}}}",
                 SYNTAX, 2, "\"2\"");
}

static void files_order_tasks_even_without_an_edge(void **state)
{
    (void)state;
    assert_fails(TGI_IMPORT_WFFORMAT,
                 WF15("{\"name\":\"a\",\"id\":\"1\",\"inputFiles\":[\"x\"],\"outputFiles\":[\"y\"]},\n"
                      "{\"name\":\"b\",\"id\":\"2\",\"inputFiles\":[\"y\"],\"outputFiles\":[\"x\"]}",
                      "{\"id\":\"x\"},{\"id\":\"y\"}"),
                 SYNTAX, 3, "cycle");
}

static void mistakes_in_stg_are_named_with_their_line(void **state)
{
    (void)state;
    enum tgi_import_format f = TGI_IMPORT_STG;
    assert_fails(f, "1000000000000000000000000000000000000000000000000000\n", SYNTAX, 1, "not \"100000000000000000000000000000\"");
    assert_fails(f, "", SYNTAX, 1, "number of tasks");
    assert_fails(f, "x", SYNTAX, 1, "not \"x\"");
    assert_fails(f, "1\n0 5\n", SYNTAX, 3, "the file ends where a number of predecessors");
    assert_fails(f, "1\n0 5 1\n", SYNTAX, 3, "the file ends where a predecessor");
    assert_fails(f, "1\n0 -5 0\n", SYNTAX, 2, "processing time");
    assert_fails(f, "1\n0.5 5 0\n", SYNTAX, 2, "whole number");
    assert_fails(f, "2\n0 1 0\n0 1 0\n", SYNTAX, 3, "\"t0\" exists already (line 2)");
    assert_fails(f, "2\n0 1 0\n1 1 1 0\n2 1 0\n", SYNTAX, 5, "2 tasks are announced");
    assert_fails(f, "2\n0 1 0\n1 1 1 9\n", SYNTAX, 3, "unknown predecessor 9");
    assert_fails(f, "3\n0 1 0\n1 1 1 2\n5 1 0\n", SYNTAX, 3, "unknown predecessor 2");
    assert_fails(f, "2\n0 1 1 1\n# between\n1 1 1 0\n", SYNTAX, 4, "cycle");
    assert_fails(f, "1\n0 1 1 0\n", SYNTAX, 2, "depends on itself");
    assert_fails(f, "4000000000\n", SYNTAX, 1, "too many");
}

static void stg_tasks_may_come_in_any_order(void **state)
{
    (void)state;
    char path[] = "/tmp/tgraph-test-import-XXXXXX";
    int fd = mkstemp(path);
    const char *text = "3\n2 1 2 1 0\n1 1.5 1 0\n0 1 0\n";
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    struct tgi_workflow w;
    read_file(&w, path);
    struct tg_graph *graph = load_workflow(&w, as_hash);
    assert_leads(graph, "t0", "t1");
    assert_leads(graph, "t1", "t2");
    tg_graph_destroy(graph);
    tgi_workflow_fini(&w);
    assert_int_equal(unlink(path), 0);
}

static void mistakes_in_dax_are_named_with_their_line(void **state)
{
    (void)state;
    enum tgi_import_format f = TGI_IMPORT_DAX;
    assert_fails(f, "<adag>\n<job id='a'>\n</adag>", SYNTAX, 3, "not valid XML");
    assert_fails(f, "<html/>", SYNTAX, 1, "<html>");
    assert_fails(f, "<adag/>", SYNTAX, 0, "no tasks");
    assert_fails(f, "<adag>\n<job/></adag>", SYNTAX, 2, "needs a \"id\"");
    assert_fails(f, "<adag><job id='a'/>\n<job id='a'/></adag>", SYNTAX, 2, "exists already (line 1)");
    assert_fails(f, "<adag><job id='a' runtime='fast'/></adag>", SYNTAX, 1, "\"fast\" is no runtime");
    assert_fails(f, "<adag><job id='a'>\n<uses file='x' link='input' size='-1'/></job></adag>", SYNTAX, 2,
                 "no size");
    assert_fails(f, "<adag><job id='a'/>\n<child ref='a'>\n<parent ref='b'/></child></adag>", SYNTAX, 3,
                 "no job \"b\"");
    assert_fails(f, "<adag><job id='a'/>\n<child ref='a'><parent ref='a'/></child></adag>", SYNTAX, 2,
                 "itself");
    assert_fails(f,
                 "<adag><job id='a'/>\n<job id='b'/><child ref='a'><parent ref='b'/></child>"
                 "<child ref='b'><parent ref='a'/></child></adag>",
                 SYNTAX, 2, "cycle");
    assert_fails(f, "<!DOCTYPE adag [<!ENTITY a 'aaaa'>]>\n<adag name='&a;'><job id='a'/></adag>", SYNTAX, 1,
                 "document type");
    char deep[1000] = "<adag>";
    for (int i = 0; i < 100; i++)
        strcat(deep, "<a>");
    assert_fails(f, deep, SYNTAX, 1, "too deeply");
}

static void mistakes_in_dot_are_named_with_their_line(void **state)
{
    (void)state;
    enum tgi_import_format f = TGI_IMPORT_DOT;
    assert_fails(f, "digraph {\na -> b\nb -> -> c\n}", SYNTAX, 3, "syntax error");
    assert_fails(f, "graph { a -- b }", SYNTAX, 1, "no direction");
    assert_fails(f, "digraph { }", SYNTAX, 0, "no tasks");
    assert_fails(f, "digraph {\na -> b;\n# a comment with c\nb -> c;\nc -> a\n}", SYNTAX, 2,
                 "cycle: a (line 2) <- c (line 4)");
    assert_fails(f, "digraph {\n\n a -> a }", SYNTAX, 3, "itself");
    assert_fails(f, "digraph {\n a [runtime=soon] }", SYNTAX, 2, "runtime=\"soon\"");
    assert_fails(f, "digraph {\n a -> b [bytes=\"-1\"] }", SYNTAX, 2, "bytes=\"-1\"");
}

static void formats_are_told_apart_by_content(void **state)
{
    (void)state;
    assert_fails(TGI_IMPORT_AUTO, "hello", TG_E_IMPORT_FORMAT, 0, "--from");
    assert_fails(TGI_IMPORT_AUTO, "", TG_E_IMPORT_FORMAT, 0, "--from");
    assert_fails(TGI_IMPORT_AUTO, "# x\n 1 0 7\n", SYNTAX, 3, "the file ends");
    assert_fails(TGI_IMPORT_AUTO, "/* x */ // y\n\xef\xbb", TG_E_IMPORT_FORMAT, 0, "--from");
    assert_fails(TGI_IMPORT_AUTO, "\xef\xbb\xbf<adag/>", SYNTAX, 0, "no tasks");
    assert_fails(TGI_IMPORT_AUTO, " {\"a\":1}", SYNTAX, 1, "schemaVersion");
    assert_fails(TGI_IMPORT_AUTO, "/* x */ strict digraph {}", SYNTAX, 0, "no tasks");
    struct tgi_workflow w;
    tgi_workflow_init(&w, "nowhere");
    assert_int_equal(tgi_import_read(&w, "/nonexistent/file", TGI_IMPORT_AUTO, NULL), TG_E_OPEN);
    tgi_workflow_fini(&w);
}

/* ---- Random workflows ---------------------------------------------------------------------*/

static uint64_t seed;
static uint32_t below(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

/* Names that need care: like each other once made safe, or not names of the format at all. */
static void random_name(char *text, size_t size, uint32_t i)
{
    static const char *const shapes[] = {"t%u", "a b{%u}",  "a_b_%u", "\xc3\xbc[%u]",
                                         "%u",  "a\"b\\%u", "x@in%u"};
    snprintf(text, size, shapes[below(7)], i / 2);
    if (i % 2)
        strcat(text, "'");
}

static void random_workflow(struct tgi_workflow *w, uint32_t n_tasks, uint32_t n_files)
{
    struct tg_error err;
    char name[64];
    uint32_t id, file;
    tgi_workflow_init(w, "random");
    w->edges_carry_data = below(2);
    for (uint32_t t = 0; t < n_tasks; t++) {
        random_name(name, sizeof(name), t);
        assert_int_equal(tgi_workflow_add_task(w, name, t + 1, &id, &err), TG_OK);
        w->tasks[id].seconds = below(3) * 1e-6;
        w->tasks[id].category = (const char *[]){NULL, "gather", "k 1", "1"}[below(4)];
    }
    /* Ranks decide what may follow what; the tasks themselves are listed in any order. */
    for (uint32_t i = 0; i < n_tasks * below(4); i++) {
        uint32_t a = below(n_tasks), b = below(n_tasks);
        uint32_t rank_a = a * 7919 % 1009, rank_b = b * 7919 % 1009;
        if (rank_a != rank_b)
            assert_int_equal(
                tgi_workflow_add_edge(w, rank_a < rank_b ? a : b, rank_a < rank_b ? b : a, 1, &err), TG_OK);
    }
    for (uint32_t f = 0; f < n_files; f++) {
        snprintf(name, sizeof(name), below(2) ? "file.%u" : "%u/file", f);
        assert_int_equal(tgi_workflow_add_file(w, name, below(2) ? below(100000) : 0, &file, &err), TG_OK);
        uint32_t writer = below(n_tasks), n_readers = below(12);
        bool is_written = below(4) > 0;
        if (is_written)
            assert_int_equal(tgi_workflow_add_use(w, writer, file, true, w->files[file].bytes, &err), TG_OK);
        for (uint32_t i = 0; i < n_readers; i++) {
            uint32_t reader = below(n_tasks);
            if (!is_written || reader * 7919 % 1009 > writer * 7919 % 1009)
                assert_int_equal(tgi_workflow_add_use(w, reader, file, false, w->files[file].bytes, &err),
                                 TG_OK);
        }
    }
}

/* Gathers and the like have an @ in their names, which no safe name has. */
static void assert_has_every_task(const struct tgi_workflow *w, const struct tg_graph *g)
{
    uint32_t n = 0;
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        char scratch[16];
        n += strchr(tgi_graph_task_name(g, t, scratch), '@') == NULL;
    }
    assert_int_equal(n, w->n_tasks);
}

static char *safe(const char *name, char *to)
{
    size_t n = 0;
    for (const char *p = name; *p; p++)
        to[n++] =
            strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:#/+-", *p) ? *p : '_';
    to[n] = '\0';
    return to;
}

static void random_workflows_keep_every_edge(void **state)
{
    (void)state;
    const char *given = getenv("TGRAPH_TEST_SEED");
    seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
    print_message("TGRAPH_TEST_SEED=%llu\n", (unsigned long long)seed);
    for (int round = 0; round < 200; round++) {
        struct tgi_workflow w;
        random_workflow(&w, 1 + below(60), below(80));
        struct tgi_workflow_options options = {
            .is_spin = below(2), .scale = 0.001 * below(2000), .is_lines = below(2)};
        struct tg_graph *graph = load_workflow(&w, options);
        assert_has_every_task(&w, graph);
        /* Only tasks whose safe name is theirs alone can be found by it. */
        for (uint32_t i = 0; i < w.n_edges; i++) {
            const char *names[2] = {w.tasks[w.edges[i].parent].name, w.tasks[w.edges[i].child].name};
            char both[2][64], other[64];
            int n_alike = 0;
            for (int k = 0; k < 2; k++) {
                safe(names[k], both[k]);
                for (uint32_t t = 0; t < w.n_tasks; t++)
                    n_alike += strcmp(safe(w.tasks[t].name, other), both[k]) == 0;
            }
            if (n_alike == 2)
                assert_leads(graph, both[0], both[1]);
        }
        tg_graph_destroy(graph);
        tgi_workflow_fini(&w);
    }
}

static void a_task_may_read_and_write_hundreds_of_files(void **state)
{
    (void)state;
    struct tgi_workflow w;
    struct tg_error err;
    uint32_t first, last, file;
    tgi_workflow_init(&w, "many");
    assert_int_equal(tgi_workflow_add_task(&w, "first", 1, &first, &err), TG_OK);
    assert_int_equal(tgi_workflow_add_task(&w, "last", 2, &last, &err), TG_OK);
    for (int i = 0; i < 300; i++) {
        char name[16];
        uint32_t task;
        snprintf(name, sizeof(name), "f%d", i);
        assert_int_equal(tgi_workflow_add_file(&w, name, 10, &file, &err), TG_OK);
        assert_int_equal(tgi_workflow_add_use(&w, first, file, true, 10, &err), TG_OK);
        assert_int_equal(tgi_workflow_add_task(&w, name, 3, &task, &err), TG_OK);
        assert_int_equal(tgi_workflow_add_use(&w, task, file, false, 10, &err), TG_OK);
        snprintf(name, sizeof(name), "g%d", i);
        assert_int_equal(tgi_workflow_add_file(&w, name, 10, &file, &err), TG_OK);
        assert_int_equal(tgi_workflow_add_use(&w, task, file, true, 10, &err), TG_OK);
        assert_int_equal(tgi_workflow_add_use(&w, last, file, false, 10, &err), TG_OK);
    }
    for (int is_spin = 0; is_spin < 2; is_spin++) {
        struct tg_graph *graph =
            load_workflow(&w, (struct tgi_workflow_options){.is_spin = is_spin, .scale = 1});
        for (int i = 0; i < 300; i++) {
            char name[16];
            snprintf(name, sizeof(name), "f%d", i);
            assert_leads(graph, "first", name);
            assert_leads(graph, name, "last");
        }
        tg_graph_destroy(graph);
    }
    tgi_workflow_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wfformat_1_4_is_read),
        cmocka_unit_test(wfformat_1_5_is_read),
        cmocka_unit_test(wfformat_1_6_is_read),
        cmocka_unit_test(dot_is_read),
        cmocka_unit_test(stg_is_read),
        cmocka_unit_test(dax_is_read),
        cmocka_unit_test(spin_burns_scaled_times_and_moves_scaled_bytes),
        cmocka_unit_test(mistakes_in_wfformat_are_named_with_their_line),
        cmocka_unit_test(files_order_tasks_even_without_an_edge),
        cmocka_unit_test(mistakes_in_stg_are_named_with_their_line),
        cmocka_unit_test(stg_tasks_may_come_in_any_order),
        cmocka_unit_test(mistakes_in_dax_are_named_with_their_line),
        cmocka_unit_test(mistakes_in_dot_are_named_with_their_line),
        cmocka_unit_test(formats_are_told_apart_by_content),
        cmocka_unit_test(random_workflows_keep_every_edge),
        cmocka_unit_test(a_task_may_read_and_write_hundreds_of_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
