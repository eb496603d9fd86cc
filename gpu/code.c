/* See code.h. */
#include "gpu/code.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gpu/blas.h"
#include "gpu/nvrtc.h"
#include "gpu/way.h"
#include "graph/error.h"
#include "kernels/resident.h"
#include "mem/cluster.h"

enum { MAX_IMAGE = 256 << 20 };

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

static int find_function(struct tgi_cuda *cuda, CUmodule module, const char *symbol, uint32_t device, const struct tgi_code *code,
                         struct tgi_cuda_way *way, struct tg_error *err)
{
    CUresult answer = cuda->api->cuModuleGetFunction(&way->on[device].f, module, symbol);
    if (answer == CUDA_ERROR_NOT_FOUND)
        return tgi_error(err, TG_E_UNKNOWN_KERNEL, "kernel \"%s\": its module has no kernel \"%s\"", code->name, symbol);
    return tgi_cuda_done(cuda, answer, "cuModuleGetFunction", err, "finding \"%s\" of kernel \"%s\" on cuda:%u", symbol,
                         code->name, cuda->base.ordinal[device]);
}

/* More dynamic shared memory than every device gives by itself has to be asked for. */
int tgi_cuda_allow_shared(struct tgi_cuda *cuda, uint32_t device, const struct tgi_code *code, const struct tgi_cuda_way *way,
                          uint32_t bytes, struct tg_error *err)
{
    int limit = cuda->device[device].info->shared_per_block_optin;
    if (bytes <= TGI_DEFAULT_SHARED_BYTES)
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

static int find_helpers(struct tgi_cuda *cuda, struct tgi_cuda_way *way, struct tg_error *err)
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

static struct tgi_cuda_way *way_new(struct tgi_code *code, const struct tgi_variant *variant)
{
    struct tgi_cuda_way *way = &code->ways[code->n_ways++];
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
    struct tgi_cuda_way *way = way_new(code, variant);
    way->blas = call;
    return find_helpers(cuda, way, err);
}

static int resolve_builtin(struct tgi_cuda *cuda, struct tgi_code *code, const struct tgi_variant *variant, int type,
                           struct tg_error *err)
{
    const struct tgi_builtin *builtin = variant->builtin;
    struct tgi_cuda_way *way = way_new(code, variant);
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
            rc = tgi_cuda_allow_shared(cuda, d, code, way, builtin->cuda->max_shared_bytes, err);
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
    int why = errno;
    close(fd);
    if (got < 0) {
        free(bytes);
        return tgi_error_errno(err, TG_E_READ, why, "kernel \"%s\": reading %s", kernel, path);
    }
    if (!bytes) {
        return tgi_error(err, TG_E_READ, "kernel \"%s\": %s cannot be read as a module of at most %d MiB", kernel, path,
                         MAX_IMAGE >> 20);
    }
    *bytes_p = bytes;
    *n_p = n;
    return 0;
}

static int compile(struct tgi_cuda *cuda, const struct tgi_code *code, const struct tgi_cuda_way *way, uint32_t device,
                   unsigned char **bytes_p, size_t *n_p, char **symbol_p, struct tg_error *err)
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

static int load_user(struct tgi_cuda *cuda, const struct tgi_code *code, struct tgi_cuda_way *way, const unsigned char *bytes,
                     size_t n, const char *symbol, struct tg_error *err)
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
    struct tgi_cuda_way *way = way_new(code, v);
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
static int resolve_resident(struct tgi_cuda *cuda, struct tgi_code *code, const struct tgi_variant *v,
                            const struct tgi_space *space, struct tg_error *err)
{
    const struct tgi_cuda_device_info *info = cuda->device[0].info;
    struct tgi_nvrtc_source target = {.cc_major = info->cc_major, .cc_minor = info->cc_minor, .driver_version = cuda->api->version};
    bool is_cached = false;
    if (v->form == TGI_VARIANT_BUILTIN) {
        code->no_resident = "a resident variant is given as source";
        return 0;
    }
    if (code->op->n_params > TGI_RESIDENT_MAX_WORDS) {
        code->no_resident = "it has more arguments than a resident task";
        return 0;
    }
    code->spawns = v->spawns;
    code->is_block = tgi_variant_has_width(v, "block");
    code->is_thread = tgi_variant_has_width(v, "thread");
    if ((code->is_block || code->is_thread) && code->spawns) {
        code->no_resident = "a resident function that makes tasks is a warp wide";
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

static int resolve_residents(struct tgi_cuda *cuda, struct tgi_code *code, const struct tgi_op *owner,
                             const struct tgi_space *space, struct tg_error *err)
{
    for (uint32_t i = 0; i < owner->n_variants; i++)
        if (owner->variants[i].on == TGI_DEVICE_RESIDENT)
            return resolve_resident(cuda, code, &owner->variants[i], space, err);
    return 0;
}

bool tgi_cuda_user_body(const struct tgi_code *code, struct tgi_resident_call *call, const char **why_p)
{
    if (!code->resident && !code->no_resident)
        return false;
    *why_p = code->no_resident;
    call->body = code->resident;
    call->cost_ns = tgi_cuda_body_cost(code->op, call->words, code->is_thread);
    call->spawns = code->spawns;
    call->is_block = code->is_block;
    call->is_thread = code->is_thread;
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

static char *describe(const struct tgi_cuda_way *way, int type)
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

int tgi_cuda_resolve(struct tgi_devices *ds, const struct tg_graph *graph, uint32_t id, struct tgi_code **code_p, char **text_p,
                     struct tg_error *err)
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
