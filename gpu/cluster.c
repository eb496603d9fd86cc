/* See cluster.h. */
#include "gpu/cluster.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/bodies.h"
#include "gpu/code.h"
#include "gpu/executor.h"
#include "graph/dtype.h"
#include "graph/error.h"
#include "kernels/resident.h"
#include "kernels/resident/cut.h"
#include "mem/resident_dynamic.h"

enum {
    THREADS = 32 * TGI_RESIDENT_RUN_WARPS,
    ALIGN = 256,
    /* Of dynamic programs. */
    LOCAL_SLOTS = 64,
    RING_SLOTS = 256,
    ROOTS_AT_ONCE = 4
};

/* ---- Calls --------------------------------------------------------------------------------*/

static bool call_of(const struct tgi_body_row *row, struct tgi_resident_call *call, const char **why_p)
{
    int body = row ? tgi_body_of(row, call->words, &call->cost_ns) : -1;
    call->body = (uint32_t)body;
    call->post = body < 0 ? 0 : tgi_body_post((enum tgi_body)body, call->words, &call->bytes, &call->side);
    call->can_block = body >= 0 && tgi_cut_of((uint32_t)body);
    if (body < 0)
        *why_p = row ? "its kernel has no resident variant for these sizes" : "its kernel has no resident variant";
    return body >= 0;
}

static bool call_of_fill(const struct tgi_command *c, struct tgi_resident_call *call, const char **why_p)
{
    static const char *const symbols[] = {"tgk_fill_u8", "tgk_fill_u16", "tgk_fill_u32", "tgk_fill_u64", "tgk_fill_c128"};
    uint32_t i = 0;
    while ((size_t)1 << i < tg_dtype_size(c->fill.dtype))
        i++;
    call->n_words = 3;
    call->words[0] = c->fill.n_elems;
    call->words[1] = c->fill.dtype == TG_C64 ? c->fill.word & UINT32_MAX : c->fill.word; /* the real part */
    call->words[2] = c->fill.address;
    return call_of(tgi_body_row(symbols[i]), call, why_p);
}

/* From the lane's device, node 1 + its number; to another one by a link of unknown speed, taken for half that of memory. */
static bool call_of_copy(const struct tgi_devices *ds, const struct tgi_command *c, struct tgi_resident_call *call, const char **why_p)
{
    uint32_t device = tgi_lane_device(c->lane), to = c->copy.to_node - 1;
    call->is_across = c->copy.from_node != c->copy.to_node;
    if (c->copy.from_node == TGI_HOST_NODE || c->copy.to_node == TGI_HOST_NODE ||
        (call->is_across && (c->copy.from_node - 1 != device || !ds->info[device].has_peer[to]))) {
        *why_p = "it is a copy to or from elsewhere";
        return false;
    }
    call->n_words = 3;
    call->words[0] = c->copy.bytes;
    call->words[1] = c->copy.from;
    call->words[2] = c->copy.to;
    if (!call_of(tgi_body_row("tgk_copy_u8"), call, why_p))
        return false;
    call->cost_ns *= call->is_across ? 2 : 1;
    return true;
}

bool tgi_cuda_resident_call(struct tgi_devices *ds, const struct tgi_program *p, const struct tgi_command *c,
                            struct tgi_resident_call *call, const char **why_p)
{
    call->post = 0;
    call->is_other = call->spawns = call->is_block = call->is_thread = call->can_block = call->is_across = false;
    switch (c->kind) {
    case TGI_COMMAND_LAUNCH:
        call->n_words = c->launch.n_args;
        if (c->launch.n_args > TGI_RESIDENT_MAX_WORDS) {
            *why_p = "it has more arguments than a resident task";
            return false;
        }
        memcpy(call->words, p->words + c->launch.first_arg, c->launch.n_args * sizeof *call->words);
        if (tgi_cuda_user_body(c->launch.code, call, why_p))
            return !*why_p;
        call->is_other = tgi_cuda_calls_library(c->launch.code, &c->launch.shape);
        return call_of(tgi_cuda_body(c->launch.code, &c->launch.shape), call, why_p);
    case TGI_COMMAND_FILL:
        return call_of_fill(c, call, why_p);
    case TGI_COMMAND_COPY:
        return call_of_copy(ds, c, call, why_p);
    default:
        *why_p = "it is no kernel";
        return false;
    }
}

