/* A graph that was written is read back as the same graph. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/json_out.h"
#include "io/json_tree.h"
#include "io/output.h"
#include "io/write_json.h"
#include "tests/hostile.h"

static struct tg_error err;

static char *written(const struct tg_graph *g, enum tgi_json_form form)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    if (tgi_graph_write_json(g, form, to, &err))
        fail_msg("%s", err.text);
    assert_int_equal(fclose(to), 0);
    return text;
}

static struct tg_graph *load(const char *path)
{
    struct tg_graph *g;
    if (tg_graph_load(path, NULL, &g, &err))
        fail_msg("%s:%u:%u: %s", path, err.line, err.column, err.text);
    return g;
}

static char folder[64];

/* Arrays that graphs read lie in the folder that the graph is in. */
static void for_each_array(int (*what)(const char *array, const char *beside))
{
    glob_t files;
    char beside[256];
    if (glob("examples/graphs/*.npy", 0, NULL, &files))
        return;
    for (size_t i = 0; i < files.gl_pathc; i++) {
        snprintf(beside, sizeof beside, "%s/%s", folder, strrchr(files.gl_pathv[i], '/') + 1);
        assert_int_equal(what(files.gl_pathv[i], beside), 0);
    }
    globfree(&files);
}

static int remove_beside(const char *array, const char *beside)
{
    (void)array;
    return unlink(beside);
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "build/test_write_json.%ld", (long)getpid());
    assert_int_equal(mkdir(folder, 0777), 0);
    for_each_array(link);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    for_each_array(remove_beside);
    return rmdir(folder);
}

/* Saves, loads, and deletes the file. */
static struct tg_graph *reloaded(const struct tg_graph *g, const char *extension)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/graph.%s", folder, extension);
    if (tg_graph_save(g, path, &err))
        fail_msg("%s", err.text);
    struct tg_graph *h = load(path);
    assert_int_equal(unlink(path), 0);
    return h;
}

static void assert_same_structure(struct tg_graph *g, struct tg_graph *h)
{
    struct tg_graph_stats a, b;
    assert_int_equal(tg_graph_freeze(g, &err), 0);
    assert_int_equal(tg_graph_freeze(h, &err), 0);
    assert_int_equal(tg_graph_stats(g, &a, &err), 0);
    assert_int_equal(tg_graph_stats(h, &b, &err), 0);
    assert_int_equal(a.n_tasks, b.n_tasks);
    assert_int_equal(a.n_edges, b.n_edges);
    assert_int_equal(a.n_redundant, b.n_redundant);
    assert_int_equal(a.depth, b.depth);
    assert_int_equal(a.width, b.width);
    assert_int_equal(a.data_bytes, b.data_bytes);
    assert_memory_equal(g->succ, h->succ, g->n_edges * sizeof(*g->succ));
    assert_int_equal(g->space->n_buffers, h->space->n_buffers);
    assert_int_equal(g->space->n_checks, h->space->n_checks);
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        struct tgi_cost x = tgi_graph_cost(g, t), y = tgi_graph_cost(h, t);
        assert_memory_equal(&x.flops, &y.flops, sizeof(x.flops));
        assert_memory_equal(&x.bytes, &y.bytes, sizeof(x.bytes));
        assert_int_equal(g->priority ? g->priority[t] : 0, h->priority ? h->priority[t] : 0);
    }
}

static void every_example_survives_both_forms(void **state)
{
    glob_t files;
    (void)state;
    assert_int_equal(glob("examples/graphs/*.json", 0, NULL, &files), 0);
    assert_true(files.gl_pathc >= 10);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        struct tg_graph *g = load(files.gl_pathv[i]);
        struct tg_graph *document = reloaded(g, "json"), *lines = reloaded(g, "jsonl");
        char *a = written(g, TGI_JSON_DOCUMENT), *b = written(document, TGI_JSON_DOCUMENT),
             *c = written(lines, TGI_JSON_DOCUMENT);
        assert_string_equal(a, b);
        assert_string_equal(a, c);
        assert_same_structure(g, document);
        tg_graph_destroy(g);
        g = load(files.gl_pathv[i]);
        assert_same_structure(g, lines);
        free(a);
        free(b);
        free(c);
        tg_graph_destroy(g);
        tg_graph_destroy(document);
        tg_graph_destroy(lines);
    }
    globfree(&files);
}

