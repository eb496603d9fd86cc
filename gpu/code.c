/* See code.h. */
#include "gpu/code.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gpu/blas.h"
#include "gpu/bodies.h"
#include "gpu/decide.h"
#include "gpu/module.h"
#include "gpu/nvrtc.h"
#include "graph/error.h"
#include "kernels/fault.h"
#include "kernels/launch.h"
#include "kernels/resident.h"
#include "mem/resident_program.h"

enum { DEFAULT_SHARED = 48 << 10, MAX_IMAGE = 256 << 20 };

struct tgi_cuda_code_table {
    struct tgi_cuda_modules *modules;
    struct tgi_cuda_bodies *bodies;
    struct tgi_cuda_code_stats stats;
};

/* One way to execute the operation: a library's call, a built-in kernel, a user's. */
struct way {
    const struct tgi_variant *variant;
    char *text;                    /* for people */
    uint32_t blas;                 /* the library's call; TG_NONE: none */
    struct tgi_launcher *launcher; /* of a built-in kernel; NULL: another's */
    const struct tgi_body_row *body; /* its resident variant; NULL: none */
    struct tgi_cuda_image *image;  /* of a user's */
    int occupancy_block, occupancy_grid;
    struct {
        CUfunction f;
        struct tgi_cuda_helpers helpers; /* of the library's call */
    } on[TGI_MAX_DEVICES];
};

struct tgi_code {
    const char *name; /* the kernel's, of the graph */
    const struct tgi_op *op;
    uint64_t ints;    /* bit i: parameter i is an integer, which expressions may name */
    uint32_t resident;          /* the number of its resident function (bodies.h); 0: it has none that can be used, */
    const char *no_resident;    /* and why, where the graph names one; a constant */
    uint32_t n_ways;
    struct way ways[TGI_MAX_WAYS]; /* as the graph names them; a library's call stands after the built-in kernel it is for */
};

/* ---- The table ----------------------------------------------------------------------------*/

int tgi_cuda_code_table_create(struct tgi_cuda *cuda, struct tgi_cuda_code_table **table_p, struct tg_error *err)
{
    struct tgi_cuda_code_table *t = calloc(1, sizeof *t);
    if (!t)
        return tgi_error_memory(err, "keeping kernels");
    int rc = tgi_cuda_modules_create(cuda, &t->modules, err);
    if (rc == 0 && !(t->bodies = tgi_cuda_bodies_new())) {
        tgi_cuda_modules_destroy(cuda, t->modules);
        rc = tgi_error_memory(err, "keeping kernels");
    }
    if (rc) {
        free(t);
        return rc;
    }
    *table_p = t;
    return 0;
}

void tgi_cuda_code_table_destroy(struct tgi_cuda *cuda, struct tgi_cuda_code_table *t)
{
    if (!t)
        return;
    tgi_cuda_modules_destroy(cuda, t->modules);
    tgi_cuda_bodies_destroy(t->bodies);
    free(t);
}

struct tgi_cuda_modules *tgi_cuda_code_modules(const struct tgi_cuda *cuda) { return cuda->code->modules; }
struct tgi_cuda_bodies *tgi_cuda_code_bodies(const struct tgi_cuda *cuda) { return cuda->code->bodies; }

void tgi_cuda_code_count(struct tgi_cuda *cuda, bool is_cached)
{
    *(is_cached ? &cuda->code->stats.n_cached : &cuda->code->stats.n_compiled) += 1;
}

void tgi_cuda_code_stats(const struct tgi_cuda *cuda, struct tgi_cuda_code_stats *stats_p)
{
    *stats_p = cuda->code->stats;
}

/* ---- Built-in kernels ---------------------------------------------------------------------*/