bool tgi_cuda_resident_is_compiled(struct tgi_devices *ds, uint32_t device, const struct tgi_cluster *cluster)
{
    return tgi_cuda_executor_is_compiled(tgi_cuda_of(ds), device, cluster);
}

bool tgi_cuda_resident_spreads(struct tgi_devices *ds, const uint32_t *devices, uint32_t n, const char **why_p)
{
    return tgi_cuda_executor_spreads(tgi_cuda_of(ds), devices, n, why_p);
}

int tgi_cuda_resident_room(struct tgi_devices *ds, uint32_t device, struct tgi_resident_room *room_p, struct tg_error *err)
{
    return tgi_cuda_executor_room(tgi_cuda_of(ds), device, room_p, err);
}

/* ---- Tables -------------------------------------------------------------------------------*/

struct tgi_cuda_cluster {
    struct tgi_cluster *cluster;
    uint32_t n_parts;
    /* On each of its devices. */
    struct part {
        struct tgi_cluster *cluster; /* the same */
        uint32_t device;
        CUdeviceptr memory; /* all tables, those that workers write last */
        uint64_t written_from, bytes;
        CUdeviceptr control;
        struct tgi_resident_view view;
        struct tgi_resident_pool pool; /* of a dynamic program, like the next */
        struct tgi_resident_nursery nursery;
        struct tgi_resident_peers *peers; /* of a program on several devices; NULL: it is none */
        struct tgi_resident_peer here;    /* then: what the others are told of this one */
        void *args[3];
        struct tgi_cuda_executor executor;
        bool is_clearing; /* tables are being cleared, or were when waiting for that failed */
    } part[];
};

/* The next table's place, behind which the one after it begins. */
static void *place(uint64_t *at, uint64_t n, size_t size)
{
    void *here = (void *)(uintptr_t)*at;
    *at = (*at + n * size + ALIGN - 1) / ALIGN * ALIGN;
    return here;
}

/* What workers of a dynamic program write besides. */
static uint64_t lay_out_dynamic(struct part *c, uint64_t at)
{
    const struct tgi_resident_program *p = c->cluster->program;
    struct tgi_resident_pool *q = &c->pool;
    struct tgi_resident_nursery *n = &c->nursery;
    uint64_t n_rings = (uint64_t)p->n_workers * TGI_RESIDENT_CLASSES, n_made = (uint64_t)p->n_workers * p->n_made_each;
    q->rings = place(&at, n_rings, sizeof *q->rings);
    q->slots = place(&at, n_rings * RING_SLOTS, sizeof *q->slots);
    q->next = place(&at, p->n_tasks + n_made, sizeof *q->next);
    q->idle = place(&at, p->n_blocks, sizeof *q->idle);
    q->mail = place(&at, p->n_workers, sizeof *q->mail);
    q->counts = place(&at, 1, sizeof *q->counts);
    n->live = place(&at, p->n_tasks, sizeof *n->live);
    n->homes = place(&at, p->n_workers, sizeof *n->homes);
    n->blocks = place(&at, n_made * (TGI_SPAWN_HEAD_WORDS + p->n_made_words), sizeof *n->blocks);
    q->n_tasks = p->n_tasks;
    q->n_roots = p->n_roots;
    q->n_blocks = p->n_blocks;
    q->ring_capacity = RING_SLOTS;
    q->local_capacity = LOCAL_SLOTS;
    q->chunk = ROOTS_AT_ONCE;
    n->n_each = p->n_made_each;
    n->n_words = p->n_made_words;
    return at;
}

