/* Modules, kernels and launches.  A kernel's code is a function that the test registers. */
#include "tests/standin/builtins.h"
#include "tests/standin/internal.h"
#include "tests/standin/object.h"

enum { MAX_NAME = 128, MAX_HELD = 16, ARG_ALIGN = 16 };

struct CUmod_st {
    struct object object;
    CUcontext ctx;
    CUfunction *function;
    char (*name)[MAX_NAME]; /* of functions */
    size_t n_functions;
    struct global {
        char name[MAX_NAME];
        CUdeviceptr ptr;
        size_t size;
    } * global;
    size_t n_globals;
    bool is_of_library;
};
struct CUlib_st {
    struct object object;
    char *image;
    CUmodule module[MAX_DEVICES];
    CUkernel *kernel;
    size_t n_kernels;
};
struct CUkern_st {
    struct object object;
    CUlibrary library;
    char name[MAX_NAME];
};

/* ---- Registered kernels -------------------------------------------------------------------*/

static struct registration {
    struct standin_kernel kernel;
    struct registration *next;
} * registered[1024]; /* by hash of the name, newest first; replaced ones stay, since functions point to them */
static char held[MAX_HELD][MAX_NAME];

/* A module has all built-in kernels, and programs that are tested load one again and again. */
static struct registration **bucket_of(const char *name)
{
    uint32_t hash = 2166136261u;
    for (const char *c = name; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    return &registered[hash % (sizeof registered / sizeof *registered)];
}

int register_locked(const struct standin_kernel *kernel)
{
    struct registration *r = calloc(1, sizeof *r);
    struct standin_param *params = calloc(kernel->n_params + 1, sizeof *params);
    char *name = strdup(kernel->name);
    if (!r || !params || !name) {
        free(r);
        free(params);
        free(name);
        return -1;
    }
    if (kernel->n_params)
        memcpy(params, kernel->params, kernel->n_params * sizeof *params);
    r->kernel = *kernel;
    r->kernel.name = name;
    r->kernel.params = params;
    struct registration **bucket = bucket_of(name);
    r->next = *bucket;
    *bucket = r;
    return 0;
}

int standin_register_kernel(const struct standin_kernel *kernel)
{
    pthread_mutex_lock(&state.lock);
    int rc = register_locked(kernel);
    pthread_mutex_unlock(&state.lock);
    return rc;
}

static const struct standin_kernel *find_kernel(const char *name)
{
    for (struct registration *r = *bucket_of(name); r; r = r->next)
        if (strcmp(r->kernel.name, name) == 0)
            return &r->kernel;
    return NULL;
}

void standin_hold(const char *kernel, bool is_held)
{
    pthread_mutex_lock(&state.lock);
    int room = -1;
    for (int i = 0; i < MAX_HELD; i++) {
        if (strcmp(held[i], kernel) == 0)
            held[i][0] = '\0';
        if (!held[i][0])
            room = i;
    }
    if (is_held && room >= 0)
        snprintf(held[room], MAX_NAME, "%s", kernel);
    else if (is_held)
        violation("more than %d kernels are held", MAX_HELD);
    pthread_cond_broadcast(&state.progress);
    pthread_mutex_unlock(&state.lock);
}

bool is_held(const struct op *op)
{
    for (int i = 0; i < MAX_HELD; i++)
        if (held[i][0] && strcmp(held[i], op->kernel.function->kernel->name) == 0)
            return true;
    return false;
}

/* ---- Images -------------------------------------------------------------------------------*/

static void module_free(CUmodule m)
{
    for (size_t i = 0; i < m->n_functions; i++)
        object_kill(m->function[i]);
    for (size_t i = 0; i < m->n_globals; i++) {
        struct alloc *a = memory_find(m->global[i].ptr);
        if (a)
            memory_free(a);
    }
    free(m->function);
    free(m->name);
    free(m->global);
    m->function = NULL;
    m->name = NULL;
    m->global = NULL;
    m->n_functions = m->n_globals = 0;
    object_kill(m);
}

static CUresult add_function(CUmodule m, const char *name, const char *rest)
{
    CUfunction *functions = realloc(m->function, (m->n_functions + 1) * sizeof *functions);
    if (functions)
        m->function = functions;
    void *names = realloc(m->name, (m->n_functions + 1) * sizeof *m->name);
    if (names)
        m->name = names;
    CUfunction f = functions && names ? object_new(FUNCTION, sizeof *f) : NULL;
    if (!f)
        return CUDA_ERROR_OUT_OF_MEMORY;
    const char *at;
    f->module = m;
    f->registers = (at = strstr(rest, "registers=")) ? atoi(at + 10) : 32;
    f->shared = (at = strstr(rest, "shared=")) ? atoi(at + 7) : 0;
    f->max_threads = (at = strstr(rest, "threads=")) ? atoi(at + 8) : MAX_THREADS;
    f->max_dynamic_shared = MAX_SHARED - f->shared;
    f->kernel = find_kernel(name);
    for (unsigned i = 0; f->kernel && i < f->kernel->n_params; i++)
        f->args_size += (f->kernel->params[i].size_bytes + ARG_ALIGN - 1) / ARG_ALIGN * ARG_ALIGN;
    m->function[m->n_functions] = f;
    snprintf(m->name[m->n_functions++], MAX_NAME, "%s", name);
    return CUDA_SUCCESS;
}

static CUresult add_global(CUmodule m, const char *name, size_t size)
{
    struct global *globals = realloc(m->global, (m->n_globals + 1) * sizeof *globals), *g;
    if (!globals)
        return CUDA_ERROR_OUT_OF_MEMORY;
    m->global = globals;
    g = &globals[m->n_globals];
    CUresult rc = memory_alloc(m->ctx->device, size, false, NULL, &g->ptr);
    if (rc != CUDA_SUCCESS)
        return rc;
    snprintf(g->name, MAX_NAME, "%s", name);
    g->size = size;
    m->n_globals++;
    unsigned char *p;
    struct alloc *a;
    if (memory_span(-1, g->ptr, size, "module", &p, &a)) { /* globals begin as zeros */
        memset(p, 0, size);
        memory_mark_written(a, g->ptr, size);
    }
    return rc;
}

static CUresult module_load(CUcontext ctx, const char *image, bool is_of_library, CUmodule *module_p)
{
    CUresult rc = CUDA_SUCCESS;
    if (!image)
        return CUDA_ERROR_INVALID_VALUE;
    image = image_text(image);
    if (strncmp(image, "standin 1\n", 10) != 0)
        return CUDA_ERROR_INVALID_IMAGE;
    CUmodule m = object_new(MODULE, sizeof *m);
    if (!m)
        return CUDA_ERROR_OUT_OF_MEMORY;
    m->ctx = ctx;
    m->is_of_library = is_of_library;
    for (const char *line = image + 10; *line && rc == CUDA_SUCCESS;) {
        char text[256], name[MAX_NAME];
        size_t n = strcspn(line, "\n"), size;
        int used = 0;
        snprintf(text, sizeof text, "%.*s", (int)n, line);
        const char *code = line + 5;
        line += n + (line[n] == '\n');
        if (strncmp(text, "code ", 5) == 0)
            rc = (CUresult)object_load(code);
        else if (sscanf(text, "kernel %127s%n", name, &used) == 1)
            rc = add_function(m, name, text + used);
        else if (sscanf(text, "global %127s %zu", name, &size) == 2)
            rc = add_global(m, name, size);
        else if (text[0] && text[0] != '#')
            rc = CUDA_ERROR_INVALID_IMAGE;
    }
    if (rc == CUDA_SUCCESS)
        *module_p = m;
    else
        module_free(m);
    return rc;
}

static CUresult get_function(CUmodule m, const char *name, CUfunction *function_p)
{
    for (size_t i = 0; i < m->n_functions; i++)
        if (strcmp(m->name[i], name) == 0) {
            if (!m->function[i]->kernel) {
                violation("kernel %s is in a module, but no function is registered for it", name);
                return CUDA_ERROR_NOT_FOUND;
            }
            *function_p = m->function[i];
            return CUDA_SUCCESS;
        }
    return CUDA_ERROR_NOT_FOUND;
}

static CUresult load_data(CUmodule *module_p, const void *image)
{
    CUcontext c;
    CUresult rc = current_ctx(&c);
    return rc == CUDA_SUCCESS ? module_load(c, image, false, module_p) : rc;
}

CUresult cuModuleLoadData(CUmodule *module_p, const void *image)
{
    BEGIN(cuModuleLoadData);
    return load_data(module_p, image);
}

CUresult cuModuleLoadDataEx(CUmodule *module_p, const void *image, unsigned int n, CUjit_option *options,
                            void **values)
{
    BEGIN(cuModuleLoadDataEx);
    rc = load_data(module_p, image);
    char *log = NULL;
    size_t size = 0;
    for (unsigned i = 0; i < n; i++) {
        if (options[i] == CU_JIT_ERROR_LOG_BUFFER)
            log = values[i];
        if (options[i] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES)
            size = (size_t)(uintptr_t)values[i];
    }
    if (log && size)
        snprintf(log, size, "%s", rc == CUDA_SUCCESS ? "" : "the stand-in cannot read this image");
    return rc;
}

CUresult cuModuleUnload(CUmodule module)
{
    BEGIN_RELEASE(cuModuleUnload);
    if (!is_object(module, MODULE) || module->is_of_library)
        return CUDA_ERROR_INVALID_HANDLE;
    module_free(module);
    DONE(rc);
}

CUresult cuModuleGetFunction(CUfunction *function_p, CUmodule module, const char *name)
{
    BEGIN(cuModuleGetFunction);
    return is_object(module, MODULE) ? get_function(module, name, function_p) : CUDA_ERROR_INVALID_HANDLE;
}

bool module_global(CUmodule module, const char *name, CUdeviceptr *ptr_p, size_t *bytes_p)
{
    for (size_t i = 0; i < module->n_globals; i++)
        if (strcmp(module->global[i].name, name) == 0) {
            if (ptr_p)
                *ptr_p = module->global[i].ptr;
            if (bytes_p)
                *bytes_p = module->global[i].size;
            return true;
        }
    return false;
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr *ptr_p, size_t *bytes_p, CUmodule module, const char *name)
{
    BEGIN(cuModuleGetGlobal_v2);
    if (!is_object(module, MODULE))
        return CUDA_ERROR_INVALID_HANDLE;
    return module_global(module, name, ptr_p, bytes_p) ? rc : CUDA_ERROR_NOT_FOUND;
}

/* ---- Libraries ----------------------------------------------------------------------------*/

CUresult cuLibraryLoadData(CUlibrary *library_p, const void *image, CUjit_option *jit, void **jit_values,
                           unsigned int n_jit, CUlibraryOption *options, void **values, unsigned int n)
{
    (void)jit, (void)jit_values, (void)n_jit, (void)options, (void)values, (void)n;
    BEGIN(cuLibraryLoadData);
    if (!image)
        return CUDA_ERROR_INVALID_VALUE;
    image = image_text(image);
    if (strncmp(image, "standin 1\n", 10) != 0)
        return CUDA_ERROR_INVALID_IMAGE;
    CUlibrary l = object_new(LIBRARY, sizeof *l);
    if (!l)
        return CUDA_ERROR_OUT_OF_MEMORY;
    l->image = strdup(image);
    if (!l->image) {
        object_kill(l);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *library_p = l;
    return rc;
}

static void library_free(CUlibrary l)
{
    for (int d = 0; d < MAX_DEVICES; d++)
        if (l->module[d])
            module_free(l->module[d]);
    for (size_t i = 0; i < l->n_kernels; i++)
        object_kill(l->kernel[i]);
    free(l->kernel);
    free(l->image);
    l->kernel = NULL;
    l->image = NULL;
    object_kill(l);
}

CUresult cuLibraryUnload(CUlibrary library)
{
    BEGIN_RELEASE(cuLibraryUnload);
    if (!is_object(library, LIBRARY))
        return CUDA_ERROR_INVALID_HANDLE;
    library_free(library);
    DONE(rc);
}

CUresult cuLibraryGetKernel(CUkernel *kernel_p, CUlibrary library, const char *name)
{
    char line[MAX_NAME + 16];
    BEGIN(cuLibraryGetKernel);
    if (!is_object(library, LIBRARY))
        return CUDA_ERROR_INVALID_HANDLE;
    int n = snprintf(line, sizeof line, "\nkernel %s", name);
    const char *at = strstr(library->image, line);
    if (!at || !strchr(" \n", at[n]))
        return CUDA_ERROR_NOT_FOUND;
    for (size_t i = 0; i < library->n_kernels; i++)
        if (strcmp(library->kernel[i]->name, name) == 0) {
            *kernel_p = library->kernel[i];
            return rc;
        }
    CUkernel *kernels = realloc(library->kernel, (library->n_kernels + 1) * sizeof *kernels);
    if (kernels)
        library->kernel = kernels;
    CUkernel k = kernels ? object_new(KERNEL, sizeof *k) : NULL;
    if (!k)
        return CUDA_ERROR_OUT_OF_MEMORY;
    k->library = library;
    snprintf(k->name, sizeof k->name, "%s", name);
    library->kernel[library->n_kernels++] = *kernel_p = k;
    return rc;
}

static CUresult kernel_function(CUkernel k, CUfunction *function_p)
{
    CUcontext c;
    CUresult rc = current_ctx(&c);
    if (rc == CUDA_SUCCESS && !k->library->module[c->device])
        rc = module_load(c, k->library->image, true, &k->library->module[c->device]);
    return rc == CUDA_SUCCESS ? get_function(k->library->module[c->device], k->name, function_p) : rc;
}

CUresult cuKernelGetFunction(CUfunction *function_p, CUkernel kernel)
{
    BEGIN(cuKernelGetFunction);
    return is_object(kernel, KERNEL) ? kernel_function(kernel, function_p) : CUDA_ERROR_INVALID_HANDLE;
}

void code_reset(void)
{
    while (state.objects[LIBRARY])
        library_free((CUlibrary)state.objects[LIBRARY]);
    while (state.objects[MODULE])
        module_free((CUmodule)state.objects[MODULE]);
    memset(held, 0, sizeof held);
}

/* ---- Functions ----------------------------------------------------------------------------*/

/* A kernel of a library may stand where a function is wanted. */
static CUresult find_function(CUfunction handle, CUfunction *function_p)
{
    if (is_object(handle, KERNEL))
        return kernel_function((CUkernel)handle, function_p);
    *function_p = handle;
    return is_object(handle, FUNCTION) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuFuncGetAttribute(int *value_p, CUfunction_attribute attribute, CUfunction f)
{
    BEGIN(cuFuncGetAttribute);
    rc = find_function(f, &f);
    if (rc != CUDA_SUCCESS)
        return rc;
    switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
        *value_p = f->max_threads;
        return rc;
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
        *value_p = f->shared;
        return rc;
    case CU_FUNC_ATTRIBUTE_NUM_REGS:
        *value_p = f->registers;
        return rc;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
        *value_p = f->max_dynamic_shared;
        return rc;
    case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES:
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
        *value_p = 0;
        return rc;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
        *value_p = 90;
        return rc;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult cuFuncSetAttribute(CUfunction f, CUfunction_attribute attribute, int value)
{
    BEGIN(cuFuncSetAttribute);
    rc = find_function(f, &f);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (attribute == CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT)
        return rc;
    if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0 ||
        value + f->shared > MAX_SHARED_OPTIN)
        return CUDA_ERROR_INVALID_VALUE;
    f->max_dynamic_shared = value;
    return rc;
}

CUresult cuFuncGetParamInfo(CUfunction f, size_t index, size_t *offset_p, size_t *size_p)
{
    BEGIN(cuFuncGetParamInfo);
    rc = find_function(f, &f);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (index >= f->kernel->n_params)
        return CUDA_ERROR_INVALID_VALUE;
    size_t offset = 0;
    for (size_t i = 0; i <= index; i++) {
        size_t size = f->kernel->params[i].size_bytes, align = 1;
        while (align < 8 && size % (2 * align) == 0)
            align *= 2;
        offset = (offset + align - 1) / align * align;
        if (i < index)
            offset += size;
    }
    *offset_p = offset;
    if (size_p)
        *size_p = f->kernel->params[index].size_bytes;
    return rc;
}

static int occupancy(CUfunction f, int block_size, size_t shared_bytes)
{
    int by_threads = 2048 / block_size, by_registers = 65536 / (f->registers * block_size + 1);
    size_t shared = shared_bytes + (size_t)f->shared;
    int by_shared = shared ? (int)((228u << 10) / shared) : 32, n = 32;
    n = by_threads < n ? by_threads : n;
    n = by_registers < n ? by_registers : n;
    return by_shared < n ? by_shared : n;
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *n_p, CUfunction f, int block_size,
                                                     size_t shared_bytes)
{
    BEGIN(cuOccupancyMaxActiveBlocksPerMultiprocessor);
    rc = find_function(f, &f);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (block_size <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    *n_p = block_size > f->max_threads ? 0 : occupancy(f, block_size, shared_bytes);
    return rc;
}

CUresult cuOccupancyMaxPotentialBlockSize(int *min_grid_p, int *block_p, CUfunction f,
                                          CUoccupancyB2DSize shared, size_t shared_bytes, int limit)
{
    BEGIN(cuOccupancyMaxPotentialBlockSize);
    rc = find_function(f, &f);
    if (rc != CUDA_SUCCESS)
        return rc;
    int block = f->max_threads < 256 ? f->max_threads : 256;
    if (limit > 0 && limit < block)
        block = limit;
    *block_p = block;
    *min_grid_p = N_SMS * occupancy(f, block, shared ? shared(block) : shared_bytes);
    return rc;
}

/* ---- Launches -----------------------------------------------------------------------------*/

size_t function_offset(CUfunction f, unsigned param)
{
    size_t offset = 0;
    for (unsigned i = 0; i < param; i++)
        offset += (f->kernel->params[i].size_bytes + ARG_ALIGN - 1) / ARG_ALIGN * ARG_ALIGN;
    return offset;
}

/* Whether all of its blocks can be there at once. */
bool function_fits(const struct op *op)
{
    uint64_t n_threads = 1, n_blocks = 1;
    for (int i = 0; i < 3; i++) {
        n_threads *= op->kernel.block[i];
        n_blocks *= op->kernel.grid[i];
    }
    return n_blocks <= (uint64_t)(N_SMS * occupancy(op->kernel.function, (int)n_threads, op->kernel.shared_bytes));
}

CUresult function_op(CUfunction f, const unsigned *grid, const unsigned *block, unsigned shared_bytes,
                     bool is_cooperative, void **args, void **extra, struct op *op)
{
    static const unsigned max_grid[3] = {2147483647, 65535, 65535}, max_block[3] = {1024, 1024, 64};
    uint64_t n_threads = 1, n_blocks = 1;
    CUresult rc = find_function(f, &f);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (extra)
        return CUDA_ERROR_NOT_SUPPORTED;
    for (int i = 0; i < 3; i++) {
        if (grid[i] == 0 || grid[i] > max_grid[i] || block[i] == 0 || block[i] > max_block[i])
            return CUDA_ERROR_INVALID_VALUE;
        n_threads *= block[i];
        n_blocks *= grid[i];
    }
    if (n_threads > MAX_THREADS)
        return CUDA_ERROR_INVALID_VALUE;
    if (n_threads > (uint64_t)f->max_threads || n_threads * (uint64_t)f->registers > 65536)
        return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
    if (shared_bytes > (unsigned)f->max_dynamic_shared)
        return CUDA_ERROR_INVALID_VALUE;
    if (is_cooperative && n_blocks > (uint64_t)(N_SMS * occupancy(f, (int)n_threads, shared_bytes)))
        return CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE;
    if (f->kernel->n_params && !args)
        return CUDA_ERROR_INVALID_VALUE;
    *op = (struct op){.kind = OP_KERNEL, .device = f->module->ctx->device};
    op->kernel.function = f;
    memcpy(op->kernel.grid, grid, sizeof op->kernel.grid);
    memcpy(op->kernel.block, block, sizeof op->kernel.block);
    op->kernel.shared_bytes = shared_bytes;
    op->kernel.is_cooperative = is_cooperative;
    op->kernel.args = f->args_size ? calloc(1, f->args_size) : NULL;
    if (f->args_size && !op->kernel.args) {
        op->kind = OP_NOTHING;
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    for (unsigned i = 0; i < f->kernel->n_params; i++)
        memcpy(op->kernel.args + function_offset(f, i), args[i], f->kernel->params[i].size_bytes);
    return CUDA_SUCCESS;
}

static void *access_memory(const struct standin_launch *l, const char *what, uint64_t address, size_t n,
                           bool is_known, enum standin_param_kind kind)
{
    struct alloc *a;
    unsigned char *p;
    if (!memory_span(l->device, address, is_known ? n : 1, what, &p, &a))
        return NULL;
    if (is_known && kind != STANDIN_OUT && !memory_is_written(a, address, n))
        violation("%s, %zu bytes at 0x%llx on device %d: nobody has written all of it", what, n,
                  (unsigned long long)address, l->device);
    if (kind != STANDIN_IN)
        memory_mark_written(a, address, is_known ? n : (size_t)(a->base + a->size - address));
    return p;
}

void *standin_at(const void *launch, CUdeviceptr ptr, size_t n, enum standin_param_kind access)
{
    const struct standin_launch *l = launch;
    char what[MAX_NAME + 32];
    snprintf(what, sizeof what, "an access by kernel %s", l->name);
    return state.sticky == CUDA_SUCCESS ? access_memory(l, what, ptr, n, true, access) : NULL;
}

/* Replaces the device pointers by addresses the function can use; false after a fault. */
static bool translate(const struct standin_kernel *k, const struct standin_launch *l, void **raw, void **args, void **pointers)
{
    for (unsigned i = 0; i < k->n_params; i++) {
        CUdeviceptr address;
        char what[MAX_NAME + 48];
        args[i] = raw[i];
        if (k->params[i].kind == STANDIN_VALUE)
            continue;
        memcpy(&address, raw[i], sizeof address);
        size_t n = k->extent ? k->extent(raw, i, k->user) : 0;
        args[i] = &pointers[i];
        /* Whether a tile is there shows in its address, also where nothing of it is touched; a device's cannot be. */
        pointers[i] = (void *)(uintptr_t)address;
        if (k->extent ? n == 0 : address == 0)
            continue;
        snprintf(what, sizeof what, "parameter %u of kernel %s", i, k->name);
        pointers[i] = access_memory(l, what, address, n, k->extent != NULL, k->params[i].kind);
        if (!pointers[i])
            return false;
    }
    return true;
}

void execute_kernel(struct item *item)
{
    struct op *op = &item->op;
    CUfunction f = op->kernel.function;
    state.stats.n_kernels += !item->was_again;
    if (!is_object(f, FUNCTION)) {
        fault(CUDA_ERROR_ILLEGAL_ADDRESS, "a kernel ran after its module was unloaded");
        return;
    }
    const struct standin_kernel *k = f->kernel;
    struct standin_launch l = {k->name, op->device, {0}, {0}, op->kernel.shared_bytes, k->user, item};
    memcpy(l.grid, op->kernel.grid, sizeof l.grid);
    memcpy(l.block, op->kernel.block, sizeof l.block);
    void *raw[k->n_params + 1], *args[k->n_params + 1], *pointers[k->n_params + 1];
    for (unsigned i = 0; i < k->n_params; i++)
        raw[i] = op->kernel.args + function_offset(f, i);
    if (state.watch && !item->was_again)
        state.watch(state.watch_user, k->name, raw);
    if (!translate(k, &l, raw, args, pointers))
        return;
    int result = k->fn(args, &l);
    if (result)
        fault(result > 0 ? (CUresult)result : CUDA_ERROR_LAUNCH_FAILED, "kernel %s on device %d returned %d",
              k->name, op->device, result);
}

/* lock NULL: the words are as the function takes them. */
static int call_kernel(const struct standin_kernel *k, const struct standin_launch *within, const uint64_t *words, unsigned n_words,
                       pthread_mutex_t *lock)
{
    if (!k || k->n_params != n_words)
        return -1;
    struct standin_launch l = *within;
    void *raw[n_words + 1], *args[n_words + 1], *pointers[n_words + 1];
    l.name = k->name;
    l.user = k->user;
    l.instance = NULL;
    for (unsigned i = 0; i < n_words; i++)
        args[i] = raw[i] = (void *)(uintptr_t)&words[i];
    bool is_good = true;
    if (lock) {
        pthread_mutex_lock(lock);
        is_good = translate(k, &l, raw, args, pointers);
        pthread_mutex_unlock(lock);
    }
    return is_good ? k->fn(args, &l) : -1;
}

int call_registered(const char *name, const struct standin_launch *within, const uint64_t *words, unsigned n_words,
                    pthread_mutex_t *lock)
{
    pthread_mutex_lock(lock);
    const struct standin_kernel *k = find_kernel(name);
    pthread_mutex_unlock(lock);
    return call_kernel(k, within, words, n_words, lock);
}

static const struct standin_kernel *kernel_of_module(CUmodule m, const char *name, pthread_mutex_t *lock)
{
    const struct standin_kernel *k = NULL;
    pthread_mutex_lock(lock);
    for (size_t i = 0; i < m->n_functions; i++)
        if (strcmp(m->name[i], name) == 0)
            k = m->function[i]->kernel;
    pthread_mutex_unlock(lock);
    return k;
}

int call_of_module(CUmodule m, const char *name, const struct standin_launch *within, const uint64_t *words, unsigned n_words,
                   pthread_mutex_t *lock)
{
    return call_kernel(kernel_of_module(m, name, lock), within, words, n_words, lock);
}

int call_as_is(CUmodule m, const char *name, const struct standin_launch *within, const uint64_t *words, unsigned n_words,
               pthread_mutex_t *lock)
{
    return call_kernel(kernel_of_module(m, name, lock), within, words, n_words, NULL);
}

void standin_watch_kernels(void (*fn)(void *user, const char *kernel, void **args), void *user)
{
    pthread_mutex_lock(&state.lock);
    state.watch = fn;
    state.watch_user = user;
    pthread_mutex_unlock(&state.lock);
}

static CUresult launch(CUfunction f, const unsigned *grid, const unsigned *block, unsigned shared_bytes,
                       CUstream handle, bool is_cooperative, void **args, void **extra)
{
    CUstream s;
    struct op op;
    CUresult rc = stream_find(handle, &s);
    if (rc == CUDA_SUCCESS)
        rc = function_op(f, grid, block, shared_bytes, is_cooperative, args, extra, &op);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (op.kernel.function->module->ctx != s->ctx) {
        op_fini(&op);
        return CUDA_ERROR_INVALID_HANDLE; /* a function of another device */
    }
    return stream_enqueue(s, &op);
}

CUresult cuLaunchKernel(CUfunction f, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
                        unsigned int block_x, unsigned int block_y, unsigned int block_z,
                        unsigned int shared_bytes, CUstream stream, void **args, void **extra)
{
    BEGIN(cuLaunchKernel);
    return launch(f, (unsigned[]){grid_x, grid_y, grid_z}, (unsigned[]){block_x, block_y, block_z},
                  shared_bytes, stream, false, args, extra);
}

CUresult cuLaunchKernelEx(const CUlaunchConfig *c, CUfunction f, void **args, void **extra)
{
    bool is_cooperative = false;
    BEGIN(cuLaunchKernelEx);
    for (unsigned i = 0; i < c->numAttrs; i++)
        is_cooperative |= c->attrs[i].id == CU_LAUNCH_ATTRIBUTE_COOPERATIVE && c->attrs[i].value.cooperative;
    return launch(f, (unsigned[]){c->gridDimX, c->gridDimY, c->gridDimZ},
                  (unsigned[]){c->blockDimX, c->blockDimY, c->blockDimZ}, c->sharedMemBytes, c->hStream,
                  is_cooperative, args, extra);
}

CUresult cuLaunchCooperativeKernel(CUfunction f, unsigned int grid_x, unsigned int grid_y,
                                   unsigned int grid_z, unsigned int block_x, unsigned int block_y,
                                   unsigned int block_z, unsigned int shared_bytes, CUstream stream,
                                   void **args)
{
    BEGIN(cuLaunchCooperativeKernel);
    return launch(f, (unsigned[]){grid_x, grid_y, grid_z}, (unsigned[]){block_x, block_y, block_z},
                  shared_bytes, stream, true, args, NULL);
}