static int find_function(struct tgi_cuda *cuda, CUmodule module, const char *symbol, uint32_t device,
                         const struct tgi_code *code, struct way *way, struct tg_error *err)
{
    CUresult answer = cuda->api->cuModuleGetFunction(&way->on[device].f, module, symbol);
    if (answer == CUDA_ERROR_NOT_FOUND)
        return tgi_error(err, TG_E_UNKNOWN_KERNEL, "kernel \"%s\": its module has no kernel \"%s\"", code->name, symbol);
    return tgi_cuda_done(cuda, answer, "cuModuleGetFunction", err, "finding \"%s\" of kernel \"%s\" on cuda:%u", symbol,
                         code->name, cuda->base.ordinal[device]);
}

/* More dynamic shared memory than every device gives by itself has to be asked for. */
static int allow_shared(struct tgi_cuda *cuda, uint32_t device, const struct tgi_code *code, const struct way *way, uint32_t bytes,
                        struct tg_error *err)
{
    int limit = cuda->device[device].info->shared_per_block_optin;
    if (bytes <= DEFAULT_SHARED)
        return 0;
    if (bytes > (uint32_t)limit)
        return tgi_error(err, TG_E_UNSUPPORTED, "kernel \"%s\" needs %u bytes of shared memory, cuda:%u has %d for a block",
                         code->name, bytes, cuda->base.ordinal[device], limit);
    return TGI_CUDA_DO(cuda, err, cuFuncSetAttribute, (way->on[device].f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, (int)bytes),
                       "asking cuda:%u for %u bytes of shared memory for kernel \"%s\"", cuda->base.ordinal[device], bytes,
                       code->name);
}

static bool use_libraries(void)
{
    const char *wish = getenv("TGRAPH_BLAS");
    return !wish || strcmp(wish, "off") != 0;
}

/* name NULL: none is needed. */
static int find_helper(struct tgi_cuda *cuda, CUmodule module, const char *name, uint32_t device, CUfunction *f_p,
                       struct tg_error *err)
{
    return name ? TGI_CUDA_DO(cuda, err, cuModuleGetFunction, (f_p, module, name), "finding \"%s\" on cuda:%u", name,
                              cuda->base.ordinal[device])
                : 0;
}

static int find_helpers(struct tgi_cuda *cuda, struct way *way, struct tg_error *err)
{
    struct tgi_cuda_helper_names names = tgi_cuda_blas_helpers(way->blas);
    CUmodule module;
    int rc = 0;
    for (uint32_t d = 0; rc == 0 && d < cuda->base.n_devices; d++) {
        rc = tgi_cuda_modules_builtin(cuda, cuda->code->modules, d, &module, err);
        if (rc == 0)
            rc = find_helper(cuda, module, names.report, d, &way->on[d].helpers.report, err);
        if (rc == 0)
            rc = find_helper(cuda, module, names.transpose, d, &way->on[d].helpers.transpose, err);
        if (rc == 0)
            rc = find_helper(cuda, module, names.invert, d, &way->on[d].helpers.invert, err);
    }
    return rc;
}

static struct way *way_new(struct tgi_code *code, const struct tgi_variant *variant)
{
    struct way *way = &code->ways[code->n_ways++];
    way->variant = variant;
    way->blas = TG_NONE;
    return way;
}

/* The library's call for a built-in kernel is a way of its own.  A library that is not installed is no loss: our own
 * kernels are there. */
static int resolve_library(struct tgi_cuda *cuda, struct tgi_code *code, const struct tgi_variant *variant, enum tg_dtype type,
                           struct tg_error *err)
{
    uint32_t call = tgi_cuda_blas_find(variant->builtin->name, type);
    if (call == TG_NONE || code->n_ways == TGI_MAX_WAYS || tgi_cuda_blas_load(cuda, call, NULL))
        return 0;
    struct way *way = way_new(code, variant);
    way->blas = call;
    return find_helpers(cuda, way, err);
}