/* Gives each table its place; with memory 0, to learn how much there is. */
static uint64_t lay_out(struct part *c, CUdeviceptr memory)
{
    const struct tgi_cluster *cluster = c->cluster;
    const struct tgi_resident_program *p = cluster->program;
    struct tgi_resident_view *v = &c->view;
    uint64_t at = memory;
    v->tasks = place(&at, p->n_slots, sizeof *p->tasks);
    v->first = place(&at, p->n_workers + 1u, sizeof *p->first);
    v->outs = place(&at, p->n_outs, sizeof *p->outs);
    v->ins = place(&at, p->n_ins, sizeof *p->ins);
    v->words = place(&at, cluster->n_words, sizeof *cluster->words);
    c->pool.roots = place(&at, p->n_roots, sizeof *p->roots);
    c->written_from = at - memory;
    v->control = place(&at, 1, sizeof *v->control);
    v->counters = place(&at, p->n_counters, sizeof *v->counters);
    v->cells = place(&at, p->n_cells, sizeof *v->cells);
    v->posted = place(&at, p->n_posts ? p->n_tasks : 0, sizeof *v->posted);
    v->results = place(&at, p->n_slots, sizeof *v->results);
    v->progress = place(&at, p->n_workers, sizeof *v->progress);
    v->times = place(&at, cluster->is_timed ? p->n_slots : 0, 2 * sizeof *v->times);
    if (!cluster->is_timed)
        v->times = NULL;
    c->here.far_counters = place(&at, p->n_far_counters, sizeof *c->here.far_counters);
    c->here.far_cells = place(&at, p->n_far_cells, sizeof *c->here.far_cells);
    c->here.results = v->results;
    c->here.control = v->control;
    return (p->roots ? lay_out_dynamic(c, at) : at) - memory;
}

static int upload(struct tgi_cuda *cuda, const void *to, const void *from, uint64_t n, size_t size, struct tg_error *err)
{
    return n == 0 ? 0
                  : TGI_CUDA_DO(cuda, err, cuMemcpyHtoD, ((CUdeviceptr)(uintptr_t)to, from, n * size),
                                "bringing a resident program to a device");
}

static int await_clearing(struct tgi_cuda *cuda, struct part *c, struct tg_error *err)
{
    int rc = TGI_CUDA_DO(cuda, err, cuStreamSynchronize, (tgi_cuda_stream(cuda, tgi_lane_of(c->device, 0))),
                         "clearing the tables of a resident program");
    c->is_clearing = rc != 0;
    return rc;
}

/* Graphs are launched in a stream of the first device, which another's does not follow: so this waits. */
static int clear(struct tgi_cuda *cuda, struct part *c, struct tg_error *err)
{
    int rc = TGI_CUDA_DO(cuda, err, cuMemsetD8Async, (c->memory + c->written_from, 0, c->bytes - c->written_from,
                                                      tgi_cuda_stream(cuda, tgi_lane_of(c->device, 0))),
                         "clearing the tables of a resident program");
    return rc ? rc : await_clearing(cuda, c, err);
}

static int fill_tables(struct tgi_cuda *cuda, struct part *c, struct tg_error *err)
{
    const struct tgi_resident_program *p = c->cluster->program;
    const struct tgi_resident_view *v = &c->view;
    int rc = upload(cuda, v->tasks, p->tasks, p->n_slots, sizeof *p->tasks, err);
    rc = rc ? rc : upload(cuda, v->first, p->first, p->n_workers + 1u, sizeof *p->first, err);
    rc = rc ? rc : upload(cuda, v->outs, p->outs, p->n_outs, sizeof *p->outs, err);
    rc = rc ? rc : upload(cuda, v->ins, p->ins, p->n_ins, sizeof *p->ins, err);
    rc = rc ? rc : upload(cuda, c->pool.roots, p->roots, p->n_roots, sizeof *p->roots, err);
    rc = rc ? rc : upload(cuda, v->words, c->cluster->words, c->cluster->n_words, sizeof *c->cluster->words, err);
    return rc ? rc : clear(cuda, c, err);
}

static uint32_t shared_bytes(const struct tgi_resident_program *p)
{
    return p->roots ? tgi_resident_local_bytes(p->n_workers_each, LOCAL_SLOTS)
                    : tgi_resident_shared_bytes(p->n_workers_each, p->n_shared_cells, p->n_shared_counters);
}

static uint32_t n_blocks_each(const struct tgi_resident_program *p) { return p->n_blocks / (p->n_devices ? p->n_devices : 1); }

