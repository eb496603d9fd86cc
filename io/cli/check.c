/* tgraph check: every mistake that can be found without running anything. */
#include "io/cli/cli.h"

#include <stdlib.h>
#include <string.h>

#include "gpu/bodies.h"
#include "gpu/driver.h"
#include "graph/model.h"
#include "io/cli/document.h"
#include "io/lint.h"
#include "sched/cpu_module.h"

#define DEFAULT_LINTS (TGI_LINT_UNUSED | TGI_LINT_UNINITIALISED | TGI_LINT_CAPACITY)

struct checker {
    const struct tgi_cli *cli;
    unsigned lints;
    bool is_strict;
    uint32_t n_warnings, n_errors; /* of all files */
};

static const struct {
    const char *name;
    unsigned lints;
} lint_names[] = {{"all", DEFAULT_LINTS | TGI_LINT_REDUNDANT},
                  {"unused", TGI_LINT_UNUSED},
                  {"uninitialised", TGI_LINT_UNINITIALISED},
                  {"redundant", TGI_LINT_REDUNDANT},
                  {"capacity", TGI_LINT_CAPACITY}};

/* -W NAME adds, -W no-NAME and -W none take away, in the order given. */
static int choose_lints(struct checker *c)
{
    const char *name;
    c->lints = DEFAULT_LINTS;
    for (uint32_t i = 0; (name = tgi_cli_list(c->cli, "warn", i)); i++) {
        bool removes = strncmp(name, "no-", 3) == 0;
        unsigned lints = 0;
        if (strcmp(name, "none") == 0) {
            c->lints = 0;
            continue;
        }
        for (size_t k = 0; k < sizeof(lint_names) / sizeof(*lint_names); k++) {
            if (strcmp(lint_names[k].name, removes ? name + 3 : name) == 0)
                lints = lint_names[k].lints;
        }
        if (!lints)
            return tgi_cli_usage(
                c->cli, "there is no warning \"%s\"; there is unused, uninitialised, redundant, capacity, all", name);
        c->lints = removes ? c->lints & ~lints : c->lints | lints;
    }
    return 0;
}

static void on_finding(void *user, const struct tg_diagnostic *diagnostic)
{
    struct checker *c = user;
    struct tg_diagnostic d = *diagnostic;
    if (c->is_strict)
        d.is_warning = false;
    if (!d.is_warning || !c->cli->is_quiet)
        tgi_cli_on_diagnostic((void *)c->cli, &d);
}

/* The first GPU, or where there is none the oldest that is used for all that the program can do. */
static void find_target(struct tgi_nvrtc_source *target)
{
    const struct tgi_cuda_api *api;
    struct tgi_cuda_machine machine;
    target->cc_major = 9;
    target->cc_minor = 0;
    if (tgi_cuda_retain(&api, NULL))
        return;
    target->driver_version = api->version;
    if (tgi_cuda_machine_init(api, &machine, NULL) == 0) {
        if (machine.n_devices) {
            target->cc_major = machine.device[0].cc_major;
            target->cc_minor = machine.device[0].cc_minor;
        }
        tgi_cuda_machine_fini(&machine);
    }
    tgi_cuda_release();
}

static int compile_for_gpu(const struct tgi_op *op, const struct tgi_variant *v, struct tg_error *err)
{
    struct tgi_nvrtc_source target = {.kernel = op->name, .text = v->text, .options = v->options,
                                      .entry = v->entry ? v->entry : op->name};
    unsigned char *image;
    bool is_cached;
    char *symbol;
    size_t n;
    find_target(&target);
    if (v->on == TGI_DEVICE_RESIDENT)
        return tgi_cuda_body_check(op, v, &target, &is_cached, err);
    int rc = tgi_nvrtc_compile(&target, &image, &n, &symbol, &is_cached, err);
    if (rc == 0) {
        free(image);
        free(symbol);
    }
    return rc;
}

static int compile_for_cpu(struct checker *c, const struct tgi_op *op, const struct tgi_variant *v, struct tg_error *err)
{
    struct tgi_cpu_module *module;
    tg_cpu_fn fn;
    char *log = NULL;
    int rc = tgi_cpu_module_compile(op->name, v, &module, &fn, &log, err);
    if (rc == 0)
        tgi_cpu_module_close(module);
    else if (log && c->cli->is_verbose)
        fprintf(stderr, "%s\n", log);
    free(log);
    return rc;
}

