/* Built-in kernels over sizes: for each a graph of a few tasks with tiles of their own.  Which tiles a kernel takes and how large
 * they are follows from its signature, with one number for every size. */
#include <stdio.h>
#include <string.h>

#include "graph/error.h"
#include "graph/model.h"
#include "sched/calibrate.h"
#include "sched/runtime.h"

enum { TASKS_EACH = 4, MOST_SIZES = 4 };

static const struct measured {
    const char *builtin;
    enum tg_dtype dtype;
    int64_t sizes[MOST_SIZES]; /* those in the middle are enough for a quick calibration */
} measured[] = {
    {"gemm_nn", TG_F64, {64, 128, 384, 768}},
    {"gemm_nn", TG_F32, {64, 128, 384, 768}},
    {"gemm_nt", TG_F64, {64, 128, 384, 768}},
    {"syrk_lower", TG_F64, {64, 128, 384, 768}},
    {"trsm_rlt", TG_F64, {64, 128, 384, 768}},
    {"potrf_lower", TG_F64, {64, 128, 384, 768}},
    {"transpose", TG_F64, {64, 256, 1024, 2048}},
    {"heat2d", TG_F64, {64, 256, 1024, 2048}},
    {"copy", TG_F64, {1 << 10, 1 << 14, 1 << 20, 1 << 22}},
    {"axpy", TG_F64, {1 << 10, 1 << 14, 1 << 20, 1 << 22}},
    {"add", TG_F64, {1 << 10, 1 << 14, 1 << 20, 1 << 22}},
    {"dot", TG_F64, {1 << 10, 1 << 14, 1 << 20, 1 << 22}},
    {"sum", TG_F64, {1 << 10, 1 << 14, 1 << 20, 1 << 22}},
    {"scan", TG_F64, {1 << 10, 1 << 14, 1 << 20, 1 << 22}},
};

/* ---- Graphs -------------------------------------------------------------------------------*/

static struct tgi_expr_name any_size(void *user, const char *name, size_t length)
{
    (void)name, (void)length;
    return (struct tgi_expr_name){.kind = TGI_NAME_INT, .i = *(const int64_t *)user};
}

static int64_t no_devices(void *user, const char *kind, size_t length)
{
    (void)user, (void)kind, (void)length;
    return 0;
}

static int tile_elems(const struct tgi_builtin_param *p, int64_t size, int64_t *elems_p, struct tg_error *err)
{
    struct tgi_expr_scope scope = {any_size, no_devices, &size, -1};
    struct tgi_expr_error wrong = {.status = 0};
    struct tgi_expr *expr;
    int rc = tgi_expr_compile(p->elems, strlen(p->elems), &scope, &expr, &wrong);
    if (rc == 0) {
        rc = tgi_expr_eval_int(expr, NULL, elems_p, &wrong);
        tgi_expr_destroy(expr);
    }
    return rc ? tgi_error(err, rc, "the size of \"%s\": %s", p->name, wrong.text) : 0;
}

/* A tile for a parameter, square where the kernel's is; data that every kernel here can do with, potrf included. */
static int add_tile(struct tg_graph *g, const struct tgi_builtin_param *p, enum tg_dtype dtype, int64_t size, struct tg_arg *arg,
                    struct tg_error *err)
{
    struct tg_buffer_spec spec = TG_BUFFER_SPEC_INIT;
    char name[16];
    tg_buffer_id id;
    int64_t elems;
    int rc = tile_elems(p, size, &elems, err);
    bool is_square = elems == size * size;
    if (rc)
        return rc;
    snprintf(name, sizeof name, "b%u", g->space->n_buffers);
    spec.name = name;
    spec.dtype = p->dtype == TGI_DTYPE_T ? dtype : (enum tg_dtype)p->dtype;
    spec.n_dims = is_square ? 2 : 1;
    spec.shape[0] = is_square ? size : elems;
    spec.shape[1] = size;
    spec.n_tile_dims = is_square ? 2 : 0;
    spec.tiles[0] = spec.tiles[1] = 1;
    spec.init = is_square ? TG_INIT_SPD : TG_INIT_RANDOM;
    spec.init_seed = 1;
    rc = tg_graph_add_buffer(g, &spec, &id, err);
    *arg = tg_arg_tile(id, 0);
    return rc;
}

