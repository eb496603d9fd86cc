/* CUDA graphs as pictures and as JSON: every command and edge is there, under names that stay names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "io/program_picture.h"
#include "sched/offload_graph.h"
#include "tests/device_graph.h"
#include "tests/random_graph.h"

static const char buffers[] = "'A\\\"<&>': {'dtype': 'u64', 'shape': [32], 'tiles': [6], 'init': {'iota': true}, 'home': 'cyclic:{i}'}";
static const char tasks[] = "{'for': ['r in 0:3', 'i in 0:6'], 'id': 't\\\"\\\\N<[{r},{i}]', 'kernel': 'mix', "
                            "'args': {'id': 'r*6+i', 'n': 32, 'out': 'A\\\"<&>[i]', 'in0': 'A\\\"<&>[(i+1)%6]'}}, "
                            "{'id': 'zero', 'fill': 'A\\\"<&>[4]', 'value': 0}";

struct opened {
    struct tg_graph *g;
    struct tg_runtime *rt;
    struct tg_run *run;
    struct tgi_offload_preview preview;
    struct tgi_program_picture picture;
};

static void open_graph(struct opened *o, const char *what, const char *names, int n_devices)
{
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_error err;
    device_reset(n_devices, 1, true);
    ro.n_workers = 1;
    ro.is_unbound = true;
    ro.devices = "cuda";
    o->g = device_graph(what, "", names);
    MUST(tg_runtime_create(&ro, &o->rt, &err));
    options.executor = TG_EXECUTOR_GRAPH;
    MUST(tg_run_create(o->rt, o->g, &options, &o->run, &err));
    MUST(tgi_offload_preview(o->run, &o->preview, &err));
    o->picture = (struct tgi_program_picture){o->g, &o->preview.recorded.program, o->preview.tile, o->rt->offload->devices};
}

static void open_all(struct opened *o) { open_graph(o, buffers, tasks, 2); }

static void close_all(struct opened *o)
{
    tgi_offload_preview_fini(&o->preview);
    tg_run_destroy(o->run);
    tg_runtime_destroy(o->rt);
    tg_graph_destroy(o->g);
}

static char *written(const struct opened *o, int (*write)(const struct tgi_program_picture *, FILE *, struct tg_error *))
{
    char *text = NULL;
    size_t size = 0;
    struct tg_error err;
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    MUST(write(&o->picture, to, &err));
    assert_int_equal(fclose(to), 0);
    return text;
}

static uint32_t count(const char *text, const char *part)
{
    uint32_t n = 0;
    for (const char *p = text; (p = strstr(p, part)); p += strlen(part))
        n++;
    return n;
}

static void json_has_every_command_with_its_names(void **state)
{
    struct opened o;
    json_error_t where;
    size_t i, n_deps = 0, n_named = 0, n_fills = 0;
    json_t *node;
    (void)state;
    open_all(&o);
    char *text = written(&o, tgi_program_write_json);
    json_t *root = json_loads(text, 0, &where), *nodes = json_object_get(root, "nodes");
    const struct tgi_program *p = o.picture.program;
    assert_int_equal(json_array_size(nodes), p->n);
    json_array_foreach(nodes, i, node) {
        const char *task = json_string_value(json_object_get(node, "task")), *kind = json_string_value(json_object_get(node, "kind"));
        assert_int_equal(json_integer_value(json_object_get(node, "id")), i);
        n_deps += json_array_size(json_object_get(node, "after"));
        if (strcmp(kind, "kernel") == 0) {
            assert_int_equal(strncmp(task, "t\"\\N<[", 6), 0);
            assert_string_equal(json_string_value(json_object_get(node, "kernel")), "mix");
            n_named++;
        }
        if (strcmp(kind, "fill") == 0) {
            assert_string_equal(task, "zero");
            assert_string_equal(json_string_value(json_object_get(node, "tile")), "A\"<&>[4]");
            assert_int_equal(json_integer_value(json_object_get(node, "bytes")), 256);
            n_fills++;
        }
        if (strcmp(kind, "copy") == 0)
            assert_int_equal(strncmp(json_string_value(json_object_get(node, "tile")), "A\"<&>[", 6), 0);
    }
    assert_int_equal(n_deps, p->n_deps);
    assert_int_equal(n_named, 18);
    assert_int_equal(n_fills, 1);
    json_decref(root);
    free(text);
    close_all(&o);
}

static void dot_has_every_command_and_edge_and_escapes_names(void **state)
{
    struct opened o;
    char part[64];
    (void)state;
    open_all(&o);
    char *text = written(&o, tgi_program_write_dot);
    const struct tgi_program *p = o.picture.program;
    assert_int_equal(count(text, " -> "), p->n_deps);
    assert_int_equal(count(text, "[shape="), p->n);
    for (uint32_t i = 0; i < p->n; i++)
        for (uint32_t k = 0; k < p->commands[i].n_deps; k++) {
            snprintf(part, sizeof part, "  n%u -> n%u\n", p->deps[p->commands[i].first_dep + k], i);
            assert_int_equal(count(text, part), 1);
        }
    assert_int_equal(count(text, "subgraph cluster_device"), 2);
    assert_int_equal(count(text, "label=\"t\\\"\\\\N<["), 18);
    assert_int_equal(count(text, "A\"<"), 0);
    assert_true(count(text, "copy A\\\"<&amp;>[") > 0);
    free(text);
    close_all(&o);
}

/* Loops that the device decides about, in it a choice, and rounds that are written out. */
static const char round_buffers[] = "'A': {'dtype': 'u64', 'shape': [32], 'tiles': [6], 'init': {'iota': true}, 'home': 'cuda:0'}, "
                                    "'go': {'dtype': 'i32', 'shape': [1], 'init': {'fill': 1}}, 'odd': {'dtype': 'i32', 'shape': [1], 'init': {'fill': 1}}";
