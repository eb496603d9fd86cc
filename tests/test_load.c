/* What a loaded graph contains, what messages carry, and that hostile files are refused cheaply.  The
 * texts of messages are tested case by case in tests/invalid. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "graph/model.h"
#include "graph/tgraph.h"

static char folder[] = "/tmp/tgraph-load-XXXXXX";

static const char *write_file(const char *name, const char *text, size_t size)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
    return path;
}

static struct tg_graph *load(const char *text, const struct tg_load_options *options)
{
    struct tg_graph *graph = NULL;
    struct tg_error err;
    if (tg_graph_load(write_file("g.json", text, strlen(text)), options, &graph, &err) != 0)
        fail_msg("%u:%u: %s", err.line, err.column, err.text);
    return graph;
}

static struct tg_error refused_file(const char *name, const char *text, size_t size,
                                    const struct tg_load_options *options)
{
    struct tg_graph *graph = NULL;
    struct tg_error err;
    int rc = tg_graph_load(write_file(name, text, size), options, &graph, &err);
    if (rc == 0)
        fail_msg("%.200s: accepted", text);
    assert_null(graph);
    assert_int_equal(rc, err.status);
    return err;
}

static struct tg_error refused(const char *text, const struct tg_load_options *options)
{
    return refused_file("g.json", text, strlen(text), options);
}

#define HEAD                                                                                            \
    "{\"tgraph\":\"1.0\",\"params\":{\"N\":3,\"h\":\"1.0/4\"},\n"                                       \
    "\"buffers\":{\"A\":{\"dtype\":\"f32\",\"shape\":[4],\"tiles\":[\"N\",\"N\"],\"init\":\"zero\"},\n" \
    "\"x\":{\"dtype\":\"f64\",\"shape\":[8],\"init\":{\"fill\":\"h*2\"},\"home\":\"cpu\",\"save\":\"x." \
    "npy\"},\n"                                                                                         \
    "\"n\":{\"dtype\":\"i32\",\"shape\":[1],\"init\":{\"random\":{\"seed\":9}},\"pinned\":true}},\n"

/* "name: op word word .." of a task. */
static const char *describe(const struct tg_graph *g, uint32_t task)
{
    static char text[1024];
    char scratch[32], word[160];
    const struct tgi_op *op = tgi_graph_op(g, task);
    size_t used =
        (size_t)snprintf(text, sizeof text, "%s: %s", tgi_graph_task_name(g, task, scratch), op->name);
    for (uint32_t i = 0; i < op->n_params; i++) {
        uint64_t value = tgi_graph_word(g, task, i);
        if (op->params[i].access != TG_SCALAR)
            tgi_space_format_word(g->space, value, word, sizeof word);
        else
            snprintf(word, sizeof word, "%llx", (unsigned long long)value);
        used += (size_t)snprintf(text + used, sizeof text - used, " %s", word);
    }
    return text;
}

static void templates_become_tasks_in_program_order(void **state)
{
    (void)state;
    struct tg_graph *g = load(
        HEAD
        "\"kernels\":{\"axpy\":{\"builtin\":\"axpy\"}},\"tasks\":[\n"
        "{\"for\":[\"i in 0:2\",\"j in i:2\"],\"do\":[\n"
        "{\"id\":\"k[{i},{2*j}]\",\"kernel\":\"axpy\",\"args\":{\"y\":\"A[i,j]\",\"n\":\"i+j\",\"x\":\"A[j,2]"
        "\",\"a\":0.5}},\n"
        "{\"when\":\"i<j\",\"copy\":{\"to\":\"A[i,0]@rows(0:j)\",\"from\":\"A[2,2]@rows(4-j:4)\"}}]},\n"
        "{\"id\":\"all\",\"fill\":\"A[*]\",\"value\":\"N/2\"},{\"id\":\"one\",\"fill\":\"n\",\"value\":-1}]}",
        NULL);
    static const char *const want[] = {"k[0,0]: axpy 0 3f000000 A[0,2] A[0,0]",
                                       "k[0,2]: axpy 1 3f000000 A[1,2] A[0,1]",
                                       "#2: copy A[0,0]@rows(0:1) A[2,2]@rows(3:4)",
                                       "k[1,2]: axpy 2 3f000000 A[1,2] A[1,1]",
                                       "all: fill A[*] 3fc00000",
                                       "one: fill n ffffffffffffffff"};
    assert_int_equal(g->n_tasks, 6);
    for (uint32_t t = 0; t < 6; t++)
        if (strncmp(describe(g, t), want[t], strlen(want[t])) != 0)
            fail_msg("task %u is \"%s\", not \"%s\"", t, describe(g, t), want[t]);
    uint32_t line, column;
    assert_true(tgi_space_locate(g->space, g->site_of[1], &line, &column));
    assert_int_equal(line, 7);
    assert_int_equal(column, 1);
    assert_string_equal(g->space->params_text, "{\"N\":3,\"h\":0.25}");
    assert_string_equal(g->space->folder, folder);
    tg_graph_destroy(g);
}

