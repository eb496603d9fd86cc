/* A kernel of the table runs as its CPU function.  Where a variant for GPUs would leave a record in
 * `tgk_fault`, the CPU function explains itself and returns an error; the explanation's values become the
 * record.  The functions that kernels call on their context are therefore defined here once more, and
 * exports.map keeps them apart from those of the program that has loaded us. */
#include "tests/standin/builtins.h"

#include <inttypes.h>
#include <stdarg.h>

#include "gpu/decide.h"
#include "gpu/flag.h"
#include "gpu/resident/order.h"
#include "graph/expr.h"
#include "kernels/fault.h"
#include "kernels/launch.h"
#include "tests/standin/internal.h"
#include "tests/standin/resident.h"

enum { FATBIN_MAGIC = 0xBA55ED50 };

/* A kernel for one element type. */
struct entry {
    const struct tgi_builtin *builtin;
    tg_cpu_fn fn;
    struct tgi_expr *elems[TG_MAX_PARAMS]; /* NULL: not a tile, or unknown */
    size_t elem_bytes[TG_MAX_PARAMS];
};

/* What a kernel asks about its task, and what it says. */
struct tg_context {
    struct tgi_fault fault;
};

static char *image; /* of all kernels; made at load */

/* ---- Contexts -----------------------------------------------------------------------------*/

bool tg_context_is_cancelled(const struct tg_context *ctx)
{
    (void)ctx;
    return false;
}

static const struct {
    enum tgi_fault_kind kind;
    const char *begin; /* of the explanation */
} explanations[] = {
    {TGI_FAULT_NOT_POSITIVE, "matrix is not positive definite"},
    {TGI_FAULT_NO_LU, "matrix has no LU"},
    {TGI_FAULT_HISTOGRAM, "histogram needs"},
    {TGI_FAULT_FFT_SIZE, "fft needs"},
    {TGI_FAULT_TWIDDLE, "twiddle needs"},
    {TGI_FAULT_BUTTERFLY, "fft_butterfly needs"},
    {TGI_FAULT_TRSV_DIAGONAL, "diagonal of row"},
    {TGI_FAULT_TRSV_ENTRIES, "entries of row"},
};

/* Explanations give the fields of the record in their order. */
void tg_context_explain(const struct tg_context *const_ctx, const char *format, ...)
{
    struct tgi_fault *fault = &((struct tg_context *)(uintptr_t)const_ctx)->fault;
    unsigned n_ints = 0, n_floats = 0;
    for (size_t i = 0; i < sizeof explanations / sizeof *explanations; i++)
        if (strncmp(format, explanations[i].begin, strlen(explanations[i].begin)) == 0)
            fault->kind = explanations[i].kind;
    va_list values;
    va_start(values, format);
    for (const char *at = strchr(format, '%'); at; at = strchr(at + 1, '%'))
        if (strncmp(at, "%lld", 4) == 0)
            *(n_ints++ == 0 ? &fault->a : &fault->b) = va_arg(values, long long);
        else
            *(n_floats++ == 0 ? &fault->x : &fault->y) = va_arg(values, double);
    va_end(values);
}

/* ---- Running ------------------------------------------------------------------------------*/

/* The device address of the tile that is written. */
static uint64_t written_tile(const struct tgi_builtin *b, const struct op *op)
{
    uint64_t address = 0;
    for (uint32_t i = 0; i < b->n_params; i++)
        if (b->params[i].access != TG_SCALAR && b->params[i].access != TG_IN) {
            memcpy(&address, op->kernel.args + function_offset(op->kernel.function, i), sizeof address);
            break;
        }
    return address;
}

static int report_fault(const struct tgi_fault *found, const struct tgi_builtin *b, const struct op *op)
{
    CUdeviceptr global;
    unsigned char *p;
    struct alloc *a;
    struct tgi_fault *record;
    if (!module_global(op->kernel.function->module, "tgk_fault", &global, NULL)) {
        violation("kernel %s failed, and its module has no tgk_fault", b->name);
        return CUDA_ERROR_LAUNCH_FAILED;
    }
    if (!memory_span(op->device, global, sizeof *record, "tgk_fault", &p, &a))
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    record = (struct tgi_fault *)p;
    uint32_t n = record->n + 1;
    if (record->kind == TGI_FAULT_NONE) {
        *record = *found;
        record->tile = written_tile(b, op);
    }
    record->n = n;
    memory_mark_written(a, global, sizeof *record);
    return 0;
}

