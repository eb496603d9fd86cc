/* The stand-in's state, what every entry point does first, faults on demand, and reports. */
#include "tests/standin/internal.h"

#include <stdarg.h>

struct state state = {.lock = PTHREAD_MUTEX_INITIALIZER, .progress = PTHREAD_COND_INITIALIZER};
__thread bool is_host_function;
__thread unsigned n_libraries;

static const char *const call_names[N_CALLS] = {
#define NAME_X(name, symbol, since, params) #symbol,
    TGI_CUDA_CALLS(NAME_X)
#undef NAME_X
};

uint64_t draw(uint64_t below)
{
    uint64_t z = state.random += 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

/* ---- Objects ------------------------------------------------------------------------------*/

enum { N_GRAVES = 1 << 14 };
static struct object *grave[N_GRAVES];
static size_t n_buried;

void *object_new(enum object_kind kind, size_t size)
{
    struct object *o = calloc(1, size);
    if (!o)
        return NULL;
    o->kind = kind;
    o->next = state.objects[kind];
    if (o->next)
        o->next->previous = o;
    state.objects[kind] = o;
    return o;
}

void object_kill(void *object)
{
    struct object *o = object;
    if (o->previous)
        o->previous->next = o->next;
    else
        state.objects[o->kind] = o->next;
    if (o->next)
        o->next->previous = o->previous;
    o->kind = DEAD;
    free(grave[n_buried % N_GRAVES]);
    grave[n_buried++ % N_GRAVES] = o;
}

static void objects_reset(void)
{
    for (int k = STREAM; k < N_OBJECT_KINDS; k++)
        while (state.objects[k]) {
            struct object *o = state.objects[k];
            if (k == STREAM)
                free(((CUstream)o)->deps);
            if (k == EVENT)
                free(((CUevent)o)->deps);
            if (k == NODE) {
                free(((CUgraphNode)o)->before);
                op_fini(&((CUgraphNode)o)->op);
            }
            if (k == GRAPH) {
                free(((CUgraph)o)->node);
                free(((CUgraph)o)->condition);
            }
            object_kill(o);
        }
    for (size_t i = 0; i < N_GRAVES; i++) {
        free(grave[i]);
        grave[i] = NULL;
    }
    n_buried = 0;
}

/* ---- Faults and violations ----------------------------------------------------------------*/

static void note(const char *format, va_list args)
{
    size_t used = strlen(state.violations);
    state.n_violations++;
    if (used + 2 >= sizeof state.violations)
        return;
    vsnprintf(state.violations + used, sizeof state.violations - used - 1, format, args);
    strcat(state.violations, "\n");
}

void violation(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    note(format, args);
    va_end(args);
}

void fault(CUresult code, const char *format, ...)
{
    va_list args;
    if (state.sticky != CUDA_SUCCESS)
        return;
    va_start(args, format);
    note(format, args);
    va_end(args);
    state.sticky = code;
}

/* ---- Entering -----------------------------------------------------------------------------*/

static int find_call(const char *name)
{
    size_t n = strlen(name);
    for (int i = 0; i < N_CALLS; i++) {
        const char *rest = call_names[i] + n;
        if (strncmp(call_names[i], name, n) == 0 &&
            (!*rest || (rest[0] == '_' && rest[1] == 'v' && strlen(rest) == 3)))
            return i;
    }
    return -2;
}

/* True if a rule says what this call returns. */
static bool apply_rules(enum call call, CUresult *rc_p, bool *is_skip_p)
{
    bool is_hit = false;
    if (state.spares_libraries && n_libraries)
        return false;
    for (unsigned i = 0; i < state.n_rules; i++) {
        struct rule *r = &state.rule[i];
        if ((r->call != -1 && r->call != (int)call) || r->left == 0)
            continue;
        if (r->how == STANDIN_FOREVER ? r->left == 1 : --r->left == 0) {
            if (is_hit)
                continue;
            is_hit = true;
            *rc_p = r->code;
            *is_skip_p = r->how == STANDIN_SKIP;
            if (r->how == STANDIN_STICKY)
                state.sticky = r->code;
        } else if (r->how == STANDIN_FOREVER)
            r->left--;
    }
    if (is_hit)
        state.n_hits++;
    return is_hit;
}

bool enter(struct scope *scope, enum call call, enum enter_how how, CUresult *rc_p)
{
    bool is_skip = false;
    pthread_mutex_lock(&state.lock);
    state.n_calls[call]++;
    state.n_calls_all++;
    if (is_host_function && how != ENTER_ANY) {
        violation("a host function called %s", call_names[call]);
        *rc_p = CUDA_ERROR_NOT_PERMITTED;
        return false;
    }
    if (how != ENTER_ANY && state.sticky != CUDA_SUCCESS) {
        *rc_p = scope->late = state.sticky;
        return how == ENTER_RELEASE;
    }
    if (apply_rules(call, rc_p, &is_skip)) {
        if (is_skip) {
            scope->is_skipped = true;
            *rc_p = CUDA_SUCCESS;
            return false;
        }
        scope->late = *rc_p;
        return how == ENTER_RELEASE && *rc_p != CUDA_ERROR_NOT_INITIALIZED;
    }
    if (how != ENTER_ANY && !state.is_initialised) {
        *rc_p = CUDA_ERROR_NOT_INITIALIZED;
        return false;
    }
    return true;
}

void leave(struct scope *scope)
{
    (void)scope;
    pthread_mutex_unlock(&state.lock);
}

/* ---- Options ------------------------------------------------------------------------------*/

static size_t parse_bytes(const char *text, size_t otherwise)
{
    char *end;
    unsigned long long n = text ? strtoull(text, &end, 10) : 0;
    if (n == 0)
        return otherwise;
    return (size_t)n << (*end == 'G' ? 30 : *end == 'M' ? 20 : *end == 'K' ? 10 : 0);
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static void rule_add(const char *call, uint64_t nth, int code, enum standin_fail how)
{
    int index = call ? find_call(call) : -1;
    if (index == -2) {
        violation("no entry point is called %s", call);
        return;
    }
    if (state.n_rules == MAX_RULES || nth == 0) {
        violation("more than %d rules, or a rule for call number 0", MAX_RULES);
        return;
    }
    state.rule[state.n_rules++] = (struct rule){index, nth, (CUresult)code, how};
}

static void rules_from_text(const char *text)
{
    char copy[1024], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", text ? text : "");
    for (char *one = strtok_r(copy, ",", &rest); one; one = strtok_r(NULL, ",", &rest)) {
        char call[96] = "", how[16] = "once";
        unsigned long long nth = 0;
        int code = 0;
        if (sscanf(one, "%95[^:]:%llu:%d:%15s", call, &nth, &code, how) < 3) {
            violation("TGRAPH_STANDIN_FAIL: \"%s\" is not call:nth:code[:how]", one);
            continue;
        }
        rule_add(strcmp(call, "any") == 0 ? NULL : call, nth, code,
                 strcmp(how, "sticky") == 0    ? STANDIN_STICKY
                 : strcmp(how, "forever") == 0 ? STANDIN_FOREVER
                 : strcmp(how, "skip") == 0    ? STANDIN_SKIP
                                               : STANDIN_ONCE);
    }
}

static void reset_locked(const struct standin_options *options)
{
    struct standin_options o = {
        (int)number_of("TGRAPH_STANDIN_DEVICES", 1), parse_bytes(getenv("TGRAPH_STANDIN_MEMORY"), 64u << 20),
        number_of("TGRAPH_STANDIN_SEED", 1), number_of("TGRAPH_STANDIN_PEERS", 1) != 0};
    if (options)
        o = *options;
    work_reset();
    captures_reset();
    code_reset();
    for (int i = 0; i < MAX_DEVICES; i++) {
        item_release(state.ctx[i].legacy.tail);
        item_release(state.ctx[i].per_thread.tail);
        memset(&state.ctx[i], 0, sizeof state.ctx[i]);
    }
    objects_reset();
    state.n_devices = o.n_devices < 0 ? 0 : o.n_devices > MAX_DEVICES ? MAX_DEVICES : o.n_devices;
    state.memory_bytes = o.memory_bytes;
    state.has_peers = o.has_peers;
    state.is_all_linked = number_of("TGRAPH_STANDIN_PEERS", 1) == 2;
    state.random = o.seed * 0x2545f4914f6cdd1du + 0x1234567;
    state.sticky = CUDA_SUCCESS;
    state.is_initialised = false;
    memset(state.n_calls, 0, sizeof state.n_calls);
    memset(&state.stats, 0, sizeof state.stats);
    memset(state.in_use, 0, sizeof state.in_use);
    state.n_calls_all = state.n_hits = 0;
    state.n_rules = state.n_violations = 0;
    state.spares_libraries = state.is_lazy = false;
    memset(state.n_parts, 0, sizeof state.n_parts);
    memset(state.left_out, 0, sizeof state.left_out);
    state.watch = NULL;
    state.violations[0] = '\0';
    state.clock_us = 0;
    state.patience_us = (unsigned)number_of("TGRAPH_STANDIN_PATIENCE_US", 200);
    state.n_places = 1 + (unsigned)(o.seed % 4);
    for (int i = 0; i < state.n_devices; i++) {
        struct CUctx_st *c = &state.ctx[i];
        c->device = i;
        c->legacy.object.kind = c->per_thread.object.kind = STREAM;
        c->legacy.ctx = c->per_thread.ctx = c;
        c->legacy.is_legacy = c->per_thread.is_blocking = true;
    }
    CUresult rc = memory_reset(state.n_devices, state.memory_bytes);
    if (rc != CUDA_SUCCESS)
        fault(rc, "the stand-in cannot map %d x %zu bytes", state.n_devices, state.memory_bytes);
    if (!options)
        rules_from_text(getenv("TGRAPH_STANDIN_FAIL"));
}

void standin_reset(const struct standin_options *options)
{
    pthread_mutex_lock(&state.lock);
    reset_locked(options);
    pthread_mutex_unlock(&state.lock);
}

__attribute__((constructor)) static void start(void) { standin_reset(NULL); }

/* ---- Control ------------------------------------------------------------------------------*/

void standin_fail(const char *call, uint64_t nth, int code, enum standin_fail how)
{
    pthread_mutex_lock(&state.lock);
    rule_add(call, nth, code, how);
    pthread_mutex_unlock(&state.lock);
}

void standin_fail_clear(void)
{
    pthread_mutex_lock(&state.lock);
    state.n_rules = 0;
    pthread_mutex_unlock(&state.lock);
}

void standin_fail_libraries(bool are_hit)
{
    pthread_mutex_lock(&state.lock);
    state.spares_libraries = !are_hit;
    pthread_mutex_unlock(&state.lock);
}

void standin_library_enter(void) { n_libraries++; }
void standin_library_leave(void) { n_libraries--; }

void standin_lazy(bool is_lazy)
{
    pthread_mutex_lock(&state.lock);
    state.is_lazy = is_lazy;
    pthread_mutex_unlock(&state.lock);
}

void standin_leave_out(enum standin_part what, uint64_t nth)
{
    pthread_mutex_lock(&state.lock);
    state.left_out[what] = nth;
    pthread_mutex_unlock(&state.lock);
}

uint64_t standin_parts(enum standin_part what)
{
    pthread_mutex_lock(&state.lock);
    uint64_t n = state.n_parts[what];
    pthread_mutex_unlock(&state.lock);
    return n;
}

uint64_t standin_fail_hits(void)
{
    pthread_mutex_lock(&state.lock);
    uint64_t n = state.n_hits;
    pthread_mutex_unlock(&state.lock);
    return n;
}

uint64_t standin_calls(const char *call)
{
    pthread_mutex_lock(&state.lock);
    int index = call ? find_call(call) : -1;
    uint64_t n = index == -2 ? 0 : index == -1 ? state.n_calls_all : state.n_calls[index];
    pthread_mutex_unlock(&state.lock);
    return n;
}

static void leak(char *text, size_t size, unsigned *n_p, size_t n, const char *what)
{
    size_t used = text && size ? strlen(text) : 0;
    if (n == 0)
        return;
    *n_p += (unsigned)n;
    if (text && used < size)
        snprintf(text + used, size - used, "%zu %s\n", n, what);
}

static unsigned leaks_locked(char *text, size_t size)
{
    static const char *const names[N_OBJECT_KINDS] = {[STREAM] = "streams",
                                                      [EVENT] = "events",
                                                      [MODULE] = "modules",
                                                      [EXEC] = "executable graphs",
                                                      [POOL] = "memory pools"};
    size_t n_device, bytes, n_pinned, n_registered, n = 0;
    unsigned total = 0;
    char what[64];
    if (text && size)
        text[0] = '\0';
    for (int k = 0; k < N_OBJECT_KINDS; k++) {
        n = 0;
        for (struct object *o = state.objects[k]; o; o = o->next)
            n += !(k == GRAPH && ((CUgraph)o)->is_owned);
        for (int d = 0; k == POOL && d < state.n_devices; d++)
            n -= state.ctx[d].pool != NULL;
        if (names[k] || k == GRAPH)
            leak(text, size, &total, n, k == GRAPH ? "graphs" : names[k]);
    }
    memory_leaks(&n_device, &bytes, &n_pinned, &n_registered);
    snprintf(what, sizeof what, "pieces of device memory, %zu bytes", bytes);
    leak(text, size, &total, n_device, what);
    leak(text, size, &total, n_pinned, "pieces of pinned memory");
    leak(text, size, &total, n_registered, "registrations of host memory");
    n = 0;
    for (int d = 0; d < state.n_devices; d++)
        n += state.ctx[d].n_retained;
    leak(text, size, &total, n, "retained contexts");
    return total;
}

unsigned standin_leaks(char *text, size_t size)
{
    pthread_mutex_lock(&state.lock);
    unsigned n = leaks_locked(text, size);
    pthread_mutex_unlock(&state.lock);
    return n;
}

unsigned standin_violations(char *text, size_t size)
{
    pthread_mutex_lock(&state.lock);
    unsigned n = state.n_violations;
    if (text && size)
        snprintf(text, size, "%s", state.violations);
    pthread_mutex_unlock(&state.lock);
    return n;
}

void standin_stats(struct standin_stats *stats_p)
{
    pthread_mutex_lock(&state.lock);
    *stats_p = state.stats;
    pthread_mutex_unlock(&state.lock);
}

__attribute__((destructor)) static void report(void)
{
    const char *path = getenv("TGRAPH_STANDIN_REPORT");
    char text[1024];
    if (!path || !*path)
        return;
    FILE *f = strcmp(path, "-") == 0 ? stderr : fopen(path, "ae");
    if (!f)
        return;
    pthread_mutex_lock(&state.lock);
    unsigned n = leaks_locked(text, sizeof text);
    fprintf(f, "standin: %u violations, %u leaks\n%s%s", state.n_violations, n, state.violations, text);
    pthread_mutex_unlock(&state.lock);
    if (f != stderr)
        fclose(f);
}

/* ---- Errors -------------------------------------------------------------------------------*/

CUresult cuGetErrorName(CUresult code, const char **name_p)
{
    switch ((int)code) {
#define ERROR_X(name, value) \
    case value:              \
        *name_p = #name;     \
        return CUDA_SUCCESS;
        TGI_CUDA_RESULT_MAP(ERROR_X)
#undef ERROR_X
    }
    *name_p = NULL;
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult code, const char **text_p)
{
    const char *name;
    CUresult rc = cuGetErrorName(code, &name);
    *text_p = rc != CUDA_SUCCESS                   ? NULL
              : code == CUDA_SUCCESS               ? "no error"
              : code == CUDA_ERROR_OUT_OF_MEMORY   ? "out of memory"
              : code == CUDA_ERROR_ILLEGAL_ADDRESS ? "an illegal memory access was encountered"
                                                   : "told by the stand-in driver";
    return rc;
}