static int resolve_builtin(struct tgi_cuda *cuda, struct tgi_code *code, const struct tgi_variant *variant, int type,
                           struct tg_error *err)
{
    const struct tgi_builtin *builtin = variant->builtin;
    struct way *way = way_new(code, variant);
    CUmodule module;
    enum tg_dtype t = type >= 0 ? (enum tg_dtype)type : TG_F32;
    int rc = tgi_launcher_create(builtin, t, &way->launcher);
    if (rc)
        return rc == TG_E_NO_MEMORY ? tgi_error_memory(err, "finding a kernel")
                                    : tgi_error(err, rc, "kernel \"%s\" has no variant for GPUs", code->name);
    way->body = tgi_body_row(tgi_launcher_symbol(way->launcher));
    for (uint32_t d = 0; rc == 0 && d < cuda->base.n_devices; d++) {
        rc = tgi_cuda_modules_builtin(cuda, cuda->code->modules, d, &module, err);
        if (rc == 0)
            rc = tgi_cuda_enter(cuda, d, err);
        if (rc == 0)
            rc = find_function(cuda, module, tgi_launcher_symbol(way->launcher), d, code, way, err);
        if (rc == 0)
            rc = allow_shared(cuda, d, code, way, builtin->cuda->max_shared_bytes, err);
    }
    if (rc == 0 && use_libraries())
        rc = resolve_library(cuda, code, variant, t, err);
    return rc;
}

/* ---- Users' kernels -----------------------------------------------------------------------*/

/* Beneath the graph's folder; the system itself sees to that, links included. */
static int open_image(const char *kernel, const char *folder, const char *path, int *fd_p, struct tg_error *err)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    if (!folder) {
        *fd_p = open(path, O_RDONLY | O_CLOEXEC);
    } else {
        int at = open(folder[0] ? folder : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        *fd_p = at < 0 ? -1 : (int)syscall(SYS_openat2, at, path, &how, sizeof how);
        int why = errno;
        if (at >= 0)
            close(at);
        errno = why;
    }
    if (*fd_p >= 0)
        return 0;
    return tgi_error_errno(err, errno == EXDEV ? TG_E_PATH_ESCAPE : TG_E_OPEN, errno, "kernel \"%s\": %s", kernel, path);
}

static int read_image(const char *kernel, const char *folder, const char *path, unsigned char **bytes_p, size_t *n_p,
                      struct tg_error *err)
{
    struct stat s;
    int fd, rc = open_image(kernel, folder, path, &fd, err);
    if (rc)
        return rc;
    unsigned char *bytes = NULL;
    if (fstat(fd, &s) == 0 && S_ISREG(s.st_mode) && s.st_size <= MAX_IMAGE)
        bytes = malloc((size_t)s.st_size + 1);
    size_t n = 0;
    ssize_t got = 1;
    while (bytes && got > 0 && n < (size_t)s.st_size) {
        got = read(fd, bytes + n, (size_t)s.st_size - n);
        n += got > 0 ? (size_t)got : 0;
    }
    close(fd);
    if (!bytes || got < 0) {
        free(bytes);
        return tgi_error(err, TG_E_READ, "kernel \"%s\": %s cannot be read as a module of at most %d MiB", kernel, path,
                         MAX_IMAGE >> 20);
    }
    *bytes_p = bytes;
    *n_p = n;
    return 0;
}

static int compile(struct tgi_cuda *cuda, const struct tgi_code *code, const struct way *way, uint32_t device, unsigned char **bytes_p, size_t *n_p,
                   char **symbol_p, struct tg_error *err)
{
    const struct tgi_cuda_device_info *info = cuda->device[device].info;
    const struct tgi_variant *v = way->variant;
    struct tgi_nvrtc_source source = {.kernel = code->name, .text = v->text, .options = v->options,
                                      .entry = v->entry ? v->entry : code->name, .cc_major = info->cc_major,
                                      .cc_minor = info->cc_minor, .driver_version = cuda->api->version};
    bool is_cached = false;
    int rc = tgi_nvrtc_compile(&source, bytes_p, n_p, symbol_p, &is_cached, err);
    if (rc == 0)
        tgi_cuda_code_count(cuda, is_cached);
    return rc;
}