static int run(void **args, const void *launch)
{
    const struct standin_launch *l = launch;
    const struct entry *e = l->user;
    struct tg_context ctx = {{0}};
    int rc = e->fn(args, &ctx);
    if (rc == 0)
        return 0;
    if (!l->instance) /* inside another kernel, which says so itself */
        return ctx.fault.a > 0 ? (int)ctx.fault.a : 1;
    if (ctx.fault.kind == TGI_FAULT_NONE) {
        violation("kernel %s failed for a reason that no kernel for GPUs has (%d)", l->name, rc);
        return CUDA_ERROR_LAUNCH_FAILED;
    }
    return report_fault(&ctx.fault, e->builtin, &((const struct item *)l->instance)->op);
}

/* Sizes beyond all memory where the arithmetic overflows, so that the access is refused. */
static size_t extent(void **args, unsigned param, void *user)
{
    const struct entry *e = user;
    const struct tgi_builtin_param *p = &e->builtin->params[param];
    struct tgi_expr_error err;
    int64_t slots[TG_MAX_PARAMS] = {0}, n;
    CUdeviceptr address;
    memcpy(&address, args[param], sizeof address);
    if (p->fallback && address == 0)
        return 0; /* a tile that was left out */
    for (uint32_t i = 0; i < e->builtin->n_params; i++)
        if (e->builtin->params[i].access == TG_SCALAR && e->builtin->params[i].dtype == TG_I64)
            memcpy(&slots[i], args[i], sizeof slots[i]);
    if (tgi_expr_eval_int(e->elems[param], slots, &n, &err))
        return SIZE_MAX / 2;
    if (n <= 0)
        return 0;
    return (uint64_t)n > SIZE_MAX / 2 / e->elem_bytes[param] ? SIZE_MAX / 2
                                                             : (size_t)n * e->elem_bytes[param];
}

/* As gpu/decide.cu, all. */
static int tell_time(void **args, const void *launch)
{
    uint64_t *to = standin_at(launch, *(CUdeviceptr *)args[0], sizeof *to, STANDIN_OUT);
    if (!to)
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    *to = tgi_now_ns();
    return CUDA_SUCCESS;
}

static int decide(void **args, const void *launch)
{
    const tgi_decision *d = args[0];
    uint64_t n_left = 1;
    struct tgi_decided *state = standin_at(launch, (CUdeviceptr)(uintptr_t)d->state, sizeof *state, STANDIN_INOUT);
    if (!state)
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    if (d->is_loop)
        n_left = state->n_left = d->n_rounds ? d->n_rounds : state->n_left - 1;
    bool holds = n_left > 0;
    if (holds && d->tile) {
        static const unsigned char zero[8];
        const void *tile = standin_at(launch, (CUdeviceptr)(uintptr_t)d->tile, d->tile_bytes, STANDIN_IN);
        if (!tile)
            return CUDA_ERROR_ILLEGAL_ADDRESS;
        holds = memcmp(tile, zero, d->tile_bytes) != 0;
    }
    state->n_taken[!holds]++;
    standin_set_conditional(launch, d->condition, holds);
    if (d->has_other)
        standin_set_conditional(launch, d->other, !holds);
    return 0;
}

static int set_all(const tgi_signal_args *a, const void *launch)
{
    for (uint32_t i = 0; i < a->n; i++) {
        uint32_t *flag = standin_at(launch, (CUdeviceptr)(uintptr_t)a->flag[i], sizeof *flag, STANDIN_INOUT);
        if (!flag)
            return CUDA_ERROR_ILLEGAL_ADDRESS;
        if (*flag)
            violation("flag 0x%llx is set and was not awaited since", (unsigned long long)(uintptr_t)a->flag[i]);
        *flag = 1;
    }
    return CUDA_SUCCESS;
}

static int set_flags(void **args, const void *launch) { return set_all(args[0], launch); }

