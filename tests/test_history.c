/* Times of kernels: medians, outliers, drifts, and the file they are kept in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "graph/model.h"
#include "sched/alike.h"
#include "sched/history.h"
#include "tests/must.h"

static struct tg_error err;

static const struct tgi_history_key gemm = {"gemm", "cuda H200", "cublas dgemm", "8B,1"};
static char folder[] = "/tmp/tgraph-test-history-XXXXXX";

static struct tgi_history *in_memory(void)
{
    struct tgi_history *h;
    MUST(tgi_history_create(&h, &err));
    return h;
}

static void the_median_and_the_spread_of_what_was_noted_are_the_model(void **state)
{
    (void)state;
    struct tgi_history *h = in_memory();
    struct tgi_history_model m;
    uint32_t e = tgi_history_entry(h, &gemm);
    assert_false(tgi_history_model(h, e, &m));
    for (uint32_t i = 1; i <= 9; i++)
        tgi_history_note(h, e, 100 + (double)(i * 7 % 9)); /* 100 .. 108 in some order */
    assert_true(tgi_history_model(h, e, &m));
    assert_true(m.median_ns == 104);
    assert_true(m.spread_ns == 4);
    assert_int_equal(m.n_samples, 9);
    tgi_history_close(h);
}

static void keys_that_differ_anywhere_have_entries_of_their_own(void **state)
{
    (void)state;
    struct tgi_history *h = in_memory();
    struct tgi_history_key key = gemm;
    uint32_t first = tgi_history_entry(h, &gemm);
    assert_int_equal(tgi_history_entry(h, &key), first);
    key.sizes[0] = '9';
    assert_int_not_equal(tgi_history_entry(h, &key), first);
    for (int i = 0; i < 300; i++) {
        snprintf(key.sizes, sizeof key.sizes, "%dB", i);
        uint32_t e = tgi_history_entry(h, &key);
        tgi_history_note(h, e, 10 + i);
    }
    for (int i = 0; i < 300; i++) {
        struct tgi_history_model m;
        snprintf(key.sizes, sizeof key.sizes, "%dB", i);
        assert_true(tgi_history_model(h, tgi_history_entry(h, &key), &m));
        assert_true(m.median_ns == 10 + i);
    }
    assert_int_equal(tgi_history_n(h), 302);
    tgi_history_close(h);
}

static void a_sample_far_from_the_others_is_set_aside(void **state)
{
    (void)state;
    struct tgi_history *h = in_memory();
    struct tgi_history_model m;
    uint32_t e = tgi_history_entry(h, &gemm);
    for (uint32_t i = 0; i < 20; i++)
        tgi_history_note(h, e, i % 5 == 4 ? 5000 : 100 + i % 3);
    assert_true(tgi_history_model(h, e, &m));
    assert_int_equal(m.n_set_aside, 4);
    assert_int_equal(m.n_seen, 20);
    assert_true(m.median_ns >= 100 && m.median_ns <= 102);
    assert_int_equal(m.n_drifts, 0);
    tgi_history_close(h);
}

static void a_time_that_has_changed_for_good_is_believed_and_announced_once(void **state)
{
    (void)state;
    struct tgi_history *h = in_memory();
    struct tgi_history_model m;
    char text[256];
    uint32_t e = tgi_history_entry(h, &gemm);
    for (uint32_t i = 0; i < 20; i++)
        tgi_history_note(h, e, 1000);
    assert_false(tgi_history_take_notice(h, text, sizeof text));
    for (uint32_t i = 0; i < 20; i++)
        tgi_history_note(h, e, 3000);
    assert_true(tgi_history_model(h, e, &m));
    assert_true(m.median_ns == 3000);
    assert_int_equal(m.n_drifts, 1);
    assert_true(tgi_history_take_notice(h, text, sizeof text));
    assert_non_null(strstr(text, "\"gemm\" (cublas dgemm) on cuda H200 takes 3.0 us now, 1.0 us before"));
    assert_false(tgi_history_take_notice(h, text, sizeof text));
    tgi_history_close(h);
}

static void times_beside_others_go_up_and_down_without_news(void **state)
{
    (void)state;
    struct tgi_history *h = in_memory();
    struct tgi_history_model m;
    char text[256];
    uint32_t e = tgi_history_entry(h, &gemm);
    for (uint32_t i = 0; i < 200; i++)
        tgi_history_note_beside(h, e, i / 20 % 2 ? 3000 : 1000);
    assert_true(tgi_history_model(h, e, &m));
    assert_true(m.median_ns == 3000);
    assert_int_equal(m.n_drifts, 0);
    assert_false(tgi_history_take_notice(h, text, sizeof text));
    tgi_history_close(h);
}