static void buffers_keep_what_the_file_says(void **state)
{
    (void)state;
    struct tg_graph *g = load(HEAD "\"requires\":{\"cuda\":2,\"cpu\":1},\"meta\":{\"a\":[\"b\"]},\"deps\":"
                                   "\"explicit\",\"name\":\"q\",\"tasks\":[]}",
                              NULL);
    const struct tgi_buffer *b = g->space->buffers;
    assert_int_equal(b[0].n_tiles, 9);
    assert_true(b[0].init == TG_INIT_ZERO && b[1].init == TG_INIT_FILL && b[2].init == TG_INIT_RANDOM);
    assert_true(b[1].init_value == 0.5 && b[2].init_seed == 9);
    assert_true(b[2].is_pinned && !b[1].is_pinned);
    assert_string_equal(b[1].home, "cpu");
    assert_string_equal(b[1].save, "x.npy");
    assert_string_equal(b[2].init_text, "{\"random\":{\"seed\":9}}");
    assert_string_equal(g->space->meta_text, "{\"a\":[\"b\"]}");
    assert_string_equal(g->name, "q");
    assert_true(g->is_explicit);
    assert_int_equal(g->space->requires_cuda, 2);
    assert_int_equal(g->space->requires_cpu, 1);
    tg_graph_destroy(g);
}

static void kernels_keep_costs_and_variants(void **state)
{
    (void)state;
    write_file("k.c", "int k;\n", 7);
    struct tg_graph *g =
        load(HEAD "\"kernels\":{\"k\":{\"params\":[{\"name\":\"n\",\"type\":\"i32\"},{\"name\":\"x\","
                  "\"type\":\"f64*\",\"access\":\"reduce\",\"op\":\"max\"}],\n"
                  "\"cost\":{\"flops\":\"2*n*N\",\"us\":\"h\"},\"variants\":[\n"
                  "{\"on\":\"cuda\",\"code\":[\"a\",\"b\"],\"grid\":[\"ceildiv(n,2)\",1],\"block\":[32],"
                  "\"entry\":\"e\"},\n"
                  "{\"on\":\"cpu\",\"c\":\"k.c\",\"options\":\"-O1\"},{\"on\":\"cpu\",\"c\":[\"int "
                  "a;\",\"int b;\"]}]}},\n"
                  "\"tasks\":[{\"kernel\":\"k\",\"args\":{\"n\":5,\"x\":\"x\"}},"
                  "{\"kernel\":\"k\",\"args\":{\"n\":5,\"x\":\"x\"},\"cost\":{\"flops\":\"1/"
                  "4\"},\"priority\":\"0-2\",\"retries\":2,\"timeout_ms\":\"10*N\",\"on\":\"cpu\",\"prefer\":"
                  "\"numa:{N-2}\"}]}",
             NULL);
    const struct tgi_op *op = tgi_graph_op(g, 0);
    assert_int_equal(op->n_variants, 3);
    assert_int_equal(op->params[1].access, TG_REDUCE);
    assert_int_equal(op->params[1].op, TG_MAX);
    const struct tgi_variant *v = op->variants;
    assert_true(v[0].on == TGI_DEVICE_CUDA && v[0].form == TGI_VARIANT_SOURCE);
    assert_string_equal(v[0].text, "a\nb\n");
    assert_string_equal(v[0].entry, "e");
    assert_string_equal(v[0].grid_text[0], "ceildiv(n,2)");
    assert_non_null(v[0].grid[1]);
    assert_null(v[0].grid[2]);
    assert_string_equal(v[1].text, "int k;\n");
    assert_string_equal(v[1].path, "k.c");
    assert_string_equal(v[1].options, "-O1");
    assert_string_equal(v[2].text, "int a;\nint b;\n");
    assert_null(v[2].path);
    assert_string_equal(op->flops_text, "2*n*N");
    struct tgi_cost cost = tgi_graph_cost(g, 0);
    assert_true(cost.flops == 30 && cost.us == 0.25 && isnan(cost.bytes));
    cost = tgi_graph_cost(g, 1);
    assert_true(cost.flops == 0.25 && cost.us == 0.25);
    const struct tgi_attr *attr = tgi_graph_attr(g, 1);
    assert_non_null(attr);
    assert_int_equal(attr->retries, 2);
    assert_int_equal(attr->timeout_ms, 30);
    assert_true(attr->on == TGI_PLACE_CPU && attr->prefer == TGI_PLACE_NUMA_AT(1));
    assert_int_equal(g->priority[1], -2);
    tg_graph_destroy(g);
}

