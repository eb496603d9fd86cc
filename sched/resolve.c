/* From kernels to functions: which variant of each kernel this runtime calls. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "sched/offload.h"

static char *print(const char *format, const char *a, const char *b)
{
    char *text;
    return asprintf(&text, format, a, b) < 0 ? NULL : text;
}

static int keep_module(struct tg_run *run, struct tgi_cpu_module *module, struct tg_error *err)
{
    struct tgi_cpu_module **grown = realloc(run->modules, (run->n_modules + 1) * sizeof *grown);
    if (!grown) {
        tgi_cpu_module_close(module);
        return tgi_error_memory(err, "loading a kernel");
    }
    run->modules = grown;
    run->modules[run->n_modules++] = module;
    return 0;
}

static int resolve_variant(struct tg_run *run, const struct tgi_op *op, const struct tgi_variant *v, tg_cpu_fn *fn_p,
                           char **text_p, struct tg_error *err)
{
    const struct tgi_space *space = run->graph->space;
    struct tgi_cpu_module *module;
    int rc;
    switch (v->form) {
    case TGI_VARIANT_FUNCTION:
        *fn_p = v->fn;
        *text_p = print("function%s%s", "", "");
        break;
    case TGI_VARIANT_BUILTIN:
        *fn_p = v->builtin->cpu[op->type_t >= 0 ? op->type_t : TGI_DTYPE_T];
        *text_p = op->type_t >= 0 ? print("builtin %s %s", v->builtin->name, tg_dtype_name((enum tg_dtype)op->type_t))
                                  : print("builtin %s%s", v->builtin->name, "");
        break;
    case TGI_VARIANT_SOURCE:
        rc = tgi_cpu_module_compile(op->name, v, &module, fn_p, NULL, err);
        if (rc) {
            tgi_variant_set_position(space, v, err);
            return rc;
        }
        *text_p = print("c source%s%s", v->path ? " " : "", v->path ? v->path : "");
        return keep_module(run, module, err);
    default:
        rc = space->allow_plugins
                 ? tgi_cpu_module_load(op->name, v, space->folder, &module, fn_p, err)
                 : tgi_error(err, TG_E_PLUGIN_REFUSED, "kernel \"%s\": shared objects are loaded only with --allow-plugins", op->name);
        if (rc) {
            tgi_variant_set_position(space, v, err);
            return rc;
        }
        *text_p = print("shared object %s%s", v->path, "");
        return keep_module(run, module, err);
    }
    return *fn_p ? 0 : tgi_error(err, TG_E_DTYPE_UNSUPPORTED, "kernel \"%s\": its built-in has no variant for this type", op->name);
}

static int resolve_op(struct tg_run *run, uint32_t id, struct tg_error *err)
{
    const struct tgi_op *op = &run->graph->space->ops[id];
    const struct tgi_op *owner = op->generic == TG_NONE ? op : &run->graph->space->ops[op->generic];
    struct tgi_call *call = &run->calls[id];
    for (uint32_t i = 0; i < owner->n_variants; i++)
        if (owner->variants[i].on == TGI_DEVICE_CPU) {
            call->n_params = op->n_params;
            call->pointer_mask = op->pointer_mask;
            call->defaults = op->defaults;
            return resolve_variant(run, op, &owner->variants[i], &call->fn, &run->variant_text[id], err);
        }
    return tgi_error(err, TG_E_NO_VARIANT, "kernel \"%s\" has no variant for CPUs%s", op->name,
                     owner->n_variants ? ", and this machine runs nothing else" : "");
}

static int resolve_task(struct tg_run *run, const struct tg_graph *g, uint32_t task, struct tg_error *err)
{
    const struct tgi_op *op = tgi_graph_op(g, task);
    uint32_t id = g->nodes[task].op & TGI_NODE_OP;
    const struct tgi_attr *attr = tgi_graph_attr(g, task);
    char scratch[16];
    const tgi_place cpus = TGI_PLACE_CPUS;
    bool has_code = run->offload && run->offload->codes[id];
    /* A deterministic run on a runtime with devices is what runs there are compared with: on CPUs, wherever its tasks
     * may run otherwise. */
    bool is_reference = run->options.is_deterministic && run->runtime->offload;
    if (run->offload && attr && attr->on && !(attr->on & cpus))
        return 0; /* the placement sees to it */
    if (!is_reference && attr && attr->on && !(attr->on & cpus)) {
        char place[64];
        tgi_place_format(attr->on, place, sizeof place);
        return tgi_error(err, TG_E_NO_DEVICE, "task \"%s\" may run on %s only, and there are CPUs only",
                         tgi_graph_task_name(g, task, scratch), place);
    }
    if (op->kind != TGI_OP_KERNEL || run->calls[id].fn)
        return 0;
    int rc = resolve_op(run, id, err);
    return rc == TG_E_NO_VARIANT && has_code ? 0 : rc;
}