static int check_room(struct tgi_cuda *cuda, const struct part *c, struct tg_error *err)
{
    const struct tgi_resident_program *p = c->cluster->program;
    struct tgi_resident_room room;
    int rc = tgi_cuda_executor_room(cuda, c->device, &room, err);
    if (rc)
        return rc;
    if (n_blocks_each(p) <= room.n_blocks && p->n_workers_each == room.n_workers_each && shared_bytes(p) <= room.shared_bytes)
        return 0;
    return tgi_error(err, TG_E_UNSUPPORTED,
                     "a resident program of %" PRIu32 " blocks with %" PRIu32 " bytes of shared memory does not fit on cuda:%u",
                     n_blocks_each(p), shared_bytes(p), cuda->base.ordinal[c->device]);
}

/* Without room for tables there are other ways to execute the same. */
static int reserve(struct tgi_cuda *cuda, struct part *c, struct tg_error *err)
{
    CUresult answer = cuda->api->cuMemAlloc(&c->memory, c->bytes);
    if (answer == CUDA_ERROR_OUT_OF_MEMORY)
        return tgi_error(err, TG_E_UNSUPPORTED, "cuda:%u has no room for the %" PRIu64 " bytes of a resident program's tables",
                         cuda->base.ordinal[c->device], c->bytes);
    return tgi_cuda_done(cuda, answer, "cuMemAlloc", err, "reserving %" PRIu64 " bytes for a resident program on cuda:%u", c->bytes,
                         cuda->base.ordinal[c->device]);
}

/* All but what is known of the others. */
static int part_init(struct tgi_cuda *cuda, struct part *c, struct tg_error *err)
{
    struct tgi_cluster *cluster = c->cluster;
    int rc = check_room(cuda, c, err);
    if (rc == 0)
        rc = tgi_cuda_executor_find(cuda, c->device, cluster, &c->executor, err);
    c->bytes = lay_out(c, 0);
    if (rc == 0)
        rc = reserve(cuda, c, err);
    if (rc)
        return rc;
    lay_out(c, c->memory);
    c->control = (CUdeviceptr)(uintptr_t)c->view.control;
    c->view.limit_ns = cluster->limit_ns;
    c->view.n_workers_each = cluster->program->n_workers_each;
    c->view.n_shared_cells = cluster->program->n_shared_cells;
    c->view.n_shared_counters = cluster->program->n_shared_counters;
    c->args[0] = &c->view;
    c->args[1] = &c->pool; /* which a static program's kernel does not take, nor the next */
    c->args[2] = &c->nursery;
    return fill_tables(cuda, c, err);
}

/* Of a program on several devices: where each has its tables. */
static bool join(struct tgi_cuda_cluster *c)
{
    const struct tgi_resident_program *p = c->cluster->program;
    for (uint32_t i = 0; i < c->n_parts; i++) {
        struct tgi_resident_peers *peers = c->part[i].peers = calloc(1, sizeof *peers);
        if (!peers)
            return false;
        for (uint32_t k = 0; k < c->n_parts; k++)
            peers->of[k] = c->part[k].here;
        peers->n_devices = c->n_parts;
        peers->device = i;
        peers->first_worker = i * (p->n_workers / c->n_parts);
        c->part[i].args[1] = peers;
    }
    return true;
}

int tgi_cuda_cluster_create(struct tgi_cuda *cuda, struct tgi_cluster *cluster, struct tgi_cuda_cluster **cluster_p, struct tg_error *err)
{
    struct tgi_cuda_cluster *c = calloc(1, sizeof *c + cluster->n_devices * sizeof *c->part);
    int rc = 0;
    if (!c)
        return tgi_error_memory(err, "bringing a resident program to a device");
    c->cluster = cluster;
    c->n_parts = cluster->n_devices;
    tgi_cluster_retain(cluster);
    for (uint32_t i = 0; rc == 0 && i < c->n_parts; i++) {
        c->part[i].cluster = cluster;
        c->part[i].device = cluster->device[i];
        rc = part_init(cuda, &c->part[i], err);
    }
    if (rc == 0 && c->n_parts > 1 && !join(c))
        rc = tgi_error_memory(err, "bringing a resident program to several devices");
    if (rc) {
        tgi_cuda_cluster_destroy(cuda, c);
        return rc;
    }
    *cluster_p = c;
    return 0;
}

static void part_fini(struct tgi_cuda *cuda, struct part *c)
{
    struct tg_error ignored;
    free(c->peers);
    if (!c->memory)
        return;
    tgi_cuda_try_enter(cuda, c->device);
    /* Memory that may still be written to is left to the process's end. */
    if (!c->is_clearing || await_clearing(cuda, c, &ignored) == 0)
        cuda->api->cuMemFree(c->memory);
}

