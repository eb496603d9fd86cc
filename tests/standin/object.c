/* Code made by the stand-in NVRTC: a kernel runs thread by thread.  In an object that synchronises, the
 * threads of a block are fibers: each runs until it waits, and a barrier opens when every thread of its
 * block, or warp, that has not returned waits at it. */
#include "tests/standin/object.h"

#include <errno.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "tests/standin/internal.h"
#include "tests/standin/resident.h"

enum { STACK_BYTES = 64 << 10, POISON = 0xa5 };
enum fiber_state { RUNNING, AT_BLOCK, AT_WARP, RETURNED };

struct object_code {
    struct object_code *next;
    uint64_t hash;
    size_t size;
    void *handle;
    struct standin_thread **self;
    void (**barrier)(int is_warp);
    unsigned long long *(**exchange)(unsigned long long value, unsigned *alive_p);
    unsigned char *shared;
    bool has_barriers;
    const struct standin_code *table;
    unsigned n;
};
struct object_kernel {
    const struct object_code *object;
    const struct standin_code *code;
};

static struct object_code *objects;

/* ---- Fibers -------------------------------------------------------------------------------
 *
 * Nothing here is instrumented: sanitizers do not follow the change of stacks. */
#define UNSEEN __attribute__((no_sanitize("address", "thread", "undefined")))

struct fiber {
    ucontext_t context;
    enum fiber_state state;
    struct standin_thread thread;
};
static struct {
    struct fiber *fiber;
    unsigned n, current;
    unsigned char *stacks;
    ucontext_t scheduler;
    const struct object_kernel *kernel;
    void **args;
    unsigned long long exchanged[MAX_THREADS / STANDIN_WARP][STANDIN_WARP];
} block;

UNSEEN static void fiber_main(void)
{
    block.kernel->code->call(block.args);
    block.fiber[block.current].state = RETURNED;
    swapcontext(&block.fiber[block.current].context, &block.scheduler);
}

UNSEEN static void barrier(int is_warp)
{
    struct fiber *f = &block.fiber[block.current];
    f->state = is_warp ? AT_WARP : AT_BLOCK;
    swapcontext(&f->context, &block.scheduler);
}

UNSEEN static unsigned long long *exchange(unsigned long long value, unsigned *alive_p)
{
    const struct standin_thread *t = &block.fiber[block.current].thread;
    block.exchanged[t->warp][t->lane] = value;
    barrier(1);
    *alive_p = 0;
    for (unsigned i = t->warp * STANDIN_WARP, n = 0; n < STANDIN_WARP && i + n < block.n; n++)
        *alive_p |= (unsigned)(block.fiber[i + n].state != RETURNED) << n;
    return block.exchanged[t->warp];
}

/* Opens a barrier of these fibers; true if there was one. */
UNSEEN static bool release(unsigned first, unsigned end, enum fiber_state at)
{
    unsigned n_waiting = 0;
    for (unsigned i = first; i < end; i++) {
        n_waiting += block.fiber[i].state == at;
        if (block.fiber[i].state != at && block.fiber[i].state != RETURNED)
            return false;
    }
    for (unsigned i = first; i < end; i++)
        if (block.fiber[i].state == at)
            block.fiber[i].state = RUNNING;
    return n_waiting > 0;
}

/* False: threads wait, and no barrier can open. */
UNSEEN static bool run_fibers(void)
{
    for (;;) {
        unsigned n_returned = 0;
        for (unsigned i = 0; i < block.n; i++) {
            struct fiber *f = &block.fiber[i];
            if (f->state == RUNNING) {
                block.current = i;
                *block.kernel->object->self = &f->thread;
                swapcontext(&block.scheduler, &f->context);
            }
            n_returned += f->state == RETURNED;
        }
        if (n_returned == block.n)
            return true;
        bool is_open = release(0, block.n, AT_BLOCK);
        for (unsigned i = 0; i < block.n; i += STANDIN_WARP)
            is_open |= release(i, i + STANDIN_WARP < block.n ? i + STANDIN_WARP : block.n, AT_WARP);
        if (!is_open)
            return false;
    }
}

static void fiber_start(struct fiber *f, unsigned char *stack)
{
    f->state = RUNNING;
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = stack;
    f->context.uc_stack.ss_size = STACK_BYTES;
    f->context.uc_link = NULL;
    makecontext(&f->context, fiber_main, 0);
}

static bool fibers_ready(void)
{
    size_t bytes = (size_t)MAX_THREADS * STACK_BYTES;
    if (block.stacks)
        return true;
    struct fiber *fiber = calloc(MAX_THREADS, sizeof *fiber);
    void *stacks =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!fiber || stacks == MAP_FAILED) {
        free(fiber);
        return false;
    }
    block.fiber = fiber;
    block.stacks = stacks;
    return true;
}

/* ---- Kernels ------------------------------------------------------------------------------*/

static struct standin_thread thread_at(const struct standin_launch *l, const unsigned *at, unsigned i)
{
    struct standin_thread t = {.lane = i % STANDIN_WARP, .warp = i / STANDIN_WARP};
    memcpy(t.block, at, sizeof t.block);
    memcpy(t.block_dim, l->block, sizeof t.block_dim);
    memcpy(t.grid_dim, l->grid, sizeof t.grid_dim);
    t.thread[0] = i % l->block[0];
    t.thread[1] = i / l->block[0] % l->block[1];
    t.thread[2] = i / l->block[0] / l->block[1];
    return t;
}

