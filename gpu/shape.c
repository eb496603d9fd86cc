/* Which way of executing a kernel is likely to be the fastest, and the dimensions of its launch. */
#include <string.h>

#include "gpu/blas.h"
#include "gpu/way.h"
#include "graph/error.h"

/* ---- Ways ---------------------------------------------------------------------------------*/

/* A library's call before the kernel it is for where it is likely to be faster. */
uint32_t tgi_cuda_ways(struct tgi_devices *ds, const struct tgi_code *code, void *const *args, uint32_t ways_p[TGI_MAX_WAYS])
{
    (void)ds;
    uint32_t n = 0;
    for (uint32_t i = 0; i < code->n_ways; i++) {
        bool has_call = i + 1 < code->n_ways && code->ways[i + 1].blas != TG_NONE;
        if (!has_call || !tgi_cuda_blas_can(code->ways[i + 1].blas, args)) {
            ways_p[n++] = i;
        } else {
            bool is_better = tgi_cuda_blas_is_better(code->ways[i + 1].blas, args);
            ways_p[n++] = i + is_better;
            ways_p[n++] = i + !is_better;
        }
        i += has_call;
    }
    return n;
}

const char *tgi_cuda_way_name(struct tgi_devices *ds, const struct tgi_code *code, uint32_t way)
{
    (void)ds;
    return code->ways[way].text;
}

/* ---- Dimensions ---------------------------------------------------------------------------*/

static int evaluate(const struct tgi_code *code, const struct tgi_expr *expr, const int64_t *slots, const char *what,
                    int64_t least, uint32_t *value_p, struct tg_error *err)
{
    struct tgi_expr_error why;
    int64_t value;
    int rc = tgi_expr_eval_int(expr, slots, &value, &why);
    if (rc)
        return tgi_error(err, TG_E_EXPR_VALUE, "kernel \"%s\": its %s has no value: %s", code->name, what, why.text);
    if (value < least || value > INT32_MAX)
        return tgi_error(err, TG_E_EXPR_VALUE, "kernel \"%s\": its %s is %lld, and can be %lld to %d", code->name, what,
                        (long long)value, (long long)least, INT32_MAX);
    *value_p = (uint32_t)value;
    return 0;
}

static int evaluate_three(const struct tgi_code *code, struct tgi_expr *const *exprs, const int64_t *slots, const char *what,
                          uint32_t *values, struct tg_error *err)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < 3; i++) {
        values[i] = 1;
        if (exprs[i])
            rc = evaluate(code, exprs[i], slots, what, 1, &values[i], err);
    }
    return rc;
}

static int check_limit(const struct tgi_code *code, const char *what, uint64_t value, uint64_t limit, struct tg_error *err)
{
    return value <= limit ? 0
                          : tgi_error(err, TG_E_UNSUPPORTED, "kernel \"%s\": %s is %llu, and %llu is the most on this device",
                                      code->name, what, (unsigned long long)value, (unsigned long long)limit);
}

static int check_shape(const struct tgi_cuda *cuda, const struct tgi_code *code, const struct tgi_shape *s, struct tg_error *err)
{
    const struct tgi_cuda_device_info *i = cuda->device[0].info;
    uint64_t n_threads = (uint64_t)s->block[0] * s->block[1] * s->block[2];
    int rc = check_limit(code, "grid along x", s->grid[0], (uint64_t)i->max_grid_x, err);
    rc = rc ? rc : check_limit(code, "grid along y", s->grid[1], (uint64_t)i->max_grid_y, err);
    rc = rc ? rc : check_limit(code, "grid along z", s->grid[2], (uint64_t)i->max_grid_z, err);
    rc = rc ? rc : check_limit(code, "block along x", s->block[0], (uint64_t)i->max_block_x, err);
    rc = rc ? rc : check_limit(code, "block along y", s->block[1], (uint64_t)i->max_block_y, err);
    rc = rc ? rc : check_limit(code, "block along z", s->block[2], (uint64_t)i->max_block_z, err);
    rc = rc ? rc : check_limit(code, "the number of threads in a block", n_threads, (uint64_t)i->max_threads_per_block, err);
    return rc ? rc : check_limit(code, "shared memory of a block", s->shared_bytes, (uint64_t)i->shared_per_block_optin, err);
}

static int user_shape(struct tgi_cuda *cuda, const struct tgi_code *code, const struct tgi_cuda_way *way, void *const *args,
                      struct tgi_shape *s, struct tg_error *err)
{
    const struct tgi_variant *v = way->variant;
    int64_t slots[TG_MAX_PARAMS] = {0};
    for (uint32_t i = 0; i < code->op->n_params; i++)
        if (code->ints >> i & 1)
            slots[i] = *(const int64_t *)args[i];
    int rc = evaluate_three(code, v->block, slots, "block", s->block, err);
    if (rc == 0 && !v->block[0])
        s->block[0] = (uint32_t)way->occupancy_block;
    if (rc == 0)
        rc = evaluate_three(code, v->grid, slots, "grid", s->grid, err);
    if (rc == 0 && !v->grid[0])
        s->grid[0] = (uint32_t)way->occupancy_grid; /* as many blocks as the device holds: such kernels stride */
    if (rc == 0 && v->smem)
        rc = evaluate(code, v->smem, slots, "shared memory", 0, &s->shared_bytes, err);
    if (rc == 0 && v->cluster[0])
        rc = evaluate_three(code, v->cluster, slots, "cluster", s->cluster, err);
    if (rc == 0)
        rc = check_shape(cuda, code, s, err);
    for (uint32_t d = 0; rc == 0 && s->shared_bytes > TGI_DEFAULT_SHARED_BYTES && d < cuda->base.n_devices; d++) {
        rc = tgi_cuda_enter(cuda, d, err);
        if (rc == 0)
            rc = tgi_cuda_allow_shared(cuda, d, code, way, s->shared_bytes, err);
    }
    return rc;
}

int tgi_cuda_shape_way(struct tgi_devices *ds, struct tgi_code *code, uint32_t i, void *const *args, struct tgi_shape *s,
                       struct tg_error *err)
{
    const struct tgi_cuda_way *way = &code->ways[i];
    struct tgi_launch launch;
    memset(s, 0, sizeof *s);
    s->alternative = i;
    if (way->blas != TG_NONE)
        return 0;
    if (!way->launcher)
        return user_shape(tgi_cuda_of(ds), code, way, args, s, err);
    int rc = tgi_launcher_size(way->launcher, args, &launch);
    if (rc)
        return tgi_error(err, rc, "kernel \"%s\": its sizes are too large to compute a grid", code->name);
    s->grid[0] = launch.grid;
    s->block[0] = launch.block;
    s->grid[1] = s->grid[2] = s->block[1] = s->block[2] = 1;
    s->shared_bytes = launch.shared_bytes;
    return 0;
}

int tgi_cuda_shape(struct tgi_devices *ds, struct tgi_code *code, void *const *args, struct tgi_shape *s, struct tg_error *err)
{
    uint32_t ways[TGI_MAX_WAYS];
    tgi_cuda_ways(ds, code, args, ways);
    return tgi_cuda_shape_way(ds, code, ways[0], args, s, err);
}