/* Number and sizes of the parameters, as far as the driver can tell them. */
static int check_signature(struct tgi_cuda *cuda, const struct tgi_code *code, CUfunction f, struct tg_error *err)
{
    size_t offset, size;
    uint32_t n = code->op->n_params;
    if (!cuda->api->cuFuncGetParamInfo)
        return 0;
    for (uint32_t i = 0; i < n; i++) {
        CUresult answer = cuda->api->cuFuncGetParamInfo(f, i, &offset, &size);
        if (answer == CUDA_ERROR_INVALID_VALUE)
            return tgi_error(err, TG_E_SIGNATURE, "kernel \"%s\" takes %u arguments, the graph declares %u", code->name, i, n);
        int rc = tgi_cuda_done(cuda, answer, "cuFuncGetParamInfo", err, "asking for argument %u of kernel \"%s\"", i, code->name);
        if (rc)
            return rc;
        const struct tgi_param *p = &code->op->params[i];
        size_t declared = p->access == TG_SCALAR ? tg_dtype_size((enum tg_dtype)p->dtype) : sizeof(CUdeviceptr);
        if (size != declared)
            return tgi_error(err, TG_E_SIGNATURE, "kernel \"%s\": its argument %u, \"%s\", has %zu bytes, the graph declares %zu",
                             code->name, i, p->name, size, declared);
    }
    CUresult answer = cuda->api->cuFuncGetParamInfo(f, n, &offset, &size);
    if (answer == CUDA_SUCCESS)
        return tgi_error(err, TG_E_SIGNATURE, "kernel \"%s\" takes more than the %u arguments that the graph declares",
                         code->name, n);
    if (answer == CUDA_ERROR_INVALID_VALUE) /* there is none */
        return 0;
    return tgi_cuda_done(cuda, answer, "cuFuncGetParamInfo", err, "asking for argument %u of kernel \"%s\"", n, code->name);
}

static int load_user(struct tgi_cuda *cuda, const struct tgi_code *code, struct way *way, const unsigned char *bytes, size_t n,
                     const char *symbol, struct tg_error *err)
{
    struct tgi_cuda_modules *modules = cuda->code->modules;
    CUmodule module;
    int rc = tgi_cuda_image_retain(modules, bytes, n, &way->image, err);
    for (uint32_t d = 0; rc == 0 && d < cuda->base.n_devices; d++) {
        rc = tgi_cuda_image_load(cuda, modules, way->image, d, code->name, &module, err);
        if (rc == 0)
            rc = find_function(cuda, module, symbol, d, code, way, err);
    }
    if (rc == 0)
        rc = check_signature(cuda, code, way->on[0].f, err);
    if (rc == 0)
        rc = TGI_CUDA_DO(cuda, err, cuOccupancyMaxPotentialBlockSize,
                         (&way->occupancy_grid, &way->occupancy_block, way->on[0].f, NULL, 0, 0),
                         "choosing a block size for kernel \"%s\"", code->name);
    return rc;
}

/* All devices of a run have one architecture as a rule; where they differ the first one's code must do. */
static int resolve_user(struct tgi_cuda *cuda, struct tgi_code *code, const struct tgi_variant *v, const struct tgi_space *space,
                        struct tg_error *err)
{
    struct way *way = way_new(code, v);
    unsigned char *bytes = NULL;
    char *symbol = NULL;
    size_t n = 0;
    int rc;
    if (v->form == TGI_VARIANT_SOURCE) {
        rc = compile(cuda, code, way, 0, &bytes, &n, &symbol, err);
    } else {
        rc = read_image(code->name, space->folder, v->path, &bytes, &n, err);
        symbol = strdup(v->entry ? v->entry : code->name);
        if (rc == 0 && !symbol)
            rc = tgi_error_memory(err, "loading a kernel");
    }
    if (rc == 0)
        rc = load_user(cuda, code, way, bytes, n, symbol, err);
    free(bytes);
    free(symbol);
    return rc;
}