void tgi_cuda_cluster_destroy(struct tgi_cuda *cuda, struct tgi_cuda_cluster *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; i < c->n_parts; i++)
        part_fini(cuda, &c->part[i]);
    tgi_cluster_release(c->cluster);
    free(c);
}

CUDA_KERNEL_NODE_PARAMS tgi_cuda_cluster_node(struct tgi_cuda_cluster *cluster, uint32_t i)
{
    struct part *c = &cluster->part[i];
    const struct tgi_resident_program *p = c->cluster->program;
    uint32_t shared = shared_bytes(p);
    shared = shared > c->executor.least_shared_bytes ? shared : c->executor.least_shared_bytes;
    return (CUDA_KERNEL_NODE_PARAMS){.func = c->executor.run, .gridDimX = n_blocks_each(p), .gridDimY = 1, .gridDimZ = 1, .blockDimX = THREADS,
                                     .blockDimY = 1, .blockDimZ = 1, .sharedMemBytes = shared,
                                     .kernelParams = c->args};
}

/* ---- Failures -----------------------------------------------------------------------------*/

static int tell_failure(const struct tgi_cuda_cluster *c, const struct tgi_resident_task *t, uint32_t code, struct tg_error *err)
{
    char text[256];
    uint32_t body = TGI_CALL_BODY(t->in[0]);
    if (body >= TGI_N_BODIES && code == TGI_CALL_AGAIN)
        return tgi_error(err, TG_E_TASK_FAILED, "its resident function returned TG_AGAIN, which it may in dynamic programs only");
    if (body >= TGI_N_BODIES)
        return tgi_error(err, TG_E_TASK_FAILED, "its resident function returned %" PRIu32, code);
    if (code == TGI_CALL_NO_BODY)
        return tgi_error(err, TG_E_TASK_FAILED, "the resident kernel was generated without its body, which is a mistake of tgraph's");
    tgi_body_explain((enum tgi_body)body, c->cluster->words + t->in[1], code, text, sizeof text);
    return tgi_error(err, TG_E_TASK_FAILED, "%s", text);
}

static int tell(const struct tgi_cuda_cluster *c, const struct tgi_resident_control *control, uint64_t *owner_p,
                struct tg_error *err)
{
    const struct tgi_resident_panic *panic = &control->panic;
    uint32_t n = c->cluster->program->n_tasks;
    /* Of one that waits too long and one that was still at work, the latter is the reason. */
    uint32_t task = panic->code == TGI_PANIC_STUCK && control->cut ? control->cut - 1 : panic->task;
    uint32_t lane = panic->code == TGI_PANIC_TASK ? panic->seen : 0;
    *owner_p = task < n ? c->cluster->owner[tgi_cluster_first(c->cluster, task) + lane] : UINT64_MAX;
    bool is_post = task < n && TGI_HEAD_OP(c->cluster->program->tasks[c->cluster->program->slot_of[task]].head) == TGI_RESIDENT_POST;
    if (panic->code == TGI_PANIC_TASK && task < n)
        return tell_failure(c, &c->cluster->program->tasks[c->cluster->program->slot_of[task]], panic->detail, err);
    if (control->cut)
        return tgi_error(err, TG_E_TASK_TIMEOUT,
                         "it was still at work after another task had waited for %" PRIu64 " ms in the same kernel, and was cut short",
                         c->cluster->limit_ns / 1000000);
    if (c->cluster->program->roots)
        return tgi_error(err, TG_E_TASK_TIMEOUT, "%s for %" PRIu64 " ms inside a kernel, and there was more to do",
                         task < n ? "it was called again and again, and no task ended," : "no task ended", c->cluster->limit_ns / 1000000);
    if (panic->wait == TGI_WAIT_BLOCK)
        return tgi_error(err, TG_E_TASK_TIMEOUT, "it is a block wide, and waited for %" PRIu64 " ms inside a kernel for the other warps of its block",
                         c->cluster->limit_ns / 1000000);
    return tgi_error(err, TG_E_TASK_TIMEOUT,
                     "it waited for %" PRIu64 " ms inside a kernel: %s %" PRIu32 " had %" PRIu32 " instead of %" PRIu32,
                     c->cluster->limit_ns / 1000000, is_post ? "the cell of element" : "counter", panic->wait, panic->seen, panic->wanted);
}