static tg_buffer_id add_buffer(struct tg_graph *g, const char *name, enum tg_dtype dtype, int64_t tiles,
                               const uint8_t *present)
{
    struct tg_buffer_spec spec = TG_BUFFER_SPEC_INIT;
    tg_buffer_id id;
    spec.name = name;
    spec.dtype = dtype;
    spec.n_dims = 2;
    spec.shape[0] = 8;
    spec.shape[1] = 3;
    spec.n_tile_dims = 2;
    spec.tiles[0] = spec.tiles[1] = tiles;
    spec.init = TG_INIT_RANDOM;
    spec.init_seed = 5;
    spec.present = present;
    assert_int_equal(tg_graph_add_buffer(g, &spec, &id, &err), 0);
    return id;
}

static tg_kernel_id add_kernel(struct tg_graph *g, const char *builtin)
{
    struct tg_kernel_spec spec = TG_KERNEL_SPEC_INIT;
    tg_kernel_id id;
    spec.name = spec.builtin = builtin;
    assert_int_equal(tg_graph_add_kernel(g, &spec, &id, &err), 0);
    return id;
}

static void tiles_that_do_not_exist_stay_away(void **state)
{
    static const uint8_t shapes[][9] = {{1, 0, 0, 1, 1, 0, 1, 1, 1}, {1, 1, 1, 0, 1, 1, 0, 0, 1},
                                        {0, 0, 0, 1, 0, 0, 1, 1, 0}, {0, 1, 1, 0, 0, 1, 0, 0, 0},
                                        {1, 0, 0, 0, 1, 0, 0, 0, 1}, {1, 0, 1, 0, 1, 0, 1, 1, 0},
                                        {1, 1, 0, 1, 1, 1, 0, 1, 1}, {0, 0, 1, 0, 0, 0, 0, 0, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
        struct tg_graph *g;
        assert_int_equal(tg_graph_create("tiles", &g, &err), 0);
        add_buffer(g, "A", TG_F32, 3, shapes[i]);
        struct tg_graph *h = reloaded(g, "json");
        const struct tgi_buffer *b = &h->space->buffers[0];
        for (int t = 0; t < 9; t++)
            assert_int_equal(b->present ? b->present[t] != 0 : 1, shapes[i][t] != 0);
        tg_graph_destroy(g);
        tg_graph_destroy(h);
    }
}

/* Bodies in bodies, both branches, edges between tasks without names, ranges, attributes. */
static struct tg_graph *make_everything(void)
{
    struct tg_graph *g, *outer, *inner, *other;
    struct tg_task_spec task = TG_TASK_SPEC_INIT;
    tg_task_id first, second;
    assert_int_equal(tg_graph_create("everything", &g, &err), 0);
    tg_buffer_id x = add_buffer(g, "x", TG_F32, 2, NULL), go = add_buffer(g, "go", TG_I32, 1, NULL);
    tg_kernel_id scale = add_kernel(g, "scale");
    struct tg_arg args[] = {tg_arg_int(24), tg_arg_float(0.1f), tg_arg_tile(x, 1)};
    struct tg_arg condition = tg_arg_tile(go, 0);
    struct tg_arg copy[] = {tg_arg_rows(x, 0, 2, 5), tg_arg_rows(x, 1, 1, 4)};
    struct tg_arg fill[] = {tg_arg_tile(x, 2), tg_arg_float(-1.5)};
    struct tg_arg ranks[] = {tg_arg_tile(x, 0), tg_arg_tile(x, 3), tg_arg_tile(x, 2)};

    assert_int_equal(tg_graph_create_body(g, &outer, &err), 0);
    assert_int_equal(tg_graph_create_body(g, &inner, &err), 0);
    assert_int_equal(tg_graph_create_body(g, &other, &err), 0);
    task.kernel = scale;
    task.args = args;
    task.n_args = 3;
    task.name = "deep";
    assert_int_equal(tg_graph_add_task(inner, &task, NULL, &err), 0);
    task.name = NULL;
    assert_int_equal(tg_graph_add_task(inner, &task, NULL, &err), 0);
    task = (struct tg_task_spec)TG_TASK_SPEC_INIT;
    task.kind = TG_TASK_FILL;
    task.args = fill;
    task.n_args = 2;
    assert_int_equal(tg_graph_add_task(other, &task, NULL, &err), 0);
    task = (struct tg_task_spec)TG_TASK_SPEC_INIT;
    task.kind = TG_TASK_IF;
    task.args = &condition;
    task.n_args = 1;
    task.body = inner;
    task.body_else = other;
    assert_int_equal(tg_graph_add_task(outer, &task, NULL, &err), 0);
    task = (struct tg_task_spec)TG_TASK_SPEC_INIT;
    task.kind = TG_TASK_WHILE;
    task.name = "loop";
    task.args = &condition;
    task.n_args = 1;
    task.count = 7;
    task.body = outer;
    assert_int_equal(tg_graph_add_task(g, &task, NULL, &err), 0);

    task = (struct tg_task_spec)TG_TASK_SPEC_INIT;
    task.kind = TG_TASK_COPY;
    task.args = copy;
    task.n_args = 2;
    task.priority = -3;
    task.retries = 2;
    task.timeout_ms = 1500;
    task.on = "cpu";
    assert_int_equal(tg_graph_add_task(g, &task, &first, &err), 0);
    task = (struct tg_task_spec)TG_TASK_SPEC_INIT;
    task.kind = TG_TASK_COLLECTIVE;
    task.collective = TG_REDUCE_TO;
    task.op = TG_MAX;
    task.root = 1;
    task.args = ranks;
    task.n_args = 3;
    task.after = &first;
    task.n_after = 1;
    assert_int_equal(tg_graph_add_task(g, &task, &second, &err), 0);
    task = (struct tg_task_spec)TG_TASK_SPEC_INIT;
    task.kind = TG_TASK_BARRIER;
    assert_int_equal(tg_graph_add_task(g, &task, NULL, &err), 0);
    return g;
}

static void bodies_collectives_and_attributes_survive(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct tg_graph *g = make_everything(), *h = reloaded(g, i == 0 ? "json" : "jsonl");
        char *a = written(g, TGI_JSON_DOCUMENT), *b = written(h, TGI_JSON_DOCUMENT);
        assert_string_equal(a, b);
        assert_non_null(
            strstr(a, "\"while\": \"go[0,0]\", \"max\": 7, \"do\": [{\"if\": \"go[0,0]\", \"then\": [{"));
        assert_non_null(strstr(a, "\"root\": 1"));
        assert_non_null(strstr(a, "\"after\": [\"#1\"]"));
        assert_non_null(strstr(a, "\"x[0,0]@rows(2:5)\""));
        assert_same_structure(g, h);
        const struct tgi_attr *attr = tgi_graph_attr(h, 1);
        assert_non_null(attr);
        assert_int_equal(attr->retries, 2);
        assert_int_equal(attr->timeout_ms, 1500);
        assert_int_equal(attr->on, TGI_PLACE_CPU);
        free(a);
        free(b);
        tg_graph_destroy(g);
        tg_graph_destroy(h);
    }
}

