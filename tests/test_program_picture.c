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

static void open_all(struct opened *o)
{
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tg_error err;
    device_reset(2, 1, true);
    ro.n_workers = 1;
    ro.is_unbound = true;
    ro.devices = "cuda";
    o->g = device_graph(buffers, "", tasks);
    MUST(tg_runtime_create(&ro, &o->rt, &err));
    MUST(tg_run_create(o->rt, o->g, NULL, &o->run, &err));
    MUST(tgi_offload_preview(o->run, &o->preview, &err));
    o->picture = (struct tgi_program_picture){o->g, &o->preview.recorded.program, o->preview.tile, o->rt->offload->devices};
}

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

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(json_has_every_command_with_its_names),
        cmocka_unit_test(dot_has_every_command_and_edge_and_escapes_names),
    };
    return cmocka_run_group_tests(all, device_group_load, device_group_unload);
}