static int push(void **args, const void *launch)
{
    const tgi_push_args *a = args[0];
    CUdeviceptr to = (CUdeviceptr)(uintptr_t)a->to, from = (CUdeviceptr)(uintptr_t)a->from;
    int device = ((const struct standin_launch *)launch)->device;
    unsigned char *at, *source;
    struct alloc *there, *here;
    if (!memory_span(device, from, a->bytes, "a push", &source, &here) || !memory_span(device, to, a->bytes, "a push", &at, &there))
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    memcpy(at, source, a->bytes);
    memory_copy_marks(there, to, here, from, a->bytes);
    return set_all(&a->signal, launch);
}

static int await_flags(void **args, const void *launch)
{
    const tgi_await_args *a = args[0];
    uint32_t *flags = standin_at(launch, (CUdeviceptr)(uintptr_t)a->flags, a->n * sizeof *flags, STANDIN_INOUT);
    struct tgi_flag_words *words = standin_at(launch, (CUdeviceptr)(uintptr_t)a->words, sizeof *words, STANDIN_INOUT);
    uint32_t n_set = 0;
    if (!flags || !words)
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    for (uint32_t i = 0; i < a->n; i++)
        n_set += flags[i];
    if (n_set == a->n) {
        memset(flags, 0, a->n * sizeof *flags);
        return CUDA_SUCCESS;
    }
    uint32_t launching = __atomic_load_n(&words->launching, __ATOMIC_RELAXED);
    if (launching == TGI_GIVEN_UP)
        return CUDA_SUCCESS;
    if (standin_again(launch) >= a->limit_ns && launching == TGI_LAUNCHING) {
        ((struct item *)(uintptr_t)((const struct standin_launch *)launch)->instance)->is_again = false;
        __atomic_store_n(&words->missed, a->number + 1, __ATOMIC_RELAXED);
    }
    return CUDA_SUCCESS;
}

/* ---- Registering --------------------------------------------------------------------------*/

static void check(bool is_good, const char *kernel)
{
    if (is_good)
        return;
    fprintf(stderr, "stand-in driver: cannot register kernel %s\n", kernel);
    abort();
}

static enum standin_param_kind kind_of(enum tg_access access)
{
    switch (access) {
    case TG_SCALAR:
        return STANDIN_VALUE;
    case TG_IN:
        return STANDIN_IN;
    case TG_OUT:
        return STANDIN_OUT;
    default:
        return STANDIN_INOUT;
    }
}

static struct entry *entry_create(const struct tgi_builtin *b, enum tg_dtype type,
                                  struct standin_param *params)
{
    bool is_generic = !b->cpu[TGI_DTYPE_T];
    struct tgi_expr_scope scope = {tgi_launch_resolve, NULL, (void *)(uintptr_t)b, is_generic ? (int)type : -1};
    struct tgi_expr_error err;
    struct entry *e = calloc(1, sizeof *e);
    check(e, b->name);
    e->builtin = b;
    e->fn = is_generic ? b->cpu[type] : b->cpu[TGI_DTYPE_T];
    for (uint32_t i = 0; i < b->n_params; i++) {
        const struct tgi_builtin_param *p = &b->params[i];
        size_t elem_bytes = tg_dtype_size(p->dtype == TGI_DTYPE_T ? type : (enum tg_dtype)p->dtype);
        params[i].kind = kind_of(p->access);
        params[i].size_bytes = p->access == TG_SCALAR ? elem_bytes : sizeof(CUdeviceptr);
        if (p->access == TG_SCALAR)
            continue;
        e->elem_bytes[i] = elem_bytes;
        check(p->elems && !tgi_expr_compile(p->elems, strlen(p->elems), &scope, &e->elems[i], &err), b->name);
    }
    return e;
}

/* The most that arguments ask for: a block may depend on a flag among them. */
static uint32_t block_of(const struct tgi_launcher *launcher)
{
    uint32_t most = 0;
    for (int64_t value = 0; value < 2; value++) {
        int64_t word[2] = {value, value};
        void *args[TG_MAX_PARAMS];
        struct tgi_launch launch;
        for (int i = 0; i < TG_MAX_PARAMS; i++)
            args[i] = word;
        if (tgi_launcher_size(launcher, args, &launch))
            return MAX_THREADS;
        most = launch.block > most ? launch.block : most;
    }
    return most;
}