static int look(struct tgi_cuda *cuda, const struct part *c, struct tgi_resident_control *control_p, struct tg_error *err)
{
    int rc = tgi_cuda_enter(cuda, c->device, err);
    return rc ? rc
              : TGI_CUDA_DO(cuda, err, cuMemcpyDtoH, (control_p, c->control, sizeof *control_p), "asking a resident program how it went");
}

/* Which of two is rather the reason: a task that failed, then one that was still at work, then one that has waited. */
static bool is_rather(const struct tgi_resident_control *a, const struct tgi_resident_control *b)
{
    int x = a->panic.code == TGI_PANIC_NONE ? 0 : a->panic.code == TGI_PANIC_TASK ? 3 : a->cut ? 2 : 1;
    int y = b->panic.code == TGI_PANIC_NONE ? 0 : b->panic.code == TGI_PANIC_TASK ? 3 : b->cut ? 2 : 1;
    return x > y;
}

/* Of several devices who is still at work may be on one, and who has waited for it on another. */
static void merge(struct tgi_resident_control *all, const struct tgi_resident_control *one)
{
    uint32_t cut = all->cut ? all->cut : one->cut, abort = all->abort | one->abort;
    if (is_rather(one, all))
        *all = *one;
    all->cut = cut;
    all->abort = abort;
}

int tgi_cuda_cluster_fault(struct tgi_cuda *cuda, struct tgi_cuda_cluster *c, uint64_t *owner_p, struct tg_error *err)
{
    struct tgi_resident_control all = {.abort = 0}, one;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < c->n_parts; i++) {
        rc = look(cuda, &c->part[i], &one, err);
        if (rc == 0)
            merge(&all, &one);
    }
    if (rc || (all.panic.code == TGI_PANIC_NONE && !all.abort))
        return rc;
    /* Epochs are the same everywhere. */
    for (uint32_t i = 0; rc == 0 && i < c->n_parts; i++) {
        rc = tgi_cuda_enter(cuda, c->part[i].device, err);
        if (rc == 0)
            rc = clear(cuda, &c->part[i], err);
    }
    return rc || all.panic.code == TGI_PANIC_NONE ? rc : tell(c, &all, owner_p, err);
}

bool tgi_cuda_cluster_is(const struct tgi_cuda_cluster *c, const struct tgi_cluster *other)
{
    return c->cluster == other || tgi_cluster_is_same(c->cluster, other);
}

/* Each device's slots lie side by side. */
int tgi_cuda_cluster_times(struct tgi_cuda *cuda, struct tgi_cuda_cluster *c, uint64_t *times_p, struct tg_error *err)
{
    const struct tgi_resident_program *p = c->cluster->program;
    uint32_t n_each = p->n_workers / c->n_parts;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < c->n_parts; i++) {
        uint64_t begin = 2 * (uint64_t)p->first[i * n_each], end = 2 * (uint64_t)p->first[(i + 1) * n_each];
        rc = tgi_cuda_enter(cuda, c->part[i].device, err);
        if (rc == 0 && begin < end)
            rc = TGI_CUDA_DO(cuda, err, cuMemcpyDtoH,
                             (times_p + begin, (CUdeviceptr)(uintptr_t)(c->part[i].view.times + begin), (end - begin) * sizeof *times_p),
                             "asking a resident program when its tasks ran");
    }
    return rc;
}

/* Not in a lane, where it would come after what it is to end. */
int tgi_cuda_cluster_abort(struct tgi_cuda *cuda, struct tgi_cuda_cluster *c, struct tg_error *err)
{
    static const uint32_t yes = 1;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < c->n_parts; i++) {
        rc = tgi_cuda_enter(cuda, c->part[i].device, err);
        if (rc == 0)
            rc = TGI_CUDA_DO(cuda, err, cuMemcpyHtoD, (c->part[i].control + offsetof(struct tgi_resident_control, abort), &yes, sizeof yes),
                             "telling a resident program to stop");
    }
    return rc;
}