static int resolve_graph(struct tg_run *run, const struct tg_graph *g, struct tg_error *err)
{
    int rc = 0;
    for (uint32_t t = 0; rc == 0 && t < g->n_tasks; t++) {
        uint32_t id = g->nodes[t].op & TGI_NODE_OP;
        if (run->calls[id].fn && !(g->nodes[t].op & TGI_NODE_ATTR))
            continue;
        rc = resolve_task(run, g, t, err);
        if (rc && g->site_of && err && !err->file[0]) {
            uint32_t line, column;
            if (tgi_space_locate(g->space, g->site_of[t], &line, &column))
                tgi_error_set_position(err, g->space->file, line, column);
        }
    }
    for (uint32_t i = 0; rc == 0 && i < g->n_attrs; i++)
        run->has_deadlines = run->has_deadlines || g->attrs[i].timeout_ms;
    return rc;
}

int tgi_run_resolve(struct tg_run *run, struct tg_error *err)
{
    const struct tgi_space *space = run->graph->space;
    const struct tgi_offload *offload = run->runtime->offload;
    uint32_t n_cuda = offload ? offload->devices->n_devices : 0;
    if (space->requires_cuda > n_cuda && n_cuda == 0)
        return tgi_error(err, TG_E_NO_DEVICE, "the graph requires %u CUDA device%s, and there are CPUs only",
                         space->requires_cuda, space->requires_cuda > 1 ? "s" : "");
    if (space->requires_cuda > n_cuda)
        return tgi_error(err, TG_E_NO_DEVICE, "the graph requires %u CUDA devices, and %u are in use", space->requires_cuda, n_cuda);
    if (space->requires_cpu > run->runtime->n_workers)
        return tgi_error(err, TG_E_NO_DEVICE, "the graph requires %u CPU workers, and there are %u", space->requires_cpu,
                         run->runtime->n_workers);
    run->calls = calloc(space->n_ops + 1, sizeof *run->calls);
    run->variant_text = calloc(space->n_ops + 1, sizeof *run->variant_text);
    run->bodies = calloc(space->n_ops + 1, sizeof *run->bodies);
    if (!run->calls || !run->variant_text || !run->bodies)
        return tgi_error_memory(err, "preparing a run");
    int rc = resolve_graph(run, run->graph, err);
    for (uint32_t i = 0; rc == 0 && i < space->n_ops; i++) {
        if (space->ops[i].body)
            rc = resolve_graph(run, space->ops[i].body, err);
        if (rc == 0 && space->ops[i].body_else)
            rc = resolve_graph(run, space->ops[i].body_else, err);
    }
    return rc;
}

void tgi_run_unresolve(struct tg_run *run)
{
    for (uint32_t i = 0; run->variant_text && i < run->graph->space->n_ops; i++)
        free(run->variant_text[i]);
    for (uint32_t i = 0; i < run->n_modules; i++)
        tgi_cpu_module_close(run->modules[i]);
    free(run->variant_text);
    free(run->modules);
    free(run->calls);
    free(run->bodies);
}

const char *tgi_run_variant_text(const struct tg_run *run, uint32_t op)
{
    return run->variant_text[op] ? run->variant_text[op] : "";
}

const char *tgi_run_device_text(const struct tg_run *run, uint32_t op)
{
    return run->offload && run->offload->texts[op] ? run->offload->texts[op] : "";
}
