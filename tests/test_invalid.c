/* Every folder of tests/invalid is a graph that must be refused: input.json or input.jsonl, and in
 * expected.txt the messages in short form, one a line.  "options" may hold lines param=NAME=EXPR,
 * max_tasks=N, max_bytes=N.  Folders of tests/valid are graphs that must be accepted; there
 * expected.txt holds the statistics.
 *
 * TGRAPH_TEST_UPDATE=1 writes expected.txt instead of comparing with it; read the difference. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "graph/tgraph.h"
#include "io/diagnostic.h"

struct options {
    struct tg_load_options load;
    const char *params[16];
    char lines[16][256];
};

static void sink(void *user, const struct tg_diagnostic *d)
{
    tgi_diagnostic_print(user, d, TGI_DIAGNOSTIC_SHORT, false);
}

static void read_options(struct options *o)
{
    struct tg_load_options init = TG_LOAD_OPTIONS_INIT;
    o->load = init;
    o->load.params = o->params;
    o->load.on_diagnostic = sink;
    FILE *f = fopen("options", "r");
    for (uint32_t n = 0; f != NULL && n < 16 && fgets(o->lines[n], sizeof o->lines[n], f) != NULL; n++) {
        char *line = o->lines[n], *value = strchr(line, '=') + 1;
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "param=", 6) == 0)
            o->params[o->load.n_params++] = value;
        else if (strncmp(line, "max_tasks=", 10) == 0)
            o->load.max_tasks = strtoull(value, NULL, 10);
        else if (strncmp(line, "max_bytes=", 10) == 0)
            o->load.max_bytes = strtoull(value, NULL, 10);
        else if (strncmp(line, "n_cuda=", 7) == 0)
            o->load.n_cuda = (uint32_t)strtoul(value, NULL, 10);
        else
            fail_msg("unknown option: %s", line);
    }
    if (f != NULL)
        fclose(f);
}

/* What loading and freezing the graph of the current folder says; the caller frees it. */
static char *run_case(bool *is_accepted_p)
{
    struct options options;
    struct tg_graph *graph = NULL;
    struct tg_graph_stats stats;
    struct tg_error err;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    memset(&options, 0, sizeof options);
    read_options(&options);
    options.load.user = out;
    const char *path = access("input.json", R_OK) == 0 ? "input.json" : "input.jsonl";
    int rc = tg_graph_load(path, &options.load, &graph, &err);
    if (rc != 0) {
        assert_null(graph);
        assert_int_equal(rc, err.status);
        assert_true(err.text[0] != '\0');
    } else if ((rc = tg_graph_freeze(graph, &err)) != 0) {
        tgi_error_print(out, &err, TGI_DIAGNOSTIC_SHORT, false);
    } else {
        assert_int_equal(tg_graph_stats(graph, &stats, &err), 0);
        fprintf(out, "tasks=%llu edges=%llu depth=%u width=%u roots=%llu sinks=%llu\n",
                (unsigned long long)stats.n_tasks, (unsigned long long)stats.n_edges, stats.depth,
                stats.width, (unsigned long long)stats.n_roots, (unsigned long long)stats.n_sinks);
    }
    tg_graph_destroy(graph);
    fclose(out);
    *is_accepted_p = rc == 0;
    /* Without a sink the first message is what the error says. */
    options.load.on_diagnostic = NULL;
    rc = tg_graph_load(path, &options.load, &graph, &err);
    if (rc == 0)
        tg_graph_destroy(graph);
    else if (strncmp(text, path, strlen(path)) == 0)
        assert_non_null(strstr(text, "error[TG"));
    return text;
}

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = calloc(1, 1 << 16);
    assert_non_null(text);
    if (f == NULL) {
        free(text);
        return NULL;
    }
    size_t n = fread(text, 1, (1 << 16) - 1, f);
    text[n] = '\0';
    fclose(f);
    return text;
}

/* Returns whether the case behaves as its expected.txt says. */
static bool check_case(const char *name, bool must_be_accepted)
{
    bool is_accepted;
    char *text = run_case(&is_accepted);
    if (getenv("TGRAPH_TEST_UPDATE") != NULL) {
        FILE *f = fopen("expected.txt", "w");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
    }
    char *expected = read_file("expected.txt");
    bool is_good = is_accepted == must_be_accepted && expected != NULL && strcmp(text, expected) == 0;
    if (!is_good)
        print_message("%s: expected\n%sgot%s\n%s", name, expected != NULL ? expected : "(no expected.txt)\n",
                      is_accepted == must_be_accepted ? "" : " the wrong verdict:", text);
    free(expected);
    free(text);
    return is_good;
}

static void check_folder(const char *folder, bool must_be_accepted, uint32_t n_least)
{
    char here[4096];
    struct dirent **entries;
    uint32_t n_cases = 0, n_bad = 0;
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(folder), 0);
    int n = scandir(".", &entries, NULL, alphasort);
    assert_true(n > 0);
    for (int k = 0; k < n; k++) {
        if (entries[k]->d_name[0] != '.') {
            assert_int_equal(chdir(entries[k]->d_name), 0);
            n_cases++;
            if (!check_case(entries[k]->d_name, must_be_accepted))
                n_bad++;
            assert_int_equal(chdir(".."), 0);
        }
        free(entries[k]);
    }
    free(entries);
    assert_int_equal(chdir(here), 0);
    print_message("%u cases\n", n_cases);
    assert_int_equal(n_bad, 0);
    assert_true(n_cases >= n_least);
}

static void every_invalid_graph_is_refused_with_its_messages(void **state)
{
    (void)state;
    check_folder("tests/invalid", false, 60);
}

static void every_valid_graph_is_accepted(void **state)
{
    (void)state;
    check_folder("tests/valid", true, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_invalid_graph_is_refused_with_its_messages),
        cmocka_unit_test(every_valid_graph_is_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