static void groups_hand_down_and_tasks_override(void **state)
{
    (void)state;
    struct tg_graph *g = load(
        HEAD
        "\"graphs\":{\"f\":{\"params\":[\"p\"],\"tasks\":[{\"fill\":\"n\",\"value\":\"p\"}]}},\"tasks\":[\n"
        "{\"for\":\"i in "
        "1:3\",\"priority\":\"i\",\"on\":\"cpu\",\"do\":[{\"fill\":\"n\",\"value\":1},{\"fill\":\"n\","
        "\"value\":1,\"priority\":9},"
        "{\"call\":\"f\",\"with\":{\"p\":\"10*i\"},\"retries\":\"i\"},"
        "{\"repeat\":2,\"do\":[{\"fill\":\"n\",\"value\":1}]}]},{\"fill\":\"n\",\"value\":1}]}",
        NULL);
    static const int32_t priorities[] = {1, 9, 1, 1, 2, 9, 2, 2, 0};
    assert_int_equal(g->n_tasks, 9);
    for (uint32_t t = 0; t < 9; t++) {
        assert_int_equal(g->priority[t], priorities[t]);
        const struct tgi_attr *attr = tgi_graph_attr(g, t);
        assert_int_equal(attr != NULL && attr->on == TGI_PLACE_CPU, t < 8);
        assert_int_equal(attr != NULL ? attr->retries : 0, t == 2 ? 1 : t == 6 ? 2 : 0);
    }
    const struct tg_graph *body = tgi_graph_op(g, 3)->body; /* runs by its own rules */
    assert_int_equal(body->n_tasks, 1);
    assert_null(tgi_graph_attr(body, 0));
    tg_graph_destroy(g);
}

static void calls_prefix_names(void **state)
{
    (void)state;
    struct tg_graph *g = load(
        HEAD "\"graphs\":{\"f\":{\"params\":[\"v\"],\"tasks\":[{\"id\":\"t\",\"fill\":\"x\",\"value\":\"v/"
             "2\"},{\"id\":\"u\",\"fill\":\"n\",\"value\":1,\"after\":[\"t\",\"out\"]}]}},\n"
             "\"tasks\":[{\"id\":\"out\",\"barrier\":true},{\"call\":\"f\",\"with\":{\"v\":1}},{\"call\":"
             "\"f\",\"with\":{\"v\":\"h\"}},{\"id\":\"c{N}\",\"call\":\"f\",\"with\":{\"v\":4}}]}",
        NULL);
    static const char *const want[] = {
        "out: barrier", "f#0/t: fill x 3fe0000000000000", "f#0/u", "f#1/t: fill x 3fc0000000000000",
        "f#1/u",        "c3/t: fill x 4000000000000000",  "c3/u"};
    assert_int_equal(g->n_tasks, 7);
    for (uint32_t t = 0; t < 7; t++)
        assert_memory_equal(describe(g, t), want[t], strlen(want[t]));
    assert_int_equal(g->n_controls, 6);
    struct tgi_after_walk walk = {0, 0, 0};
    struct tgi_control control;
    for (uint32_t k = 0; tgi_after_next(g, &walk, &control); k++)
        assert_int_equal(control.from, k % 2 == 0 ? control.to - 1 : 0);
    tg_graph_destroy(g);
}

