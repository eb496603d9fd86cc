/* Pictures: whatever the names in a graph, what is written stays what it is meant to be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/critical_path.h"
#include "io/dot.h"
#include "io/gantt.h"
#include "io/layout.h"
#include "io/mermaid.h"
#include "tests/hostile.h"

static struct tg_error err;

static struct tg_graph *make_hostile(void)
{
    struct tg_graph *g = NULL;
    if (hostile_graph(&g, &err))
        fail_msg("%s", err.text);
    return g;
}

typedef int (*write_fn)(const struct tg_graph *, const struct tgi_picture *, FILE *, struct tg_error *);

static char *written(write_fn write, const struct tg_graph *g, const struct tgi_picture *picture)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    assert_int_equal(write(g, picture, to, &err), 0);
    assert_int_equal(fclose(to), 0);
    return text;
}

static size_t count(const char *text, const char *part)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, part)); p += strlen(part))
        n++;
    return n;
}

/* Nothing below space except newlines, no C1 controls, and UTF-8 throughout. */
static void assert_is_printable(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        assert_true(*p >= 0x20 || *p == '\n');
        assert_true(*p != 0x7f && *p != 0xff && *p != 0xfe);
        assert_false(p[0] == 0xc2 && p[1] < 0xa0);
    }
}

/* Every quote in DOT text either delimits or is escaped; outside of strings only our own words. */
static void assert_only_our_attributes(const char *dot)
{
    bool is_quoted = false;
    for (const char *p = dot; *p; p++) {
        if (is_quoted && *p == '\\') {
            assert_true(p[1] == '"' || p[1] == '\\' || p[1] == 'n');
            p++;
        } else if (*p == '"') {
            is_quoted = !is_quoted;
        } else if (!is_quoted) {
            assert_int_not_equal(strncasecmp(p, "url", 3), 0);
            assert_int_not_equal(strncasecmp(p, "href", 4), 0);
            assert_int_not_equal(strncmp(p, "evil", 4), 0);
            assert_int_not_equal(*p, '<');
        }
    }
    assert_false(is_quoted);
}

static bool has_graphviz(void)
{
    return system("command -v dot >/dev/null 2>&1") == 0;
}

/* What a command prints for the text on its stdin; NULL if it fails. */
static char *filtered(const char *command, const char *text)
{
    char path[] = "/tmp/tgraph-test-dot-XXXXXX", line[512], *out = NULL;
    size_t size = 0;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    snprintf(line, sizeof(line), "%s <'%s' 2>&1", command, path);
    FILE *from = popen(line, "r");
    assert_non_null(from);
    FILE *to = open_memstream(&out, &size);
    for (int c; (c = getc(from)) != EOF;)
        putc(c, to);
    int status = pclose(from);
    fclose(to);
    unlink(path);
    if (status != 0) {
        print_message("%s", out);
        free(out);
        out = NULL;
    }
    return out;
}

static void hostile_names_stay_inside_their_quotes(void **state)
{
    struct tg_graph *g = make_hostile();
    (void)state;
    for (int view = TGI_VIEW_TASKS; view <= TGI_VIEW_TYPES; view++) {
        for (int group = TGI_GROUP_NONE; group <= TGI_GROUP_PREFIX; group++) {
            struct tgi_picture picture = {.view = (enum tgi_picture_view)view,
                                          .group = (enum tgi_picture_group)group,
                                          .marks_critical = true,
                                          .remark = hostile_names[4]};
            char *dot = written(tgi_dot_write, g, &picture);
            assert_is_printable(dot);
            assert_only_our_attributes(dot);
            free(dot);
        }
    }
    tg_graph_destroy(g);
}

static void graphviz_sees_the_same_tasks_and_edges(void **state)
{
    struct tgi_picture picture = {.view = TGI_VIEW_TASKS, .group = TGI_GROUP_KERNEL};
    (void)state;
    if (!has_graphviz()) {
        print_message("Graphviz is not installed\n");
        skip();
    }
    struct tg_graph *g = make_hostile();
    char *dot = written(tgi_dot_write, g, &picture);
    char *plain = filtered("dot -Tplain", dot);
    assert_non_null(plain);
    assert_null(strstr(plain, "Warning"));
    assert_int_equal(count(plain, "\nnode "), g->n_tasks);
    assert_int_equal(count(plain, "\nedge "), g->n_edges);
    char *canon = filtered("dot -Tcanon", dot);
    assert_non_null(canon);
    char *svg = filtered("dot -Tsvg", dot);
    assert_non_null(svg);
    assert_null(strstr(svg, "href=\"javascript"));
    assert_null(strstr(svg, "<script"));
    /* A label shows the name itself: entities in it are not taken for characters. */
    assert_non_null(strstr(svg, "&amp;lt;b&amp;gt;"));
    free(plain);
    free(canon);
    free(svg);
    free(dot);
    tg_graph_destroy(g);
}