static int return_0(void **args, const struct tg_context *ctx)
{
    (void)args;
    (void)ctx;
    return 0;
}

static void what_a_file_cannot_hold_is_refused(void **state)
{
    struct tg_graph *g;
    struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
    tg_kernel_id id;
    (void)state;
    assert_int_equal(tg_graph_create("function", &g, &err), 0);
    kernel.name = "f";
    kernel.cpu = return_0;
    assert_int_equal(tg_graph_add_kernel(g, &kernel, &id, &err), 0);
    assert_int_equal(tg_graph_save(g, "build/test_write_json.refused.json", &err), TG_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "\"f\""));
    assert_int_equal(access("build/test_write_json.refused.json", F_OK), -1);
    assert_int_equal(tg_graph_save(g, "build/graph.txt", &err), TG_E_INVALID);
    assert_int_equal(tg_graph_save(g, "build/no/such/folder/g.json", &err), TG_E_WRITE);
    tg_graph_destroy(g);
}

/* What a name in a file means that has no expressions in it. */
static const char *without_doubled_braces(const char *name, char *text)
{
    char *to = text;
    for (; *name; name++) {
        name += (*name == '{' || *name == '}') && name[1] == *name;
        *to++ = *name;
    }
    *to = '\0';
    return text;
}

/* Valid JSON on every line, with the names as they are; those that are no UTF-8 are replaced. */
static void hostile_names_are_written_as_text(void **state)
{
    struct tg_graph *g = NULL;
    struct tgi_json_tree tree = {0};
    struct tgi_arena strings = {0};
    size_t n_tasks = 0, n_same = 0;
    (void)state;
    assert_int_equal(hostile_graph(&g, &err), 0);
    char *text = written(g, TGI_JSON_LINES);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        if (tgi_json_tree_parse(&tree, line, strlen(line), "text", 1, &err))
            fail_msg("%s: %s", err.text, line);
        uint32_t task = tgi_json_tree_find(&tree, 0, "task");
        uint32_t id = tgi_json_tree_find(&tree, task, "id");
        n_tasks += task != TG_NONE;
        if (id == TG_NONE)
            continue;
        char name[1024];
        n_same += tg_graph_find_task(g, without_doubled_braces(tgi_json_tree_string(&tree, id, &strings),
                                                               name)) != TG_NONE;
    }
    assert_int_equal(n_tasks, g->n_tasks);
    /* all but the one that is no UTF-8; and an unnamed task that an edge names got a name */
    assert_true(n_same >= N_HOSTILE - 1);
    free(text);
    tgi_json_tree_fini(&tree);
    tgi_arena_fini(&strings);
    tg_graph_destroy(g);
}