static void overrides_replace_parameters(void **state)
{
    (void)state;
    static const char *const params[] = {"N=2", "h=0.125", "N=1<<2"};
    struct tg_load_options options = TG_LOAD_OPTIONS_INIT;
    options.n_params = 3;
    options.params = params;
    struct tg_graph *g = load(HEAD "\"tasks\":[]}", &options);
    assert_int_equal(g->space->buffers[0].n_tiles, 16); /* the last one counts */
    assert_true(g->space->buffers[1].init_value == 0.25);
    assert_string_equal(g->space->params_text, "{\"N\":4,\"h\":0.125}");
    tg_graph_destroy(g);
}

/* Who follows it later knows neither parameters nor how many devices there are. */
static void homes_are_kept_with_the_values_of_parameters(void **state)
{
    (void)state;
    const char *params[] = {"G=-3"};
    struct tg_load_options options = TG_LOAD_OPTIONS_INIT;
    options.n_params = 1;
    options.params = params;
    options.n_cuda = 4;
    struct tg_graph *g = load(
        "{\"tgraph\":\"1.0\",\"params\":{\"G\":2,\"i\":7,\"sizeof\":5,\"f32\":6},\"buffers\":{"
        "\"a\":{\"dtype\":\"f32\",\"shape\":[1],\"tiles\":[4,2],"
        "\"home\":\"cyclic:{i+j*G+sizeof (f32)*sizeof}\"},"
        "\"b\":{\"dtype\":\"f32\",\"shape\":[1],\"tiles\":[4],\"home\":\"cuda:{floordiv(i*ndev( 'cuda' ),4)}\"},"
        "\"c\":{\"dtype\":\"f32\",\"shape\":[1],\"home\":\"cuda:0+cuda:1\"}},\"tasks\":[]}",
        &options);
    const struct tgi_buffer *b = g->space->buffers;
    assert_string_equal(b[0].home, "cyclic:{i+j*(-3)+sizeof (f32)*(5)}");
    assert_string_equal(b[1].home, "cuda:{floordiv(i*(4),4)}");
    assert_string_equal(b[2].home, "cuda:0+cuda:1");
    tg_graph_destroy(g);
}

static void checks_keep_their_numbers(void **state)
{
    (void)state;
    struct tg_graph *g = load(
        HEAD
        "\"tasks\":[],\"checks\":[{\"buffer\":\"x\",\"min\":\"h\",\"finite\":false,\"checksum\":"
        "\"fedcba9876543210\"},"
        "{\"buffer\":\"A[1,2]\",\"close\":{\"value\":[1,2,3,\"N\"],\"rtol\":0.5}},"
        "{\"buffer\":\"A\",\"equals\":{\"file\":\"a.npy\"},\"residual\":{\"method\":\"lu\",\"max\":1e-12}}]}",
        NULL);
    const struct tgi_check *c = g->space->checks;
    assert_int_equal(g->space->n_checks, 6);
    assert_true(c[0].kind == TGI_CHECK_MIN && c[0].values[0] == 0.25 && c[0].tile == TG_NONE);
    assert_true(c[1].kind == TGI_CHECK_FINITE && !c[1].is_expected);
    assert_true(c[2].kind == TGI_CHECK_CHECKSUM && c[2].checksum == 0xfedcba9876543210u);
    assert_true(c[3].kind == TGI_CHECK_CLOSE && c[3].tile == 5 && c[3].n_values == 4 && c[3].values[3] == 3 &&
                c[3].rtol == 0.5);
    assert_true(c[4].kind == TGI_CHECK_EQUALS && c[4].n_values == 0);
    assert_string_equal(c[4].file, "a.npy");
    assert_true(c[5].kind == TGI_CHECK_RESIDUAL && c[5].values[0] == 1e-12);
    assert_string_equal(c[5].method, "lu");
    tg_graph_destroy(g);
}

/* ---- Messages -----------------------------------------------------------------------------*/

struct seen {
    uint32_t n, n_warnings;
    char message[256], help[256], label[64], bindings[256], pointer[128];
    uint32_t line, column, length;
};

static void copy_text(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from != NULL ? from : "");
}