static void writing_twice_gives_the_same_text(void **state)
{
    struct tgi_picture picture = {.marks_critical = true, .group = TGI_GROUP_PREFIX};
    struct tg_graph *g = make_hostile(), *h = make_hostile();
    (void)state;
    char *a = written(tgi_dot_write, g, &picture), *b = written(tgi_dot_write, h, &picture);
    assert_string_equal(a, b);
    free(a);
    free(b);
    tg_graph_destroy(g);
    tg_graph_destroy(h);
}

static void control_edges_are_dashed_and_data_edges_are_not(void **state)
{
    struct tgi_picture picture = {.view = TGI_VIEW_TASKS};
    struct tg_graph *g = make_hostile();
    (void)state;
    char *dot = written(tgi_dot_write, g, &picture);
    assert_int_equal(count(dot, " -> "), g->n_edges);
    assert_int_equal(count(dot, "style=dashed"), N_HOSTILE - 1);
    free(dot);
    tg_graph_destroy(g);
}

static void mermaid_labels_hold_no_markup(void **state)
{
    struct tgi_picture picture = {.marks_critical = true, .remark = hostile_names[9]};
    struct tg_graph *g = make_hostile();
    (void)state;
    char *text = written(tgi_mermaid_write, g, &picture);
    assert_is_printable(text);
    assert_null(strstr(text, "<script"));
    assert_null(strstr(text, "%%{"));
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        const char *label = strchr(line, '"'), *end = strrchr(line, '"');
        for (const char *p = label ? label + 1 : NULL; p && p < end; p++)
            assert_null(strchr("\"<>&`\\", *p));
    }
    free(text);
    tg_graph_destroy(g);
}

/* Well-formed enough for XML: known tags, numeric references, quoted attributes. */
static void assert_is_inert_svg(const char *svg)
{
    static const char *const tags[] = {"svg", "style", "rect", "text", "title", "line"};
    uint32_t depth = 0;
    for (const char *p = svg; *p; p++) {
        if (*p == '&') {
            assert_int_equal(p[1], '#');
            assert_int_equal(p[2 + strspn(p + 2, "0123456789")], ';');
        }
        if (*p != '<')
            continue;
        bool is_known = false, closes = p[1] == '/';
        for (size_t i = 0; i < sizeof(tags) / sizeof(*tags); i++) {
            size_t length = strlen(tags[i]);
            const char *name = p + 1 + closes;
            is_known |= strncmp(name, tags[i], length) == 0 && strchr(" />", name[length]);
        }
        assert_true(is_known);
        const char *end = strchr(p, '>');
        assert_non_null(end);
        assert_true(!closes || depth > 0);
        depth = closes ? depth - 1 : end[-1] == '/' ? depth : depth + 1;
    }
    assert_int_equal(depth, 0);
}

static char *gantt_of(const struct tg_graph *g, const struct tgi_span *spans, uint32_t n_workers,
                      uint64_t makespan_ns)
{
    struct tgi_recorded what = {.graph = g, .spans = spans, .n_workers = n_workers, .makespan_ns = makespan_ns};
    struct tgi_recording recording;
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    assert_int_equal(tgi_recording_create(&what, &recording, &err), 0);
    assert_int_equal(tgi_gantt_write(&recording, to, &err), 0);
    tgi_recording_fini(&recording);
    assert_int_equal(fclose(to), 0);
    return text;
}

static void a_schedule_with_hostile_names_is_inert(void **state)
{
    struct tg_graph *g = make_hostile();
    struct tgi_span *spans = calloc(g->n_tasks, sizeof(*spans));
    (void)state;
    assert_non_null(spans);
    for (uint32_t t = 0; t < g->n_tasks; t++)
        spans[t] = (struct tgi_span){
            .ready_ns = t * 1000, .start_ns = t * 1000, .end_ns = t * 1000 + 900, .worker = t % 3};
    char *svg = gantt_of(g, spans, 3, g->n_tasks * 1000);
    assert_is_printable(svg);
    assert_is_inert_svg(svg);
    assert_int_equal(count(svg, "<title>"), g->n_tasks);
    assert_null(strstr(svg, "drawn as one"));
    free(svg);
    free(spans);
    tg_graph_destroy(g);
}