static int run_together(const struct object_kernel *k, const struct standin_launch *l, const unsigned *at,
                        void **args)
{
    if (!fibers_ready())
        return CUDA_ERROR_OUT_OF_MEMORY;
    block.n = l->block[0] * l->block[1] * l->block[2];
    block.kernel = k;
    block.args = args;
    for (unsigned i = 0; i < block.n; i++) {
        block.fiber[i].thread = thread_at(l, at, i);
        fiber_start(&block.fiber[i], block.stacks + (size_t)i * STACK_BYTES);
    }
    if (run_fibers())
        return 0;
    violation("kernel %s: threads of block (%u, %u, %u) wait at different barriers", l->name, at[0], at[1],
              at[2]);
    return CUDA_ERROR_LAUNCH_TIMEOUT;
}

static int run_apart(const struct object_kernel *k, const struct standin_launch *l, const unsigned *at,
                     void **args)
{
    unsigned n = l->block[0] * l->block[1] * l->block[2];
    for (unsigned i = 0; i < n; i++) {
        struct standin_thread t = thread_at(l, at, i);
        *k->object->self = &t;
        k->code->call(args);
    }
    return 0;
}

static int run(void **args, const void *launch)
{
    const struct standin_launch *l = launch;
    const struct object_kernel *k = l->user;
    unsigned at[3];
    int rc = 0;
    for (at[2] = 0; at[2] < l->grid[2]; at[2]++)
        for (at[1] = 0; at[1] < l->grid[1]; at[1]++)
            for (at[0] = 0; at[0] < l->grid[0] && !rc; at[0]++) {
                memset(k->object->shared, POISON, l->shared_bytes);
                rc = k->object->has_barriers ? run_together(k, l, at, args) : run_apart(k, l, at, args);
            }
    return rc;
}

/* A resident function: one thread, which needs nothing of what threads of kernels know.  Workers call them side by side. */
static int run_body(void **args, const void *launch)
{
    const struct object_kernel *k = ((const struct standin_launch *)launch)->user;
    return k->code->call(args);
}

/* ---- Loading ------------------------------------------------------------------------------*/

static int digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

static unsigned char *decode(const char *text, size_t *size_p)
{
    size_t length = strcspn(text, "\n"), size = 0;
    unsigned char *bytes = malloc(length / 4 * 3 + 3);
    unsigned word = 0;
    int n_bits = 0;
    for (size_t i = 0; bytes && i < length && text[i] != '='; i++) {
        int d = digit(text[i]);
        if (d < 0) {
            free(bytes);
            return NULL;
        }
        word = word << 6 | (unsigned)d;
        n_bits += 6;
        if (n_bits >= 8)
            bytes[size++] = (unsigned char)(word >> (n_bits -= 8));
    }
    *size_p = size;
    return bytes;
}

/* From a file of a name not used before, since dlopen() knows objects by name. */
static void *open_bytes(const unsigned char *bytes, size_t size)
{
    char path[] = "/tmp/standin-XXXXXX";
    int fd = mkstemp(path);
    void *handle = NULL;
    if (fd < 0)
        return NULL;
    if (write(fd, bytes, size) == (ssize_t)size)
        handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    close(fd);
    unlink(path);
    return handle;
}

static bool find_symbols(struct object_code *o)
{
    const unsigned *n = dlsym(o->handle, "standin_n_code");
    const int *has_barriers = dlsym(o->handle, "standin_has_barriers");
    o->table = dlsym(o->handle, "standin_code");
    o->self = dlsym(o->handle, "standin_self");
    o->barrier = dlsym(o->handle, "standin_barrier");
    o->exchange = dlsym(o->handle, "standin_exchange");
    o->shared = dlsym(o->handle, "standin_shared");
    if (!n || !has_barriers || !o->table || !o->self || !o->barrier || !o->exchange || !o->shared)
        return false;
    o->n = *n;
    o->has_barriers = *has_barriers;
    *o->barrier = barrier;
    *o->exchange = exchange;
    unsigned (**spawn)(int, unsigned, const unsigned long *, unsigned) = dlsym(o->handle, "standin_spawn");
    if (spawn) /* its functions make tasks */
        *spawn = resident_spawn;
    return true;
}

static struct object_code *find_object(const unsigned char *bytes, size_t size)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    for (struct object_code *o = objects; o; o = o->next)
        if (o->hash == hash && o->size == size)
            return o;
    struct object_code *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->hash = hash;
    o->size = size;
    o->handle = open_bytes(bytes, size);
    if (!o->handle || !find_symbols(o)) {
        free(o);
        return NULL;
    }
    o->next = objects;
    objects = o;
    return o;
}

static int register_code(const struct object_code *o, const struct standin_code *code)
{
    Dl_info info;
    struct object_kernel *k = malloc(sizeof *k);
    if (!k)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *k = (struct object_kernel){o, code};
    bool is_body = strncmp(code->expression, STANDIN_BODY, strlen(STANDIN_BODY)) == 0;
    bool is_named = !is_body && dladdr(code->address, &info) && info.dli_saddr == code->address && info.dli_sname;
    struct standin_kernel kernel = {
        is_named ? info.dli_sname : code->expression, is_body ? run_body : run, code->n_params, code->params, NULL, k};
    return register_locked(&kernel) ? CUDA_ERROR_OUT_OF_MEMORY : 0;
}

int object_load(const char *base64)
{
    size_t size;
    unsigned char *bytes = decode(base64, &size);
    struct object_code *o = bytes ? find_object(bytes, size) : NULL;
    free(bytes);
    if (!o)
        return CUDA_ERROR_INVALID_IMAGE;
    int rc = 0;
    for (unsigned i = 0; i < o->n && !rc; i++)
        rc = register_code(o, &o->table[i]);
    return rc;
}