static void numbers_keep_their_value(void **state)
{
    static const double values[] = {
        0, -0.0, 0.1, 1e300, 5e-324, 1.0 / 3, 123456789, -2.5e-7, 9007199254740993.0};
    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
        char *text = NULL;
        size_t size = 0;
        FILE *to = open_memstream(&text, &size);
        struct tgi_json json = tgi_json_begin(to, TGI_JSON_LINE);
        tgi_json_double(&json, NULL, values[i]);
        fclose(to);
        double again = strtod(text, NULL);
        assert_memory_equal(&again, &values[i], sizeof(again));
        free(text);
    }
}

static void an_abandoned_file_leaves_the_old_one(void **state)
{
    char path[64], line[16] = "";
    struct tgi_output out;
    (void)state;
    snprintf(path, sizeof(path), "build/test_output.%ld", (long)getpid());
    assert_int_equal(tgi_output_open(&out, path, &err), 0);
    fputs("old\n", out.file);
    assert_int_equal(tgi_output_finish(&out, &err), 0);
    assert_int_equal(tgi_output_open(&out, path, &err), 0);
    fputs("new\n", out.file);
    tgi_output_abandon(&out);
    assert_int_equal(tgi_output_open(&out, path, &err), 0);
    fputs("newer\n", out.file);
    fflush(out.file);
    tgi_output_abandon_all();
    tgi_output_abandon(&out);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof(line), file));
    fclose(file);
    assert_string_equal(line, "old\n");
    unlink(path);
    glob_t left;
    char pattern[80];
    snprintf(pattern, sizeof(pattern), "%s*", path);
    assert_int_equal(glob(pattern, 0, NULL, &left), GLOB_NOMATCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_example_survives_both_forms),
        cmocka_unit_test(tiles_that_do_not_exist_stay_away),
        cmocka_unit_test(bodies_collectives_and_attributes_survive),
        cmocka_unit_test(what_a_file_cannot_hold_is_refused),
        cmocka_unit_test(hostile_names_are_written_as_text),
        cmocka_unit_test(numbers_keep_their_value),
        cmocka_unit_test(an_abandoned_file_leaves_the_old_one),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