static int compile_variant(struct checker *c, const struct tgi_space *space, const struct tgi_op *op,
                           const struct tgi_variant *variant)
{
    struct tg_error err;
    int rc = variant->on == TGI_DEVICE_CPU ? compile_for_cpu(c, op, variant, &err) : compile_for_gpu(op, variant, &err);
    if (rc == 0) {
        tgi_cli_detail(c->cli, "kernel \"%s\" compiles", op->name);
        return 0;
    }
    if (rc == TG_E_NO_LIBRARY && variant->on != TGI_DEVICE_CPU) {
        tgi_cli_warn(c->cli, "kernel \"%s\": its source for GPUs was not compiled: %s", op->name, err.text);
        return 0;
    }
    struct tg_diagnostic d = {.status = err.status, .message = err.text, .file = space->file};
    char help[64];
    if (variant->path) {
        d.file = variant->path;
        d.line = err.line;
    } else {
        if (!tgi_variant_locate(space, variant, err.line, &d.line, &d.column))
            tgi_space_locate(space, op->site, &d.line, &d.column);
        if (err.line > variant->n_lines) {
            snprintf(help, sizeof(help), "in line %u of the kernel's source", err.line);
            d.help = help;
        }
    }
    tgi_cli_on_diagnostic((void *)c->cli, &d);
    return tg_status_exit_code(rc);
}

/* A resident function is called with arguments of known sizes: of a generic kernel it is compiled for each type that is used. */
static bool is_compiled(const struct tgi_op *op, const struct tgi_variant *v)
{
    return v->form == TGI_VARIANT_SOURCE && (v->on == TGI_DEVICE_RESIDENT ? !op->is_generic : op->generic == TG_NONE);
}

static int compile_kernels(struct checker *c, const struct tg_graph *g)
{
    int worst = 0;
    for (uint32_t i = 0; i < g->space->n_ops; i++) {
        const struct tgi_op *op = &g->space->ops[i], *owner = op->generic == TG_NONE ? op : &g->space->ops[op->generic];
        for (uint32_t v = 0; op->kind == TGI_OP_KERNEL && v < owner->n_variants; v++) {
            if (!is_compiled(op, &owner->variants[v]))
                continue;
            int rc = compile_variant(c, g->space, op, &owner->variants[v]);
            c->n_errors += rc != 0;
            worst = rc > worst ? rc : worst;
        }
    }
    return worst;
}

/* Returns an exit code. */
static int check_file(struct checker *c, const char *path, uint32_t *n_warnings_p)
{
    struct tg_graph *graph;
    struct tg_error err;
    *n_warnings_p = 0;
    int rc = tgi_cli_load(c->cli, path, TGI_LOAD_AND_FREEZE, &graph);
    if (rc) {
        c->n_errors++;
        return rc;
    }
    if (tgi_lint_run(graph, c->lints, on_finding, c, n_warnings_p, &err))
        rc = tgi_cli_error(c->cli, &err);
    c->n_warnings += *n_warnings_p;
    if (rc == 0 && *n_warnings_p > 0 && c->is_strict)
        rc = TGI_EXIT_NO;
    if (tgi_cli_has(c->cli, "compile")) {
        int compiled = compile_kernels(c, graph);
        rc = compiled > rc ? compiled : rc;
    }
    if (rc == 0 && c->cli->format == TGI_FORMAT_TEXT && !c->cli->is_quiet) {
        struct tg_graph_stats stats;
        if (tg_graph_stats(graph, &stats, &err) == 0)
            printf("%s: ok, %llu task%s, %llu edge%s\n", path, (unsigned long long)stats.n_tasks,
                   stats.n_tasks == 1 ? "" : "s", (unsigned long long)stats.n_edges,
                   stats.n_edges == 1 ? "" : "s");
    }
    tg_graph_destroy(graph);
    return rc;
}

int tgi_cli_check(struct tgi_cli *cli)
{
    struct checker c = {.cli = cli, .is_strict = tgi_cli_has(cli, "werror")};
    struct tgi_json json = tgi_json_begin(stdout, TGI_JSON_PRETTY);
    bool wants_json = cli->format == TGI_FORMAT_JSON;
    int worst = choose_lints(&c);
    if (worst)
        return worst;
    if (wants_json) {
        json = tgi_cli_document(stdout, TGI_REPORT_SCHEMA, "check");
        tgi_json_array(&json, "files");
    }
    for (uint32_t i = 0; i < cli->n_operands; i++) {
        uint32_t n_warnings;
        int rc = check_file(&c, cli->operands[i], &n_warnings);
        worst = rc > worst ? rc : worst;
        if (!wants_json)
            continue;
        tgi_json_flat_object(&json, NULL);
        tgi_json_string(&json, "file", cli->operands[i]);
        tgi_json_bool(&json, "ok", rc == 0);
        tgi_json_uint(&json, "warnings", n_warnings);
        tgi_json_int(&json, "exit_code", rc);
        tgi_json_end(&json);
    }
    if (wants_json) {
        tgi_json_end(&json);
        tgi_json_bool(&json, "ok", worst == 0);
        tgi_json_end(&json);
    }
    return worst;
}