static int add_task(struct tg_graph *g, const struct tgi_builtin *b, tg_kernel_id kernel, enum tg_dtype dtype, int64_t size,
                    struct tg_error *err)
{
    struct tg_task_spec spec = TG_TASK_SPEC_INIT;
    struct tg_arg args[TG_MAX_PARAMS];
    int rc = 0;
    spec.kernel = kernel;
    spec.args = args;
    for (; rc == 0 && spec.n_args < b->n_params && !b->params[spec.n_args].fallback; spec.n_args++) {
        const struct tgi_builtin_param *p = &b->params[spec.n_args];
        struct tg_arg *arg = &args[spec.n_args];
        if (p->access != TG_SCALAR)
            rc = add_tile(g, p, dtype, size, arg, err);
        else
            *arg = p->dtype == TG_I64 ? tg_arg_int(size) : tg_arg_float(0.25);
    }
    return rc ? rc : tg_graph_add_task(g, &spec, NULL, err);
}

static int make_graph(const struct measured *what, int64_t size, struct tg_graph **g_p, struct tg_error *err)
{
    const struct tgi_builtin *b = tgi_builtin_find(what->builtin);
    struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
    struct tg_graph *g;
    tg_kernel_id id;
    if (!b)
        return tgi_error(err, TG_E_INTERNAL, "there is no built-in kernel \"%s\" to be measured", what->builtin);
    int rc = tg_graph_create(what->builtin, &g, err);
    if (rc)
        return rc;
    kernel.name = kernel.builtin = what->builtin;
    rc = tg_graph_add_kernel(g, &kernel, &id, err);
    for (uint32_t i = 0; rc == 0 && i < TASKS_EACH; i++)
        rc = add_task(g, b, id, what->dtype, size, err);
    return tgi_calibrate_finish(g, rc, g_p, err);
}

/* ---- Measuring ----------------------------------------------------------------------------*/

static int measure_size(const struct tgi_calibration *c, const struct measured *what, int64_t size, struct tgi_machine *m,
                        struct tg_error *err)
{
    struct tg_graph *g = NULL;
    int rc = make_graph(what, size, &g, err);
    if (rc)
        return rc;
    rc = tgi_calibrate_graph(c, g, m, err);
    tg_graph_destroy(g);
    return rc;
}

/* What gemm reaches at its best; a class on which it was not measured keeps its rough figure. */
static void find_peaks(struct tgi_machine *m)
{
    double peaks[TGI_MACHINE_CLASSES] = {0};
    for (uint32_t i = 0; i < m->n_times; i++) {
        const struct tgi_machine_time *time = &m->times[i];
        double rate = time->median_ns > 0 ? time->flops / time->median_ns : 0;
        bool is_peak = strncmp(time->kernel, "builtin gemm_nn f64", 19) == 0;
        if (is_peak && rate > peaks[time->class])
            peaks[time->class] = rate;
    }
    for (uint32_t i = 0; i < m->n_classes; i++)
        m->classes[i].flops_per_ns = peaks[i] > 0 ? peaks[i] : m->classes[i].flops_per_ns;
}

int tgi_calibrate_builtins(const struct tgi_calibration *c, enum tgi_calibrate_builtins which, struct tgi_machine *m,
                           struct tg_error *err)
{
    uint32_t n = which == TGI_CALIBRATE_PEAK ? 1 : sizeof measured / sizeof measured[0];
    uint32_t n_left_out = c->is_quick ? 1 : 0; /* at each end */
    uint32_t first = which == TGI_CALIBRATE_PEAK ? MOST_SIZES - 1 - n_left_out : n_left_out;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < n; i++)
        for (uint32_t k = first; rc == 0 && k < MOST_SIZES - n_left_out; k++)
            rc = measure_size(c, &measured[i], measured[i].sizes[k], m, err);
    find_peaks(m);
    return rc;
}
