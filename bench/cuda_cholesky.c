/* Tiled Cholesky factorisation on GPUs: tgraph on tiles beside cuSOLVER on the whole matrix, data on the device.
 *
 * Every run copies the matrix from a second one on the device first, both for tgraph and for cuSOLVER.
 * --n is the matrix, --tile the tile, --threads the number of GPUs (cuSOLVER uses one).  --what tgraph leaves cuSOLVER out;
 * --what graph does so, too, and executes the tiles as one CUDA graph. */
#include "bench/cuda_bare.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/tiles.h"
#include "graph/model.h"
#include "sched/record.h"

struct size {
    uint32_t nt, b;
};

static int fill(void *user, uint32_t tile, void *data, size_t size_bytes, struct tg_error *e)
{
    const struct size *size = user;
    (void)size_bytes, (void)e;
    bench_tile_fill(data, tile / size->nt, tile % size->nt, size->nt, size->b);
    return 0;
}

/* ---- tgraph -------------------------------------------------------------------------------*/

static tg_buffer_id add_matrix(struct tg_graph *graph, const char *name, struct size *size, const uint8_t *present)
{
    tg_buffer_id id;
    struct tg_buffer_spec buffer = TG_BUFFER_SPEC_INIT;
    buffer.name = name;
    buffer.dtype = TG_F64;
    buffer.n_dims = buffer.n_tile_dims = 2;
    buffer.shape[0] = buffer.shape[1] = size->b;
    buffer.tiles[0] = buffer.tiles[1] = size->nt;
    buffer.present = present;
    buffer.home = "cyclic:{i+j}";
    buffer.init = name[0] == 'S' ? TG_INIT_CALL : TG_INIT_NONE;
    buffer.init_call = fill;
    buffer.init_user = size;
    must(tg_graph_add_buffer(graph, &buffer, &id, &err));
    return id;
}

static struct tg_graph *build(struct size *size, tg_buffer_id *a_p)
{
    struct tg_graph *graph;
    uint32_t n_steps, nt = size->nt;
    uint8_t *present = calloc((size_t)nt * nt, 1);
    must(tg_graph_create("cholesky", &graph, &err));
    for (uint32_t i = 0; i < nt; i++)
        memset(present + (size_t)i * nt, 1, i + 1);
    tg_buffer_id source = add_matrix(graph, "S", size, present), a = *a_p = add_matrix(graph, "A", size, present);
    tg_kernel_id kernels[BENCH_N_KERNELS];
    for (int i = 0; i < BENCH_N_KERNELS; i++) {
        static const char *const flops[BENCH_N_KERNELS] = {"n*n*n/3", "n*n*n", "n*n*n", "2*n*n*n"};
        struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
        kernel.name = kernel.builtin = bench_kernel_names[i];
        kernel.flops = flops[i];
        must(tg_graph_add_kernel(graph, &kernel, &kernels[i], &err));
    }
    for (uint32_t t = 0; t < nt * nt; t++) {
        const struct tg_arg args[] = {tg_arg_tile(a, t), tg_arg_tile(source, t)};
        struct tg_task_spec task = TG_TASK_SPEC_INIT;
        task.kind = TG_TASK_COPY;
        task.n_args = 2;
        task.args = args;
        task.on = "cuda";
        if (present[t])
            must(tg_graph_add_task(graph, &task, NULL, &err));
    }
    struct bench_step *steps = bench_cholesky_steps(nt, &n_steps);
    for (uint32_t i = 0; i < n_steps; i++) {
        struct tg_arg args[1 + BENCH_MAX_OPERANDS] = {tg_arg_int(size->b)};
        for (uint32_t k = 0; k < steps[i].n_tiles; k++)
            args[1 + k] = tg_arg_tile(a, steps[i].tiles[k]);
        struct tg_task_spec task = TG_TASK_SPEC_INIT;
        task.kernel = kernels[steps[i].kernel];
        task.n_args = 1 + steps[i].n_tiles;
        task.args = args;
        task.on = "cuda";
        must(tg_graph_add_task(graph, &task, NULL, &err));
    }
    free(steps);
    free(present);
    must(tg_graph_freeze(graph, &err));
    return graph;
}