static void keep_last(void *user, const struct tg_diagnostic *d)
{
    struct seen *seen = user;
    seen->n_warnings += d->is_warning;
    seen->n += !d->is_warning;
    if (d->is_warning)
        return;
    copy_text(seen->message, sizeof seen->message, d->message);
    copy_text(seen->help, sizeof seen->help, d->help);
    copy_text(seen->label, sizeof seen->label, d->label);
    copy_text(seen->bindings, sizeof seen->bindings, d->bindings);
    copy_text(seen->pointer, sizeof seen->pointer, d->pointer);
    seen->line = d->line;
    seen->column = d->column;
    seen->length = d->length;
}

static struct seen see(const char *text)
{
    struct seen seen = {0};
    struct tg_load_options options = TG_LOAD_OPTIONS_INIT;
    options.on_diagnostic = keep_last;
    options.user = &seen;
    refused(text, &options);
    return seen;
}

static void a_template_is_reported_once_with_its_loop_variables(void **state)
{
    (void)state;
    struct seen s = see(HEAD "\"tasks\":[{\"for\":\"k in 0:N\",\"do\":[\n"
                             "{\"for\":[\"m in k+1:N+1\"],\"id\":\"t\",\n  "
                             "\"fill\":\"A[m,k]\",\"value\":1,\"when\":\"m>k+1\"}]}]}");
    assert_int_equal(s.n, 1);
    assert_string_equal(s.message, "tile index out of range: A[3,0], but \"A\" has tiles [3,3]");
    assert_string_equal(s.bindings, "k=0, m=3 (from \"m in k+1:N+1\" at line 6)");
    assert_string_equal(s.pointer, "/tasks/0/do/0/fill");
    assert_int_equal(s.line, 7);
    assert_int_equal(s.column, 10);
    assert_int_equal(s.length, 8);
    s = see(HEAD "\"graphs\":{\"g\":{\"params\":[\"s\"],\"tasks\":[{\"for\":\"q in "
                 "0:2\",\"fill\":\"A[s,q]\",\"value\":1}]}},\n"
                 "\"tasks\":[{\"for\":\"i in 2:9\",\"do\":[{\"call\":\"g\",\"with\":{\"s\":\"i\"}}]}]}");
    assert_int_equal(s.n, 1);
    assert_string_equal(s.bindings, "i=3, s=3, q=0 (from \"q in 0:2\" at line 5)");
}

static void names_are_suggested(void **state)
{
    (void)state;
    struct seen s =
        see(HEAD "\"kernels\":{\"gemm\":{\"builtin\":\"gemm_nn\"}},\"tasks\":[{\"kernel\":\"gem\"}]}");
    assert_string_equal(s.help, "did you mean \"gemm\"? (defined at line 5)");
    assert_string_equal(s.label, "not in \"kernels\"");
    assert_int_equal(s.length, 5);
    assert_string_equal(see(HEAD "\"task\":[]}").message, "the graph needs \"tasks\"");
    assert_string_equal(see(HEAD "\"tasks\":[{\"bariere\":true}]}").help, "did you mean \"barrier\"?");
    assert_string_equal(see(HEAD "\"tasks\":[{\"fill\":\"AA\",\"value\":0}]}").help,
                        "did you mean \"A\"? (defined at line 2)");
    assert_string_equal(see(HEAD "\"tasks\":[{\"for\":\"i in 0:n\",\"barrier\":true}]}").help,
                        "did you mean \"N\"?");
    assert_string_equal(see(HEAD "\"tasks\":[{\"for\":\"i in 0:3\",\"fill\":\"A[ii,0]\",\"value\":0}]}").help,
                        "did you mean \"i\"?");
    assert_string_equal(see(HEAD "\"kernels\":{},\"tasks\":[{\"kernel\":\"axpy\"}]}").help,
                        "it is built in; declare it: \"kernels\": {\"axpy\": {\"builtin\": \"axpy\"}}");
}

static void at_most_twenty_errors_are_reported(void **state)
{
    (void)state;
    char text[8192];
    size_t n = (size_t)sprintf(text, "{\"tgraph\":\"1.0\",\"tasks\":[{}");
    for (int k = 0; k < 100; k++)
        n += (size_t)sprintf(text + n, ",{\"a\":1}");
    sprintf(text + n, "]}");
    struct seen s = see(text);
    assert_int_equal(s.n, 20);
    assert_int_equal(s.n_warnings, 1);
}

