#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/fmt.h"
#include "io/gen.h"
#include "io/verify.h"
#include "tests/loaded_text.h"

static char *generate(const struct tgi_gen_options *options, size_t *size_p)
{
    char *text = NULL;
    FILE *to = open_memstream(&text, size_p);
    assert_non_null(to);
    struct tg_error err;
    int status = tgi_gen_write(to, options, &err);
    fclose(to);
    if (status != TG_OK)
        fail_msg("gen %s: %s", options->pattern, err.text);
    return text;
}

static int generate_status(struct tgi_gen_options options)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    int status = tgi_gen_write(to, &options, NULL);
    fclose(to);
    free(text);
    return status;
}

static struct tg_graph *load_generated(struct tgi_gen_options options)
{
    size_t size;
    char *text = generate(&options, &size);
    struct tg_graph *graph = load_text(text, size, options.is_lines);
    free(text);
    return graph;
}

static struct tg_graph_stats stats_of(const struct tg_graph *graph)
{
    struct tg_graph_stats stats;
    assert_int_equal(tg_graph_stats(graph, &stats, NULL), TG_OK);
    return stats;
}

static struct tg_graph_stats generated_stats(struct tgi_gen_options options)
{
    struct tg_graph *graph = load_generated(options);
    struct tg_graph_stats stats = stats_of(graph);
    tg_graph_destroy(graph);
    return stats;
}

/* Both forms come from one description; here is whether both say the same edges. */
static void document_and_lines_are_the_same_graph(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1, 2, 3, 10, 77, 300};
    static const enum tgi_gen_payload payloads[] = {TGI_GEN_AUTO, TGI_GEN_SPIN, TGI_GEN_EMPTY};
    for (const struct tgi_gen_pattern *p = tgi_gen_patterns; p->name; p++) {
        bool is_factorisation = strcmp(p->name, "cholesky") == 0 || strcmp(p->name, "lu") == 0;
        for (int i = 0; i < 6; i++) {
            for (int k = 0; k < (is_factorisation ? 1 : 3); k++) {
                struct tgi_gen_options options = {
                    .pattern = p->name, .n_tasks = sizes[i], .payload = payloads[k]};
                struct tg_graph *document = load_generated(options);
                options.is_lines = true;
                struct tg_graph *lines = load_generated(options);
                assert_int_equal(document->n_tasks, lines->n_tasks);
                assert_int_equal(document->n_edges, lines->n_edges);
                for (uint32_t t = 0; t <= document->n_tasks; t++)
                    assert_int_equal(document->nodes[t].succ, lines->nodes[t].succ);
                assert_memory_equal(document->succ, lines->succ, document->n_edges * sizeof(uint32_t));
                tg_graph_destroy(document);
                tg_graph_destroy(lines);
            }
        }
    }
}

static void documents_are_canonical(void **state)
{
    (void)state;
    for (const struct tgi_gen_pattern *p = tgi_gen_patterns; p->name; p++) {
        for (int is_lines = 0; is_lines < 2; is_lines++) {
            struct tgi_gen_options options = {.pattern = p->name, .n_tasks = 50, .is_lines = is_lines};
            size_t size;
            char *text = generate(&options, &size);
            bool is_canonical = false;
            assert_int_equal(tgi_fmt_is_canonical(is_lines ? TGI_FMT_LINES : TGI_FMT_DOCUMENT, text, size,
                                                  "t", &is_canonical, NULL),
                             TG_OK);
            if (!is_canonical)
                fail_msg("%s is not canonical", p->name);
            free(text);
        }
    }
}

static void shapes_are_what_their_names_say(void **state)
{
    (void)state;
    static const struct {
        struct tgi_gen_options options;
        uint64_t n_tasks, n_edges, depth, width;
    } cases[] = {
        {{.pattern = "independent", .n_tasks = 100}, 100, 0, 1, 100},
        {{.pattern = "chain", .n_tasks = 100}, 100, 99, 100, 1},
        {{.pattern = "chain", .n_tasks = 100, .width = 4}, 100, 96, 25, 4},
        {{.pattern = "tree", .n_tasks = 127}, 127, 126, 7, 64},
        {{.pattern = "tree", .n_tasks = 40, .arity = 3}, 40, 39, 4, 27},
        {{.pattern = "wavefront", .width = 7, .steps = 5}, 35, 58, 11, 5},
        {{.pattern = "stencil1d", .width = 6, .steps = 4}, 24, 3 * 16, 4, 6},
        {{.pattern = "fft", .width = 8}, 32, 48, 4, 8},
        {{.pattern = "fft", .width = 8, .steps = 8}, 64, 112, 8, 8},
        {{.pattern = "sweep", .width = 5, .steps = 3}, 15, 18, 3, 5},
        {{.pattern = "nearest", .width = 10, .steps = 2, .radix = 3}, 20, 28, 2, 10},
        {{.pattern = "nearest", .width = 10, .steps = 2, .radix = 1}, 20, 10, 2, 10},
        {{.pattern = "spread", .width = 20, .steps = 2, .radix = 4}, 40, 80, 2, 20},
        {{.pattern = "dom", .width = 7, .steps = 11}, 35, 58, 11, 5},
        {{.pattern = "cholesky", .width = 16, .tile = 4}, 816, 2040, 46, 120},
        {{.pattern = "lu", .width = 4, .tile = 4}, 30, 54, 10, 9},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tg_graph_stats s = generated_stats(cases[i].options);
        if (s.n_tasks != cases[i].n_tasks || s.n_edges != cases[i].n_edges || s.depth != cases[i].depth ||
            s.width != cases[i].width)
            fail_msg("%s: %llu tasks, %llu edges, depth %u, width %u", cases[i].options.pattern,
                     (unsigned long long)s.n_tasks, (unsigned long long)s.n_edges, s.depth, s.width);
    }
}

