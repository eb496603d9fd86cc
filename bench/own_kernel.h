/* Kernels of a benchmark's own, from PTX, in graphs of tgraph's. */
#ifndef BENCH_OWN_KERNEL_H
#define BENCH_OWN_KERNEL_H

#include <string.h>

#include "bench/must.h"
#include "graph/expr.h"
#include "graph/model.h"

static inline struct tgi_expr *bench_number(const char *text)
{
    static const struct tgi_expr_scope scope;
    struct tgi_expr *expr;
    struct tgi_expr_error why;
    if (tgi_expr_compile(text, strlen(text), &scope, &expr, &why))
        bench_die("%s: %s", text, why.text);
    return expr;
}

/* Nobody runs it there, but every kernel has one. */
static inline int bench_nothing_on_cpu(void **args, const struct tg_context *ctx)
{
    (void)args, (void)ctx;
    return 0;
}

/* With one parameter, a block of one thread, and its code in the file `image`. */
static inline tg_kernel_id bench_add_kernel(struct tg_graph *graph, const char *name, const struct tg_param *param, const char *image)
{
    struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
    struct tgi_variant variant = {.on = TGI_DEVICE_CUDA, .form = TGI_VARIANT_BINARY, .path = image, .site = TG_NONE};
    tg_kernel_id id;
    kernel.name = name;
    kernel.n_params = 1;
    kernel.params = param;
    kernel.cpu = bench_nothing_on_cpu;
    must(tg_graph_add_kernel(graph, &kernel, &id, &err));
    variant.grid[0] = bench_number("1");
    variant.block[0] = bench_number("1");
    must(tgi_graph_add_variant(graph, id, &variant, &err));
    return id;
}

#endif