static void the_first_error_is_returned(void **state)
{
    (void)state;
    struct tg_error err = refused(HEAD "\"tasks\":[{\"barrier\":1},\n{\"barrier\":2}]}", NULL);
    assert_int_equal(err.status, TG_E_BAD_VALUE);
    assert_int_equal(err.line, 5);
    assert_int_equal(err.column, 21);
    assert_non_null(strstr(err.file, "/g.json"));
}

/* ---- Files --------------------------------------------------------------------------------*/

static void what_cannot_be_read_is_an_error(void **state)
{
    (void)state;
    struct tg_graph *graph = NULL;
    struct tg_error err;
    assert_int_equal(tg_graph_load("/nonexistent/g.json", NULL, &graph, &err), TG_E_OPEN);
    assert_int_equal(tg_graph_load(folder, NULL, &graph, &err), TG_E_READ);
    assert_int_equal(tg_graph_load("", NULL, &graph, &err), TG_E_INVALID);
    assert_int_equal(tg_graph_load("/nonexistent/g.json", NULL, &graph, NULL), TG_E_OPEN);
    assert_null(graph);
}

static void links_do_not_lead_out_of_the_folder(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/link.bin", folder);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    struct tg_error err = refused("{\"tgraph\":\"1.0\",\"buffers\":{\"A\":{\"dtype\":\"u8\",\"shape\":[1],"
                                  "\"init\":{\"file\":\"link.bin\"}}},\"tasks\":[]}",
                                  NULL);
    assert_int_equal(err.status, TG_E_PATH_ESCAPE);
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/pipe.c", folder);
    assert_int_equal(mkfifo(path, 0600), 0); /* must not wait for a writer */
    err = refused("{\"tgraph\":\"1.0\",\"kernels\":{\"k\":{\"params\":[],\"variants\":[{\"on\":\"cpu\",\"c\":"
                  "\"pipe.c\"}]}},\"tasks\":[]}",
                  NULL);
    assert_int_equal(err.status, TG_E_OPEN);
    assert_int_equal(unlink(path), 0);
}

static void plugins_need_permission(void **state)
{
    (void)state;
    static const char text[] = "{\"tgraph\":\"1.0\",\"kernels\":{\"k\":{\"params\":[],\"variants\":[{\"on\":"
                               "\"cpu\",\"so\":\"p.so\",\"entry\":\"k\"}]}},\"tasks\":[]}";
    struct tg_load_options options = TG_LOAD_OPTIONS_INIT;
    write_file("p.so", "x", 1);
    assert_int_equal(refused(text, NULL).status, TG_E_PLUGIN_REFUSED);
    options.allow_plugins = true;
    struct tg_graph *g = load(text, &options);
    assert_int_equal(g->space->ops[0].variants[0].form, TGI_VARIANT_BINARY);
    assert_string_equal(g->space->ops[0].variants[0].path, "p.so");
    tg_graph_destroy(g);
}

static int load_stdin(const char *text, struct tg_graph **graph_p, struct tg_error *err)
{
    int saved = dup(0);
    assert_true(saved >= 0);
    assert_non_null(freopen(write_file("in", text, strlen(text)), "r", stdin));
    int rc = tg_graph_load("-", NULL, graph_p, err);
    assert_int_equal(dup2(saved, 0), 0);
    close(saved);
    return rc;
}

static void standard_input_may_hold_either_form(void **state)
{
    (void)state;
    struct tg_graph *graph = NULL;
    struct tg_error err;
    assert_int_equal(load_stdin("{\"tgraph\":\"1.0\",\n\"tasks\":[{\"barrier\":true}]}", &graph, &err), 0);
    assert_int_equal(graph->n_tasks, 1);
    tg_graph_destroy(graph);
    assert_int_equal(
        load_stdin(
            "{\"tgraph\":\"1.0\",\"stream\":true}\n{\"task\":{\"barrier\":true}}\n{\"end\":{\"tasks\":1}}\n",
            &graph, &err),
        0);
    assert_int_equal(graph->n_tasks, 1);
    tg_graph_destroy(graph);
    assert_int_equal(
        load_stdin("{\"tgraph\":\"1.0\",\"stream\":true}\n{\"task\":{\"barrier\":true}}\n", &graph, &err),
        TG_E_TRUNCATED);
    assert_string_equal(err.file, "<stdin>");
}