static void a_median_that_creeps_away_is_announced(void **state)
{
    (void)state;
    struct tgi_history *h = in_memory();
    struct tgi_history_model m;
    char text[256];
    uint32_t e = tgi_history_entry(h, &gemm);
    for (uint32_t i = 0; i < 400; i++)
        tgi_history_note(h, e, 1000 + i);
    assert_true(tgi_history_model(h, e, &m));
    assert_int_equal(m.n_set_aside, 0);
    assert_int_equal(m.n_drifts, 1);
    assert_true(tgi_history_take_notice(h, text, sizeof text));
    tgi_history_close(h);
}

/* ---- The file -----------------------------------------------------------------------------*/

static struct tgi_history *opened(void)
{
    struct tgi_history *h;
    MUST(tgi_history_open(&h, &err));
    return h;
}

static void note(struct tgi_history *h, const char *sizes, double ns, int n)
{
    struct tgi_history_key key = gemm;
    snprintf(key.sizes, sizeof key.sizes, "%s", sizes);
    for (int i = 0; i < n; i++)
        tgi_history_note(h, tgi_history_entry(h, &key), ns);
}

static double median(struct tgi_history *h, const char *sizes)
{
    struct tgi_history_key key = gemm;
    struct tgi_history_model m;
    snprintf(key.sizes, sizeof key.sizes, "%s", sizes);
    return tgi_history_model(h, tgi_history_entry(h, &key), &m) ? m.median_ns : 0;
}

/* The one file in the folder. */
static void find_file(char *path, size_t size)
{
    char inner[128];
    uint32_t n = 0;
    snprintf(inner, sizeof inner, "%s/history", folder);
    DIR *d = opendir(inner);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.') {
            snprintf(path, size, "%s/%s", inner, e->d_name);
            n++;
        }
    closedir(d);
    assert_int_equal(n, 1);
}

static void clear(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s/history", folder);
    assert_int_equal(system(command), 0);
}

static void the_next_process_goes_on_from_the_file(void **state)
{
    (void)state;
    clear();
    struct tgi_history *h = opened();
    note(h, "a", 100, 10);
    tgi_history_close(h);
    h = opened();
    assert_true(median(h, "a") == 100);
    note(h, "a", 3000, 6); /* outliers until there are enough of them: the samples are there, not the median alone */
    assert_true(median(h, "a") == 3000);
    tgi_history_close(h);
}

static void two_processes_keep_what_either_has_measured(void **state)
{
    (void)state;
    clear();
    struct tgi_history *h = opened();
    note(h, "both", 10, 5);
    tgi_history_close(h);
    struct tgi_history *one = opened(), *other = opened();
    note(one, "a", 100, 10);
    note(other, "b", 200, 10);
    note(one, "both", 10, 5);
    tgi_history_close(one);
    tgi_history_close(other);
    h = opened();
    assert_true(median(h, "a") == 100);
    assert_true(median(h, "b") == 200);
    struct tgi_history_model m;
    struct tgi_history_key key = gemm;
    snprintf(key.sizes, sizeof key.sizes, "both");
    assert_true(tgi_history_model(h, tgi_history_entry(h, &key), &m));
    assert_int_equal(m.n_seen, 10); /* the other one had not changed it */
    tgi_history_close(h);
}

static void a_damaged_file_is_not_read_said_so_and_replaced(void **state)
{
    (void)state;
    char path[512], text[256];
    clear();
    struct tgi_history *h = opened();
    note(h, "a", 100, 10);
    tgi_history_close(h);
    find_file(path, sizeof path);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    for (off_t at = 0; at < info.st_size; at += info.st_size / 13 + 1) {
        FILE *f = fopen(path, "r+");
        assert_non_null(f);
        fseek(f, (long)at, SEEK_SET);
        int c = fgetc(f);
        fseek(f, (long)at, SEEK_SET);
        fputc(c ^ 1, f);
        fclose(f);
        h = opened();
        assert_true(median(h, "a") == 0);
        assert_true(tgi_history_take_notice(h, text, sizeof text));
        note(h, "a", 100, 10);
        tgi_history_close(h);
        h = opened();
        assert_true(median(h, "a") == 100);
        assert_false(tgi_history_take_notice(h, text, sizeof text));
        tgi_history_close(h);
    }
}

static void another_machines_file_under_our_name_is_not_read(void **state)
{
    (void)state;
    char path[512], other[640], text[256];
    clear();
    struct tgi_history *h = opened();
    note(h, "a", 100, 10);
    tgi_history_close(h);
    find_file(path, sizeof path);
    /* As if it had been copied: the name says which machine, and the checksum knows the name. */
    snprintf(other, sizeof other, "%s/history/%064d", folder, 7);
    assert_int_equal(rename(path, other), 0);
    h = opened();
    assert_true(median(h, "a") == 0);
    assert_false(tgi_history_take_notice(h, text, sizeof text)); /* nobody's file of ours */
    tgi_history_close(h);
    assert_int_equal(rename(other, path), 0);
    h = opened();
    assert_true(median(h, "a") == 100);
    tgi_history_close(h);
}