static void tasks_asked_for_are_about_what_comes(void **state)
{
    (void)state;
    for (const struct tgi_gen_pattern *p = tgi_gen_patterns; p->name; p++) {
        struct tg_graph_stats s =
            generated_stats((struct tgi_gen_options){.pattern = p->name, .n_tasks = 2000});
        if (s.n_tasks < 1000 || s.n_tasks > 2100)
            fail_msg("%s: %llu tasks for 2000", p->name, (unsigned long long)s.n_tasks);
    }
}

static void output_depends_on_options_alone(void **state)
{
    (void)state;
    struct tgi_gen_options options = {.pattern = "random", .n_tasks = 200, .seed = 5};
    size_t sizes[3];
    char *texts[3];
    for (int i = 0; i < 3; i++) {
        options.seed = i < 2 ? 5 : 6;
        texts[i] = generate(&options, &sizes[i]);
    }
    assert_string_equal(texts[0], texts[1]);
    assert_string_not_equal(texts[0], texts[2]);
    for (int i = 0; i < 3; i++)
        free(texts[i]);
}

static void random_edges_stay_within_their_window(void **state)
{
    (void)state;
    struct tgi_gen_options options = {
        .pattern = "random", .n_tasks = 500, .in_edges = 3, .window = 10, .seed = 1};
    struct tg_graph *graph = load_generated(options);
    uint64_t n_in = 0;
    for (uint32_t t = 0; t < graph->n_tasks; t++) {
        for (uint32_t i = graph->nodes[t].succ; i < graph->nodes[t + 1].succ; i++)
            assert_true(graph->succ[i] > t && graph->succ[i] - t <= 10);
        n_in += graph->nodes[t].n_preds;
    }
    /* Redundant ones are gone, but a task without any would stand out. */
    assert_true(n_in + graph->n_redundant == 1 + 2 + 3 * 497);
    tg_graph_destroy(graph);
}

static void combinations_without_sense_are_refused(void **state)
{
    (void)state;
    static const struct tgi_gen_options cases[] = {
        {.pattern = "nonsense"},
        {.pattern = "fft", .width = 6},
        {.pattern = "fft", .width = 1},
        {.pattern = "dom", .width = 5, .steps = 4},
        {.pattern = "spread", .radix = 8},
        {.pattern = "random", .in_edges = 8},
        {.pattern = "cholesky", .us = 1},
        {.pattern = "lu", .payload = TGI_GEN_HASH},
        {.pattern = "chain", .us = 1, .payload = TGI_GEN_HASH},
        {.pattern = "chain", .us = 1e30, .ccr = 1e30},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(generate_status(cases[i]), TG_E_USAGE);
}

/* The checksum of the results, which hash tasks make depend on every edge. */
static uint64_t run(struct tgi_gen_options options, uint64_t seed)
{
    struct tg_graph *graph = load_generated(options);
    struct tg_runtime *runtime;
    struct tg_run *job;
    struct tg_error err;
    struct tg_run_options how = TG_RUN_OPTIONS_INIT;
    how.is_deterministic = seed != UINT64_MAX;
    how.seed = seed;
    assert_int_equal(tg_runtime_create(NULL, &runtime, &err), TG_OK);
    if (tg_run_create(runtime, graph, &how, &job, &err) != TG_OK || tg_run_start(job, &err) != TG_OK ||
        tg_run_wait(job, &err) != TG_OK)
        fail_msg("%s: %s", err.task, err.text);
    uint64_t sum;
    assert_int_equal(tgi_verify_checksum(graph, job, tg_graph_find_buffer(graph, "x"), TG_NONE, &sum, &err), TG_OK);
    tg_run_destroy(job);
    tg_runtime_destroy(runtime);
    tg_graph_destroy(graph);
    return sum;
}

static void every_order_gives_the_same_hashes_in_both_forms(void **state)
{
    (void)state;
    for (const struct tgi_gen_pattern *p = tgi_gen_patterns; p->name; p++) {
        if (strcmp(p->name, "cholesky") == 0 || strcmp(p->name, "lu") == 0)
            continue; /* other kernels */
        struct tgi_gen_options options = {.pattern = p->name, .n_tasks = 200, .bytes = 32};
        uint64_t expected = run(options, 0);
        assert_true(run(options, UINT64_MAX) == expected);
        assert_true(run(options, 7) == expected);
        options.is_lines = true;
        assert_true(run(options, UINT64_MAX) == expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(document_and_lines_are_the_same_graph),
        cmocka_unit_test(documents_are_canonical),
        cmocka_unit_test(shapes_are_what_their_names_say),
        cmocka_unit_test(tasks_asked_for_are_about_what_comes),
        cmocka_unit_test(output_depends_on_options_alone),
        cmocka_unit_test(random_edges_stay_within_their_window),
        cmocka_unit_test(combinations_without_sense_are_refused),
        cmocka_unit_test(every_order_gives_the_same_hashes_in_both_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