static void a_stream_cut_anywhere_is_refused(void **state)
{
    (void)state;
    static const char text[] =
        "{\"tgraph\":\"1.0\",\"stream\":true}\n{\"buffer\":{\"name\":\"n\",\"dtype\":\"i32\",\"shape\":[1]}}"
        "\n"
        "{\"task\":{\"id\":\"a\",\"fill\":\"n\",\"value\":1}}\n{\"end\":{\"tasks\":1}}";
    for (size_t n = 0; n < sizeof text - 1; n++)
        refused_file("g.jsonl", text, n, NULL);
    struct tg_graph *graph = NULL;
    assert_int_equal(tg_graph_load(write_file("g.jsonl", text, sizeof text - 1), NULL, &graph, NULL), 0);
    tg_graph_destroy(graph);
}

/* ---- Hostile files ------------------------------------------------------------------------*/

static long peak_kib(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_maxrss;
}

/* Each of these would take gigabytes or hours. */
static void bombs_are_refused_at_once(void **state)
{
    (void)state;
    static const char *const bombs[] = {
        "{\"for\":\"i in 0:9223372036854775807\",\"barrier\":true}",
        "{\"for\":\"i in -9223372036854775808:9223372036854775807\",\"barrier\":true}",
        "{\"for\":[\"i in 0:1000000\",\"j in 0:1000000\"],\"barrier\":true}",
        "{\"for\":[\"i in 0:1000000\",\"j in 0:1000000\"],\"do\":[]}",
        "{\"for\":[\"i in 0:1000000\",\"j in i:1000000\"],\"when\":\"0\",\"barrier\":true}",
        "{\"for\":\"i in 0:1000000\",\"do\":[{\"for\":\"j in "
        "0:1000000\",\"when\":\"i<0\",\"do\":[{\"barrier\":true}]}]}",
        "{\"repeat\":1,\"do\":[{\"for\":[\"i in 0:100000\",\"j in 0:100000\"],\"barrier\":true}]}",
        "{\"while\":\"n\",\"max\":3,\"do\":[{\"for\":[\"i in 0:100000\",\"j in "
        "0:100000\"],\"do\":[{\"repeat\":1,\"do\":[]}]}]}",
        "{\"for\":[\"i in 0:1000000\",\"j in "
        "0:1000000\"],\"if\":\"n\",\"then\":[],\"else\":[{\"barrier\":true}]}",
    };
    struct tg_load_options options = TG_LOAD_OPTIONS_INIT;
    options.max_tasks = 1000000;
    long before = peak_kib();
    clock_t begin = clock();
    for (size_t k = 0; k < sizeof bombs / sizeof *bombs; k++) {
        char text[1024];
        snprintf(text, sizeof text, HEAD "\"tasks\":[%s]}", bombs[k]);
        struct tg_error err = refused(text, &options);
        if (err.status != TG_E_EXPANSION)
            fail_msg("%s: %s", bombs[k], err.text);
    }
    assert_true(clock() - begin < 10 * CLOCKS_PER_SEC);
    assert_true(peak_kib() - before < 64 * 1024);
}

/* A million tasks with a thousand names each: few tasks, but too much to say about them. */
static void long_templates_count_for_more(void **state)
{
    (void)state;
    static char text[64000];
    size_t n = (size_t)sprintf(text, HEAD "\"tasks\":[{\"id\":\"a\",\"barrier\":true},{\"for\":\"i in "
                                          "0:1000000\",\"barrier\":true,\"after\":[\"a\"");
    for (int k = 0; k < 1000; k++)
        n += (size_t)sprintf(text + n, ",\"a\"");
    sprintf(text + n, "]}]}");
    assert_int_equal(refused(text, NULL).status, TG_E_EXPANSION);
    n = (size_t)sprintf(text, "{\"tgraph\":\"1.0\",\"buffers\":{\"A\":{\"dtype\":\"u8\",\"shape\":[1],"
                              "\"tiles\":[49000000],\"only\":\"1");
    for (int k = 0; k < 1000; k++)
        n += (size_t)sprintf(text + n, "+i");
    sprintf(text + n, "\"}},\"tasks\":[]}");
    assert_int_equal(refused(text, NULL).status, TG_E_EXPANSION);
}