static void off_means_nothing_is_read_or_kept(void **state)
{
    (void)state;
    clear();
    struct tgi_history *h = opened();
    note(h, "a", 100, 10);
    tgi_history_close(h);
    setenv("TGRAPH_HISTORY", "off", 1);
    h = opened();
    assert_true(median(h, "a") == 0);
    note(h, "a", 700, 10);
    tgi_history_close(h);
    unsetenv("TGRAPH_HISTORY");
    h = opened();
    assert_true(median(h, "a") == 100);
    tgi_history_close(h);
}

static void another_word_than_on_and_off_is_refused(void **state)
{
    struct tgi_history *h = NULL;
    (void)state;
    setenv("TGRAPH_HISTORY", "of", 1);
    assert_int_equal(tgi_history_open(&h, &err), TG_E_INVALID);
    assert_null(h);
    assert_string_equal(err.text, "TGRAPH_HISTORY is \"of\", and can be on or off");
    setenv("TGRAPH_HISTORY", "on", 1);
    tgi_history_close(opened());
    unsetenv("TGRAPH_HISTORY");
}

/* ---- Classes of tasks ---------------------------------------------------------------------*/

/* count tasks of a built-in kernel; `vary` changes something from one to the next. */
static uint32_t n_classes(const char *kernel, const char *args, const char *vary, int n_tasks)
{
    char path[256], *text;
    struct tg_graph *g;
    struct tgi_alikes *a;
    snprintf(path, sizeof path, "%s/graph.json", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(asprintf(&text, "{'tgraph': '1.0', 'buffers': {'x': {'dtype': 'u64', 'shape': [256], 'tiles': [200]}},"
                                "'tasks': [{'for': ['i in 0:%d'], 'kernel': 'k', 'args': {%s%s, 'out': 'x[i]'}}],"
                                "'kernels': {'k': {'builtin': '%s'}}}", n_tasks, args, vary, kernel) > 0);
    for (char *c = text; *c; c++)
        fputc(*c == '\'' ? '"' : *c, f);
    free(text);
    fclose(f);
    MUST(tg_graph_load(path, NULL, &g, &err));
    MUST(tg_graph_freeze(g, &err));
    MUST(tgi_alikes_create(g, &a, &err));
    const uint32_t *of = tgi_alikes_of(a, g);
    uint32_t n = a->n, sum = 0;
    for (uint32_t i = 0; i < a->n; i++)
        sum += a->classes[i].n_tasks;
    assert_int_equal(sum, n_tasks);
    for (int t = 0; t < n_tasks; t++)
        assert_true(of[t] < n);
    tgi_alikes_destroy(a);
    tg_graph_destroy(g);
    return n;
}

static void an_argument_that_is_no_size_makes_no_class(void **state)
{
    (void)state;
    assert_int_equal(n_classes("hash", "'n': 8, ", "'id': 'i'", 50), 1);
}

static void sizes_make_classes(void **state)
{
    (void)state;
    assert_int_equal(n_classes("hash", "'id': 1, ", "'n': '1 + i'", 50), 50);
}

static void classes_of_one_kernel_are_limited(void **state)
{
    (void)state;
    assert_int_equal(n_classes("hash", "'id': 1, ", "'n': '1 + i'", 200), 65);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    unsetenv("TGRAPH_HISTORY");
    return setenv("TGRAPH_CACHE_DIR", folder, 1);
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_median_and_the_spread_of_what_was_noted_are_the_model),
        cmocka_unit_test(keys_that_differ_anywhere_have_entries_of_their_own),
        cmocka_unit_test(a_sample_far_from_the_others_is_set_aside),
        cmocka_unit_test(a_time_that_has_changed_for_good_is_believed_and_announced_once),
        cmocka_unit_test(times_beside_others_go_up_and_down_without_news),
        cmocka_unit_test(a_median_that_creeps_away_is_announced),
        cmocka_unit_test(the_next_process_goes_on_from_the_file),
        cmocka_unit_test(two_processes_keep_what_either_has_measured),
        cmocka_unit_test(a_damaged_file_is_not_read_said_so_and_replaced),
        cmocka_unit_test(another_machines_file_under_our_name_is_not_read),
        cmocka_unit_test(off_means_nothing_is_read_or_kept),
        cmocka_unit_test(another_word_than_on_and_off_is_refused),
        cmocka_unit_test(an_argument_that_is_no_size_makes_no_class),
        cmocka_unit_test(sizes_make_classes),
        cmocka_unit_test(classes_of_one_kernel_are_limited),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