/* ---- Resident functions -------------------------------------------------------------------*/

/* One that cannot be compiled is an error, as with any source; where there is no compiler the kernel is launched as ever. */
static int resolve_resident(struct tgi_cuda *cuda, struct tgi_code *code, const struct tgi_variant *v, const struct tgi_space *space,
                            struct tg_error *err)
{
    const struct tgi_cuda_device_info *info = cuda->device[0].info;
    struct tgi_nvrtc_source target = {.cc_major = info->cc_major, .cc_minor = info->cc_minor, .driver_version = cuda->api->version};
    bool is_cached = false;
    if (v->form == TGI_VARIANT_BUILTIN) {
        code->no_resident = "a resident variant is given as source";
        return 0;
    }
    if (v->width && strcmp(v->width, "warp") != 0) {
        code->no_resident = "resident functions are a warp wide";
        return 0;
    }
    if (code->op->n_params > TGI_RESIDENT_MAX_WORDS) {
        code->no_resident = "it has more arguments than a resident task";
        return 0;
    }
    int rc = tgi_cuda_bodies_add(cuda->code->bodies, code->op, v, &target, &code->resident, &is_cached, err);
    if (rc == 0)
        tgi_cuda_code_count(cuda, is_cached);
    else if (rc == TG_E_NO_LIBRARY) {
        code->no_resident = "compiling its resident function needs NVRTC";
        return 0;
    } else
        tgi_variant_set_position(space, v, err);
    return rc;
}

static int resolve_residents(struct tgi_cuda *cuda, struct tgi_code *code, const struct tgi_op *owner, const struct tgi_space *space,
                             struct tg_error *err)
{
    for (uint32_t i = 0; i < owner->n_variants; i++)
        if (owner->variants[i].on == TGI_DEVICE_RESIDENT)
            return resolve_resident(cuda, code, &owner->variants[i], space, err);
    return 0;
}

bool tgi_cuda_user_body(const struct tgi_code *code, const uint64_t *words, uint32_t *body_p, float *cost_ns_p, const char **why_p)
{
    if (!code->resident && !code->no_resident)
        return false;
    *why_p = code->no_resident;
    *body_p = code->resident;
    *cost_ns_p = tgi_cuda_body_cost(code->op, words);
    return true;
}

/* ---- Resolving ----------------------------------------------------------------------------*/

static const struct tgi_variant *find_variant(const struct tgi_op *owner)
{
    for (uint32_t i = 0; i < owner->n_variants; i++)
        if (owner->variants[i].on == TGI_DEVICE_CUDA)
            return &owner->variants[i];
    /* A kernel that is a built-in one runs wherever that does. */
    for (uint32_t i = 0; i < owner->n_variants; i++)
        if (owner->variants[i].form == TGI_VARIANT_BUILTIN && owner->n_variants == 1 && owner->variants[i].builtin->cuda)
            return &owner->variants[i];
    return NULL;
}

bool tgi_cuda_has_variant(const struct tgi_space *space, const struct tgi_op *op)
{
    const struct tgi_variant *v = find_variant(op->generic == TG_NONE ? op : &space->ops[op->generic]);
    return v && (v->form != TGI_VARIANT_BUILTIN || tgi_cuda_modules_has_builtin());
}

static char *describe(const struct way *way, int type)
{
    const struct tgi_variant *v = way->variant;
    char *text = NULL;
    int n;
    if (way->blas != TG_NONE)
        n = asprintf(&text, "%s", tgi_cuda_blas_name(way->blas));
    else if (way->launcher)
        n = asprintf(&text, "cuda builtin %s%s%s", v->builtin->name, type >= 0 ? " " : "",
                     type >= 0 ? tg_dtype_name((enum tg_dtype)type) : "");
    else
        n = asprintf(&text, "cuda %s%s%s%s%s", v->form == TGI_VARIANT_SOURCE ? "source" : "binary", v->path ? " " : "",
                     v->path ? v->path : "", v->entry ? " " : "", v->entry ? v->entry : "");
    return n < 0 ? NULL : text;
}