bool is_builtin(const struct standin_kernel *kernel) { return kernel->fn == run; }

static void register_for(const struct tgi_builtin *b, enum tg_dtype type, FILE *text)
{
    struct tgi_launcher *launcher;
    struct standin_param params[TG_MAX_PARAMS];
    int rc = tgi_launcher_create(b, type, &launcher);
    if (rc == TG_E_NO_VARIANT)
        return;
    check(rc == 0, b->name);
    struct standin_kernel kernel = {tgi_launcher_symbol(launcher), run, b->n_params, params, extent,
                                    entry_create(b, type, params)};
    check(standin_register_kernel(&kernel) == 0, b->name);
    fprintf(text, "kernel %s threads=%" PRIu32 "\n", kernel.name, block_of(launcher));
    tgi_launcher_destroy(launcher);
}

__attribute__((constructor)) static void register_builtins(void)
{
    uint32_t n;
    size_t size;
    const struct tgi_builtin *const *all = tgi_builtin_all(&n);
    FILE *text = open_memstream(&image, &size);
    check(text, "images");
    fprintf(text, "standin 1\n");
    for (uint32_t k = 0; k < n; k++)
        for (int type = 0; type < (all[k]->cpu[TGI_DTYPE_T] ? 1 : TG_N_DTYPES); type++)
            register_for(all[k], (enum tg_dtype)type, text);
    static const struct standin_param decision = {sizeof(tgi_decision), STANDIN_VALUE};
    const struct standin_kernel kernel = {TGI_DECIDE_KERNEL, decide, 1, &decision, NULL, NULL};
    check(standin_register_kernel(&kernel) == 0, kernel.name);
    fprintf(text, "kernel %s threads=1\n", kernel.name);
    static const struct standin_param place = {sizeof(CUdeviceptr), STANDIN_VALUE};
    const struct standin_kernel stamp = {TGI_STAMP_KERNEL, tell_time, 1, &place, NULL, NULL};
    check(standin_register_kernel(&stamp) == 0, stamp.name);
    fprintf(text, "kernel %s threads=1\n", stamp.name);
    static const struct standin_param flags[] = {{sizeof(tgi_signal_args), STANDIN_VALUE}, {sizeof(tgi_await_args), STANDIN_VALUE},
                                                 {sizeof(tgi_push_args), STANDIN_VALUE}};
    const struct standin_kernel of_flags[] = {{TGI_SIGNAL_KERNEL, set_flags, 1, &flags[0], NULL, NULL},
                                              {TGI_AWAIT_KERNEL, await_flags, 1, &flags[1], NULL, NULL},
                                              {TGI_PUSH_KERNEL, push, 1, &flags[2], NULL, NULL}};
    for (size_t i = 0; i < sizeof of_flags / sizeof *of_flags; i++) {
        check(standin_register_kernel(&of_flags[i]) == 0, of_flags[i].name);
        fprintf(text, "kernel %s threads=%d\n", of_flags[i].name, TGI_PUSH_THREADS);
    }
    check(standin_register_kernel(&standin_service) == 0, standin_service.name);
    fprintf(text, "kernel %s threads=1024\n", standin_service.name);
    check(standin_register_kernel(&standin_service_bodies) == 0, standin_service_bodies.name); /* of generated images alone */
    check(standin_register_kernel(&standin_service_keeping) == 0, standin_service_keeping.name);
    resident_register(text);
    resident_dynamic_register();
    resident_spread_register();
    fprintf(text, "global tgk_fault %zu\n", sizeof(struct tgi_fault));
    check(fclose(text) == 0, "images");
}

/* ---- The image ----------------------------------------------------------------------------*/

const char *image_text(const void *given)
{
    uint32_t magic = 0;
    memcpy(&magic, given, strnlen(given, sizeof magic));
    return magic == FATBIN_MAGIC ? image : given;
}

const char *standin_kernels_image(void) { return image; }

int standin_write_kernels(const char *path)
{
    FILE *file = fopen(path, "w");
    if (!file)
        return -1;
    bool is_good = fputs(image, file) >= 0;
    return fclose(file) == 0 && is_good ? 0 : -1;
}