/* A line of n tasks, and m more that do not depend on anything. */
static struct tg_graph *make_chain(uint32_t n, uint32_t m)
{
    struct tg_graph *g = NULL;
    tg_buffer_id buffer_id;
    tg_kernel_id kernel_id;
    struct tg_buffer_spec buffer = TG_BUFFER_SPEC_INIT;
    struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
    struct tg_task_spec task = TG_TASK_SPEC_INIT;
    assert_int_equal(tg_graph_create("chain", &g, &err), 0);
    buffer.name = "x";
    buffer.dtype = TG_F32;
    buffer.n_dims = buffer.n_tile_dims = 1;
    buffer.shape[0] = 1;
    buffer.tiles[0] = 1 + m;
    buffer.init = TG_INIT_ZERO;
    kernel.name = kernel.builtin = "scale";
    assert_int_equal(tg_graph_add_buffer(g, &buffer, &buffer_id, &err), 0);
    assert_int_equal(tg_graph_add_kernel(g, &kernel, &kernel_id, &err), 0);
    task.kernel = kernel_id;
    task.n_args = 3;
    for (uint32_t i = 0; i < n + m; i++) {
        struct tg_arg args[] = {tg_arg_int(1), tg_arg_float(2),
                                tg_arg_tile(buffer_id, i < n ? 0 : i - n + 1)};
        task.args = args;
        assert_int_equal(tg_graph_add_task(g, &task, NULL, &err), 0);
    }
    assert_int_equal(tg_graph_freeze(g, &err), 0);
    return g;
}

static void a_long_schedule_is_merged_and_says_so(void **state)
{
    uint32_t n = 50000;
    struct tg_graph *g = make_chain(1, n - 1);
    struct tgi_span *spans = calloc(n, sizeof(*spans));
    (void)state;
    assert_non_null(spans);
    for (uint32_t t = 0; t < n; t++)
        spans[t] = (struct tgi_span){.start_ns = 10 * t, .end_ns = 10 * t + 9, .worker = t % 4};
    char *svg = gantt_of(g, spans, 4, 10 * (uint64_t)n);
    assert_true(count(svg, "<title>") <= 20000);
    assert_non_null(strstr(svg, "drawn as one"));
    assert_true(strlen(svg) < 8000000);
    free(svg);
    free(spans);
    tg_graph_destroy(g);
}

static void the_critical_path_is_the_longest_one(void **state)
{
    struct tg_graph *g = make_chain(10, 5);
    struct tgi_critical_path path;
    double weight[15];
    (void)state;
    assert_int_equal(tgi_critical_path_find(g, NULL, &path, &err), 0);
    assert_int_equal(path.n_tasks, 10);
    assert_true(path.length == 10);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(path.tasks[i], i);
    tgi_critical_path_fini(&path);
    for (int i = 0; i < 15; i++)
        weight[i] = i == 12 ? 11 : 1;
    assert_int_equal(tgi_critical_path_find(g, weight, &path, &err), 0);
    assert_int_equal(path.n_tasks, 1);
    assert_int_equal(path.tasks[0], 12);
    assert_true(path.length == 11);
    tgi_critical_path_fini(&path);
    tg_graph_destroy(g);
}

static void focus_reaches_as_many_edges_as_asked_for(void **state)
{
    struct tg_graph *g = make_chain(20, 3);
    uint8_t *shown;
    (void)state;
    assert_int_equal(tgi_picture_focus(g, 10, 3, &shown, &err), 0);
    for (uint32_t t = 0; t < g->n_tasks; t++)
        assert_int_equal(shown[t], t >= 7 && t <= 13);
    struct tgi_picture picture = {.shown = shown};
    char *dot = written(tgi_dot_write, g, &picture);
    assert_int_equal(count(dot, " -> "), 6);
    free(dot);
    free(shown);
    tg_graph_destroy(g);
}

static int write_chain(void *user, FILE *to, struct tg_error *e)
{
    struct tgi_picture picture = {.view = TGI_VIEW_TASKS};
    return tgi_dot_write(user, &picture, to, e);
}

static void layout_respects_its_time_limit(void **state)
{
    (void)state;
    if (!has_graphviz()) {
        print_message("Graphviz is not installed\n");
        skip();
    }
    struct tg_graph *g = make_chain(3000, 0);
    FILE *to = fopen("/dev/null", "w");
    assert_non_null(to);
    assert_int_equal(tgi_layout_write(write_chain, g, "svg", 1000000, to, &err), TG_E_RUN_TIMEOUT);
    fclose(to);
    tg_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_names_stay_inside_their_quotes),
        cmocka_unit_test(graphviz_sees_the_same_tasks_and_edges),
        cmocka_unit_test(writing_twice_gives_the_same_text),
        cmocka_unit_test(control_edges_are_dashed_and_data_edges_are_not),
        cmocka_unit_test(mermaid_labels_hold_no_markup),
        cmocka_unit_test(a_schedule_with_hostile_names_is_inert),
        cmocka_unit_test(a_long_schedule_is_merged_and_says_so),
        cmocka_unit_test(the_critical_path_is_the_longest_one),
        cmocka_unit_test(focus_reaches_as_many_edges_as_asked_for),
        cmocka_unit_test(layout_respects_its_time_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