static int resolve_variant(struct tgi_cuda *cuda, struct tgi_code *code, const struct tgi_variant *v,
                           const struct tgi_space *space, struct tg_error *err)
{
    uint32_t first = code->n_ways;
    int rc = v->form == TGI_VARIANT_BUILTIN ? resolve_builtin(cuda, code, v, code->op->type_t, err)
                                            : resolve_user(cuda, code, v, space, err);
    for (uint32_t i = first; rc == 0 && i < code->n_ways; i++)
        if (!(code->ways[i].text = describe(&code->ways[i], code->op->type_t)))
            rc = tgi_error_memory(err, "finding a kernel");
    if (rc)
        tgi_variant_set_position(space, v, err);
    return rc;
}

/* All variants for CUDA devices, the first `first`. */
static int resolve_variants(struct tgi_cuda *cuda, struct tgi_code *code, const struct tgi_op *owner,
                            const struct tgi_variant *first, const struct tgi_space *space, struct tg_error *err)
{
    int rc = resolve_variant(cuda, code, first, space, err);
    for (const struct tgi_variant *v = first + 1; rc == 0 && v < owner->variants + owner->n_variants; v++)
        if (v->on == TGI_DEVICE_CUDA && code->n_ways < TGI_MAX_WAYS)
            rc = resolve_variant(cuda, code, v, space, err);
    return rc;
}

/* What is most likely to be used, for people who have no arguments. */
static const char *usual_text(const struct tgi_code *code)
{
    return code->n_ways > 1 && code->ways[1].blas != TG_NONE ? code->ways[1].text : code->ways[0].text;
}

int tgi_cuda_resolve(struct tgi_devices *ds, const struct tg_graph *graph, uint32_t id, struct tgi_code **code_p,
                     char **text_p, struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    const struct tgi_space *space = graph->space;
    const struct tgi_op *op = &space->ops[id], *owner = op->generic == TG_NONE ? op : &space->ops[op->generic];
    const struct tgi_variant *v = find_variant(owner);
    if (!v)
        return tgi_error(err, TG_E_NO_VARIANT, "kernel \"%s\" has no variant for CUDA devices", op->name);
    struct tgi_code *code = calloc(1, sizeof *code);
    if (!code)
        return tgi_error_memory(err, "finding a kernel");
    code->name = op->name;
    code->op = op;
    for (uint32_t i = 0; i < op->n_params; i++)
        if (op->params[i].access == TG_SCALAR)
            code->ints |= (uint64_t)1 << i;
    int rc = resolve_variants(cuda, code, owner, v, space, err);
    if (rc == 0)
        rc = resolve_residents(cuda, code, owner, space, err);
    if (rc == 0 && !(*text_p = strdup(usual_text(code))))
        rc = tgi_error_memory(err, "finding a kernel");
    if (rc) {
        tgi_cuda_unresolve(ds, code);
        return rc;
    }
    *code_p = code;
    return 0;
}

void tgi_cuda_unresolve(struct tgi_devices *ds, struct tgi_code *code)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    if (!code)
        return;
    for (uint32_t i = 0; i < code->n_ways; i++) {
        if (code->ways[i].image)
            tgi_cuda_image_release(cuda, cuda->code->modules, code->ways[i].image);
        tgi_launcher_destroy(code->ways[i].launcher);
        free(code->ways[i].text);
    }
    free(code);
}

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
        return tgi_error(err, TG_E_EXPR_VALUE, "kernel \"%s\": its %s is %lld", code->name, what, (long long)value);
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

static int check_shape(const struct tgi_cuda *cuda, const struct tgi_code *code, const struct tgi_shape *s,
                       struct tg_error *err)
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