/* The last element of the factor. */
static double measure_tgraph(struct size *size, const struct bench_options *o)
{
    tg_buffer_id a;
    struct tg_graph *graph = build(size, &a);
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_run_options run_options = TG_RUN_OPTIONS_INIT;
    struct tg_runtime *runtime;
    struct tg_run *run;
    struct bench_sample sample = {{0}, 0};
    char devices[64] = "cuda:0", what[64];
    for (uint32_t i = 1; i < o->n_threads; i++)
        snprintf(devices + strlen(devices), sizeof devices - strlen(devices), ",%u", i);
    options.devices = devices;
    bool is_graph = o->what && !strcmp(o->what, "graph");
    uint32_t n_warm = is_graph ? 4 : 1; /* the first one moves the matrix and loads libraries; a graph settles */
    run_options.keep_data = true; /* the second matrix stays where it is */
    run_options.executor = is_graph ? TG_EXECUTOR_GRAPH : TG_EXECUTOR_STREAMS;
    must(tg_runtime_create(&options, &runtime, &err));
    must(tg_run_create(runtime, graph, &run_options, &run, &err));
    for (uint32_t i = 0; i < n_warm + o->n_runs; i++) {
        struct tg_run_stats stats;
        const char *why;
        must(tg_run_execute(run, &err));
        must(tg_run_stats(run, &stats, &err));
        if (i >= n_warm && tg_run_executor(run, &why) != run_options.executor)
            bench_die("not executed as a graph: %s", why);
        if (i >= n_warm)
            bench_sample_add(&sample, stats.makespan_ns);
    }
    snprintf(what, sizeof what, "cholesky %u/%u", size->nt * size->b, size->b);
    bench_report(what, is_graph ? "tgraph, as a graph" : "tgraph", o->n_threads, "TFLOP/s",
                 bench_cholesky_flops(size->nt * size->b) / (double)bench_sample_median(&sample) / 1e3);
    printf("# %s%s:", what, is_graph ? ", as a graph" : "");
    for (uint32_t i = 0; i < graph->space->n_ops; i++)
        if (tgi_run_device_text(run, i) && *tgi_run_device_text(run, i))
            printf(" %s by %s;", graph->space->ops[i].name, tgi_run_device_text(run, i));
    printf("\n");
    const double *last = tg_run_tile(run, a, size->nt * size->nt - 1);
    double element = last ? last[(size_t)size->b * size->b - 1] : NAN;
    tg_run_destroy(run);
    tg_runtime_destroy(runtime);
    tg_graph_destroy(graph);
    return element;
}

/* ---- cuSOLVER -----------------------------------------------------------------------------*/

static void *symbol(void *library, const char *name)
{
    void *p = dlsym(library, name);
    if (!p)
        bench_die("cuSOLVER has no %s", name);
    return p;
}