static void a_million_brackets_are_refused(void **state)
{
    (void)state;
    size_t n = 1000000;
    char *text = malloc(n + 1);
    assert_non_null(text);
    memset(text, '[', n);
    assert_int_equal(refused_file("g.json", text, n, NULL).status, TG_E_LIMIT);
    assert_int_equal(refused_file("g.jsonl", text, n, NULL).status, TG_E_LIMIT);
    for (size_t k = 0; k + 5 < n; k += 5)
        memcpy(text + k, "{\"a\":", 5);
    assert_int_equal(refused_file("g.json", text, n / 5 * 5, NULL).status, TG_E_LIMIT);
    free(text);
}

static void large_files_and_lines_are_refused(void **state)
{
    (void)state;
    size_t n = 65u << 20;
    char *text = malloc(n);
    assert_non_null(text);
    memset(text, ' ', n);
    static const char whole[] = "{\"tgraph\":\"1.0\",\"tasks\":[]}";
    memcpy(text, whole, sizeof whole - 1);
    assert_int_equal(refused_file("g.json", text, n, NULL).status, TG_E_LIMIT);
    struct tg_load_options options = TG_LOAD_OPTIONS_INIT;
    options.max_bytes = 66u << 20;
    struct tg_graph *graph = NULL;
    assert_int_equal(tg_graph_load(write_file("g.json", text, n), &options, &graph, NULL), 0);
    tg_graph_destroy(graph);
    memset(text, ' ', 64);
    memcpy(text, "{\"tgraph\":\"1.0\",\"stream\":true}\n", 32);
    assert_int_equal(refused_file("g.jsonl", text, n, NULL).status, TG_E_LIMIT);
    free(text);
}

static void a_long_stream_needs_little_beside_the_graph(void **state)
{
    (void)state;
    char path[128];
    uint32_t n = 100000;
    snprintf(path, sizeof path, "%s/long.jsonl", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f,
            "{\"tgraph\":\"1.0\",\"stream\":true}\n{\"buffer\":{\"name\":\"A\",\"dtype\":\"u8\",\"shape\":[1]"
            ",\"tiles\":[%u]}}\n",
            n);
    for (uint32_t k = 0; k < n; k++)
        fprintf(f,
                "{\"task\":{\"id\":\"t%u\",\"fill\":\"A[%u]\",\"value\":1,\"after\":[\"t%u\"],\"when\":\"1\","
                "\"x-padding\":\"%0200d\"}}\n",
                k, k, k + 1 < n ? k + 1 : 0, 0);
    fprintf(f, "{\"end\":{\"tasks\":%u}}\n", n);
    assert_int_equal(fclose(f), 0);
    struct tg_graph *graph = NULL;
    struct tg_error err;
    assert_int_equal(tg_graph_load(path, NULL, &graph, &err), 0);
    assert_int_equal(graph->n_tasks, n);
    assert_int_equal(graph->n_controls, n);
    assert_int_equal(tg_graph_freeze(graph, &err), TG_E_CYCLE);
    tg_graph_destroy(graph);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"g.json", "g.jsonl", "k.c", "p.so", "in", "long.jsonl"};
    char path[128];
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[k]);
        unlink(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_become_tasks_in_program_order),
        cmocka_unit_test(buffers_keep_what_the_file_says),
        cmocka_unit_test(kernels_keep_costs_and_variants),
        cmocka_unit_test(groups_hand_down_and_tasks_override),
        cmocka_unit_test(calls_prefix_names),
        cmocka_unit_test(overrides_replace_parameters),
        cmocka_unit_test(homes_are_kept_with_the_values_of_parameters),
        cmocka_unit_test(checks_keep_their_numbers),
        cmocka_unit_test(a_template_is_reported_once_with_its_loop_variables),
        cmocka_unit_test(names_are_suggested),
        cmocka_unit_test(at_most_twenty_errors_are_reported),
        cmocka_unit_test(the_first_error_is_returned),
        cmocka_unit_test(what_cannot_be_read_is_an_error),
        cmocka_unit_test(links_do_not_lead_out_of_the_folder),
        cmocka_unit_test(plugins_need_permission),
        cmocka_unit_test(standard_input_may_hold_either_form),
        cmocka_unit_test(a_stream_cut_anywhere_is_refused),
        cmocka_unit_test(bombs_are_refused_at_once),
        cmocka_unit_test(long_templates_count_for_more),
        cmocka_unit_test(a_million_brackets_are_refused),
        cmocka_unit_test(large_files_and_lines_are_refused),
        cmocka_unit_test(a_long_stream_needs_little_beside_the_graph),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