static int user_shape(struct tgi_cuda *cuda, const struct tgi_code *code, const struct way *way, void *const *args,
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
    for (uint32_t d = 0; rc == 0 && s->shared_bytes > DEFAULT_SHARED && d < cuda->base.n_devices; d++) {
        rc = tgi_cuda_enter(cuda, d, err);
        if (rc == 0)
            rc = allow_shared(cuda, d, code, way, s->shared_bytes, err);
    }
    return rc;
}

int tgi_cuda_shape_way(struct tgi_devices *ds, struct tgi_code *code, uint32_t i, void *const *args, struct tgi_shape *s,
                       struct tg_error *err)
{
    const struct way *way = &code->ways[i];
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

int tgi_cuda_shape(struct tgi_devices *ds, struct tgi_code *code, void *const *args, struct tgi_shape *s,
                   struct tg_error *err)
{
    uint32_t ways[TGI_MAX_WAYS];
    tgi_cuda_ways(ds, code, args, ways);
    return tgi_cuda_shape_way(ds, code, ways[0], args, s, err);
}

/* ---- Launching ----------------------------------------------------------------------------*/

static int launch_cluster(struct tgi_cuda *cuda, uint32_t lane, const struct tgi_code *code, const struct tgi_shape *s,
                          void **args, struct tg_error *err)
{
    CUlaunchAttribute attribute = {.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION};
    attribute.value.clusterDim.x = s->cluster[0];
    attribute.value.clusterDim.y = s->cluster[1];
    attribute.value.clusterDim.z = s->cluster[2];
    CUlaunchConfig config = {.gridDimX = s->grid[0], .gridDimY = s->grid[1], .gridDimZ = s->grid[2],
                             .blockDimX = s->block[0], .blockDimY = s->block[1], .blockDimZ = s->block[2],
                             .sharedMemBytes = s->shared_bytes, .hStream = tgi_cuda_stream(cuda, lane),
                             .attrs = &attribute, .numAttrs = 1};
    return TGI_CUDA_DO(cuda, err, cuLaunchKernelEx, (&config, code->ways[s->alternative].on[tgi_lane_device(lane)].f, args, NULL),
                       "launching kernel \"%s\" on cuda:%u", code->name, cuda->base.ordinal[tgi_lane_device(lane)]);
}

int tgi_cuda_launch(struct tgi_devices *ds, uint32_t lane, struct tgi_code *code, const struct tgi_shape *s, void **args,
                    struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    uint32_t device = tgi_lane_device(lane);
    int rc = tgi_cuda_enter(cuda, device, err);
    if (rc)
        return rc;
    const struct way *way = &code->ways[s->alternative];
    if (way->blas != TG_NONE)
        return tgi_cuda_blas_call(cuda, lane, way->blas, args, &way->on[device].helpers, err);
    if (s->cluster[0])
        return launch_cluster(cuda, lane, code, s, args, err);
    CUresult answer = cuda->api->cuLaunchKernel(way->on[device].f, s->grid[0], s->grid[1], s->grid[2], s->block[0],
                                                s->block[1], s->block[2], s->shared_bytes, tgi_cuda_stream(cuda, lane),
                                                args, NULL);
    if (__builtin_expect(answer == CUDA_SUCCESS, 1))
        return 0;
    return tgi_cuda_done(cuda, answer, "cuLaunchKernel", err, "launching kernel \"%s\" on cuda:%u", code->name,
                         ds->ordinal[device]);
}

bool tgi_cuda_shares_lane(struct tgi_devices *ds, const struct tgi_code *code, const struct tgi_shape *s)
{
    (void)ds;
    return code->ways[s->alternative].blas != TG_NONE;
}

CUfunction tgi_cuda_single_launch(const struct tgi_code *code, const struct tgi_shape *s, uint32_t device)
{
    const struct way *way = &code->ways[s->alternative];
    return way->blas != TG_NONE || s->cluster[0] ? NULL : way->on[device].f;
}

int tgi_cuda_decide_function(struct tgi_cuda *cuda, uint32_t device, CUfunction *function_p, struct tg_error *err)
{
    return tgi_cuda_modules_in_graphs(cuda, cuda->code->modules, device, TGI_DECIDE_KERNEL, function_p, err);
}

int tgi_cuda_stamp_function(struct tgi_cuda *cuda, uint32_t device, CUfunction *function_p, struct tg_error *err)
{
    return tgi_cuda_modules_in_graphs(cuda, cuda->code->modules, device, TGI_STAMP_KERNEL, function_p, err);
}

const struct tgi_body_row *tgi_cuda_body(const struct tgi_code *code, const struct tgi_shape *s)
{
    const struct way *way = &code->ways[s->alternative];
    return way->blas != TG_NONE ? way[-1].body : way->body; /* which it stands after */
}

/* ---- Faults -------------------------------------------------------------------------------*/

static void describe_fault(const struct tgi_fault *f, char *text, size_t size)
{
    switch (f->kind) {
    case TGI_FAULT_NOT_POSITIVE:
        if (isnan(f->x)) /* a library does not tell */
            snprintf(text, size, "pivot %lld of %lld is not positive: the matrix is not positive definite", (long long)f->a,
                     (long long)f->b);
        else
            snprintf(text, size, "pivot %lld of %lld is %g: the matrix is not positive definite", (long long)f->a,
                     (long long)f->b, f->x);
        break;
    case TGI_FAULT_NO_LU:
        snprintf(text, size, "pivot %lld of %lld is %g: there is no LU factorisation without pivoting", (long long)f->a,
                 (long long)f->b, f->x);
        break;
    case TGI_FAULT_HISTOGRAM:
        snprintf(text, size, "a histogram of %lld bins over [%g, %g] is not possible", (long long)f->a, f->x, f->y);
        break;
    case TGI_FAULT_FFT_SIZE:
        snprintf(text, size, "the length %lld of an FFT is not a power of two", (long long)f->a);
        break;
    case TGI_FAULT_TWIDDLE:
        snprintf(text, size, "the total length %lld is not positive", (long long)f->a);
        break;
    case TGI_FAULT_TRSV_DIAGONAL:
        snprintf(text, size, "the diagonal of row %lld of %lld is %g", (long long)f->a, (long long)f->b, f->x);
        break;
    case TGI_FAULT_TRSV_ENTRIES:
        snprintf(text, size, "entries of row %lld of %lld name no element of the task", (long long)f->a, (long long)f->b);
        break;
    default:
        snprintf(text, size, "the length %lld is not positive", (long long)f->a);
    }
}

int tgi_cuda_fault(struct tgi_devices *ds, uint32_t device, uint64_t *address_p, uint32_t *n_p, char *text, size_t size,
                   struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    CUdeviceptr at = tgi_cuda_modules_fault(cuda->code->modules, device);
    struct tgi_fault fault;
    static const struct tgi_fault none;
    if (!at)
        return 0;
    int rc = tgi_cuda_enter(cuda, device, err);
    if (rc == 0)
        rc = TGI_CUDA_DO(cuda, err, cuMemcpyDtoH, (&fault, at, sizeof fault), "reading the record of faults of cuda:%u",
                         ds->ordinal[device]);
    if (rc == 0 && fault.kind < 0) { /* a kernel of another run is writing it */
        rc = TGI_CUDA_DO(cuda, err, cuCtxSynchronize, (), "waiting for cuda:%u", ds->ordinal[device]);
        if (rc == 0)
            rc = TGI_CUDA_DO(cuda, err, cuMemcpyDtoH, (&fault, at, sizeof fault), "reading the record of faults of cuda:%u",
                             ds->ordinal[device]);
    }
    if (rc || fault.kind == TGI_FAULT_NONE)
        return rc;
    rc = TGI_CUDA_DO(cuda, err, cuMemcpyHtoD, (at, &none, sizeof none), "clearing the record of faults of cuda:%u",
                     ds->ordinal[device]);
    if (rc)
        return rc;
    describe_fault(&fault, text, size);
    *address_p = fault.tile;
    *n_p = fault.n;
    return 1;
}