/* The better of the two triangles. */
static double measure_cusolver(struct size *size, const struct bench_options *o)
{
    enum { LOWER = 0, UPPER = 1 };
    void *library = dlopen("libcusolver.so.12", RTLD_NOW), *handle;
    library = library ? library : dlopen("libcusolver.so.11", RTLD_NOW);
    if (!library)
        return NAN;
    int (*create)(void **) = symbol(library, "cusolverDnCreate");
    int (*work_size)(void *, int, int, CUdeviceptr, int, int *) = symbol(library, "cusolverDnDpotrf_bufferSize");
    int (*potrf)(void *, int, int, CUdeviceptr, int, CUdeviceptr, int, CUdeviceptr) = symbol(library, "cusolverDnDpotrf");
    uint32_t n = size->nt * size->b;
    size_t bytes = (size_t)n * n * sizeof(double);
    CUdeviceptr source, a, work, info;
    struct bench_sample sample[2] = {{{0}, 0}, {{0}, 0}};
    int n_work[2], n_work_max;
    double *tile = malloc((size_t)size->b * size->b * sizeof *tile), element;
    bare_open(0);
    DO(cuMemAlloc, (&source, bytes));
    DO(cuMemAlloc, (&a, bytes));
    DO(cuMemAlloc, (&info, sizeof(int)));
    for (uint32_t i = 0; i < size->nt; i++)
        for (uint32_t j = 0; j < size->nt; j++) {
            bench_tile_fill(tile, i, j, size->nt, size->b);
            CUDA_MEMCPY2D copy = {.srcMemoryType = CU_MEMORYTYPE_HOST, .srcHost = tile, .srcPitch = size->b * sizeof *tile,
                                  .dstMemoryType = CU_MEMORYTYPE_DEVICE, .dstDevice = source,
                                  .dstXInBytes = (size_t)j * size->b * sizeof *tile, .dstY = (size_t)i * size->b,
                                  .dstPitch = n * sizeof *tile, .WidthInBytes = size->b * sizeof *tile, .Height = size->b};
            DO(cuMemcpy2DAsync, (&copy, NULL));
            DO(cuStreamSynchronize, (NULL));
        }
    if (create(&handle) || work_size(handle, LOWER, (int)n, a, (int)n, &n_work[LOWER]) ||
        work_size(handle, UPPER, (int)n, a, (int)n, &n_work[UPPER]))
        bench_die("cuSOLVER cannot be used");
    n_work_max = n_work[LOWER] > n_work[UPPER] ? n_work[LOWER] : n_work[UPPER];
    DO(cuMemAlloc, (&work, (size_t)n_work_max * sizeof(double) + 256));
    for (int uplo = LOWER; uplo <= UPPER; uplo++)
        for (uint32_t i = 0; i <= o->n_runs; i++) {
            uint64_t begin = bench_now_ns();
            DO(cuMemcpyDtoDAsync, (a, source, bytes, NULL));
            if (potrf(handle, uplo, (int)n, a, (int)n, work, n_work[uplo], info))
                bench_die("cusolverDnDpotrf failed");
            DO(cuStreamSynchronize, (NULL));
            if (i > 0)
                bench_sample_add(&sample[uplo], bench_now_ns() - begin);
        }
    uint64_t lower_ns = bench_sample_median(&sample[LOWER]), upper_ns = bench_sample_median(&sample[UPPER]);
    DO(cuMemcpyDtoH, (&element, a + bytes - sizeof element, sizeof element));
    char what[64];
    snprintf(what, sizeof what, "cholesky %u/%u", n, size->b); /* beside the tiled one */
    bench_report(what, "cuSOLVER", 1, "TFLOP/s",
                 bench_cholesky_flops(n) / (double)(lower_ns < upper_ns ? lower_ns : upper_ns) / 1e3);
    free(tile);
    api->cuMemFree(source);
    api->cuMemFree(a);
    api->cuMemFree(work);
    api->cuMemFree(info);
    bare_close(0);
    return element;
}

int main(int argc, char **argv)
{
    struct bench_options o = bench_parse(argc, argv);
    uint32_t n = o.n ? o.n : 16384, tile = o.tile ? o.tile : 2048;
    struct size size = {n / tile, tile};
    if (n % tile || n == 0)
        bench_die("--n must be a multiple of --tile");
    double mine = measure_tgraph(&size, &o);
    double theirs = o.what && (!strcmp(o.what, "tgraph") || !strcmp(o.what, "graph")) ? NAN : measure_cusolver(&size, &o);
    if (!isnan(theirs) && !(fabs(mine - theirs) <= 1e-9 * fabs(theirs)))
        bench_die("the factors differ: %.17g, cuSOLVER's %.17g", mine, theirs);
    return 0;
}