#define MIX(name, id, out, in) "{'id': '" name "', 'kernel': 'mix', 'args': {'id': " #id ", 'n': 32, 'out': '" out "', 'in0': '" in "'}}"
static const char round_tasks[] =
    "{'id': 'loop', 'while': 'go', 'max': 5, 'do': [" MIX("first", 1, "A[0]", "A[1]") ", {'id': 'choice', 'if': 'odd', 'then': ["
    MIX("one", 2, "A[1]", "A[0]") "], 'else': [" MIX("other", 3, "A[1]", "A[2]") ", {'on': 'cuda:0', 'fill': 'A[5]', 'value': 7}]}]}, "
    "{'repeat': 3, 'do': [" MIX("again", 4, "A[3]", "A[4]") "]}, " MIX("last", 5, "A[4]", "A[1]");

/* Every node, those of bodies included, has the number that its place gives it and edges among its own. */
static uint32_t look_at(const json_t *nodes, uint32_t first, uint32_t *n_named)
{
    static const char *const names[] = {"first", "one", "other", "again", "last"};
    uint32_t n = first + (uint32_t)json_array_size(nodes);
    size_t i, k;
    json_t *node, *after;
    json_array_foreach(nodes, i, node) {
        const char *task = json_string_value(json_object_get(node, "task"));
        assert_int_equal(json_integer_value(json_object_get(node, "id")), first + i);
        json_array_foreach(json_object_get(node, "after"), k, after)
            assert_in_range(json_integer_value(after), first, first + i - 1);
        for (size_t name = 0; strcmp(json_string_value(json_object_get(node, "kind")), "kernel") == 0 && name < 5; name++)
            n_named[name] += strcmp(task, names[name]) == 0;
    }
    json_array_foreach(nodes, i, node) {
        if (json_object_get(node, "body"))
            n = look_at(json_object_get(node, "body"), n, n_named);
        if (json_object_get(node, "body_else"))
            n = look_at(json_object_get(node, "body_else"), n, n_named);
    }
    return n;
}

static void bodies_stand_in_their_decision(void **state)
{
    struct opened o;
    json_error_t where;
    uint32_t n_named[5] = {0};
    (void)state;
    open_graph(&o, round_buffers, round_tasks, 1);
    char *text = written(&o, tgi_program_write_json);
    json_t *root = json_loads(text, 0, &where);
    uint32_t n = tgi_program_size(o.picture.program);
    assert_true(n > o.picture.program->n);
    assert_int_equal(look_at(json_object_get(root, "nodes"), 0, n_named), n);
    for (int i = 0; i < 5; i++)
        assert_int_equal(n_named[i], i == 3 ? 3 : 1);
    json_decref(root);
    free(text);
    text = written(&o, tgi_program_write_dot);
    assert_int_equal(count(text, "[shape="), n);
    assert_int_equal(count(text, "subgraph cluster_body"), 3);
    assert_int_equal(count(text, "label=\"loop: a round, of 5 at most\""), 1);
    assert_int_equal(count(text, "label=\"choice: else\""), 1);
    free(text);
    close_all(&o);
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(json_has_every_command_with_its_names),
        cmocka_unit_test(dot_has_every_command_and_edge_and_escapes_names),
        cmocka_unit_test(bodies_stand_in_their_decision),
    };
    return cmocka_run_group_tests(all, device_group_load, device_group_unload);
}
