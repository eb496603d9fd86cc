/* A group: calls of all ranks are matched, by position among the collectives of a rank, and sends with receives
 * in the order of each pair of ranks; then everything is enqueued, or nothing. */
#include <stdlib.h>

#include "tests/standin/nccl_internal.h"

/* ---- Matching -----------------------------------------------------------------------------*/

static bool is_collective(const struct nccl_call *c) { return c->kind != SEND && c->kind != RECV; }

/* The next collective of this communicator that is not taken. */
static struct nccl_call *next_collective(struct nccl_call *calls, size_t n, ncclComm_t comm)
{
    for (size_t i = 0; i < n; i++)
        if (calls[i].comm == comm && is_collective(&calls[i]) && !calls[i].is_taken)
            return &calls[i];
    return NULL;
}

static ncclResult_t compare(const struct nccl_call *a, const struct nccl_call *b)
{
    bool has_root = a->kind == BROADCAST || a->kind == REDUCE;
    bool has_op = a->kind == ALL_REDUCE || a->kind == REDUCE || a->kind == REDUCE_SCATTER;
    if (a->kind == b->kind && a->count == b->count && a->type == b->type &&
        (!has_root || a->peer == b->peer) && (!has_op || a->op == b->op))
        return ncclSuccess;
    return nccl_misuse(
        "rank %d calls %s of %zu %s (op %d, root %d) where rank %d calls %s of %zu %s (op %d, root %d)",
        b->comm->rank, nccl_kind_name(b->kind), b->count, nccl_type_name(b->type), (int)b->op, b->peer,
        a->comm->rank, nccl_kind_name(a->kind), a->count, nccl_type_name(a->type), (int)a->op, a->peer);
}

static struct work *work_new(const struct nccl_call *first, int n_ranks)
{
    struct work *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->kind = first->kind;
    w->count = first->count;
    w->type = first->type;
    w->op = first->op;
    w->root = first->peer;
    w->n_ranks = n_ranks;
    return w;
}

static void work_add(struct work *w, int rank, struct nccl_call *call)
{
    call->is_taken = true;
    w->part[rank] = (struct part){.work = w, .rank = rank, .call = *call};
}

/* The operation that begins with `first`, the earliest collective nobody has taken. */
static ncclResult_t match_collective(struct nccl_call *calls, size_t n, struct nccl_call *first,
                                     struct work **work_p)
{
    const struct clique *q = first->comm->clique;
    struct work *w = *work_p = work_new(first, q->n_ranks);
    if (!w)
        return ncclSystemError;
    for (int r = 0; r < q->n_ranks; r++) {
        struct nccl_call *c = q->comm[r] ? next_collective(calls, n, q->comm[r]) : NULL;
        if (!c)
            return nccl_misuse(
                "rank %d does not take part in an %s of %zu %s that rank %d calls in this group", r,
                nccl_kind_name(first->kind), first->count, nccl_type_name(first->type), first->comm->rank);
        ncclResult_t rc = compare(first, c);
        if (rc != ncclSuccess)
            return rc;
        work_add(w, r, c);
    }
    return ncclSuccess;
}

static ncclResult_t match_pair(struct nccl_call *calls, size_t n, struct nccl_call *send,
                               struct work **work_p)
{
    for (size_t i = 0; i < n; i++) {
        struct nccl_call *c = &calls[i];
        if (c->kind != RECV || c->is_taken || c->comm->clique != send->comm->clique ||
            c->comm->rank != send->peer || c->peer != send->comm->rank)
            continue;
        if (c->count != send->count || c->type != send->type)
            return nccl_misuse("rank %d sends %zu %s to rank %d, which receives %zu %s", send->comm->rank,
                               send->count, nccl_type_name(send->type), send->peer, c->count,
                               nccl_type_name(c->type));
        struct work *w = *work_p = work_new(send, 2);
        if (!w)
            return ncclSystemError;
        work_add(w, 0, send);
        work_add(w, 1, c);
        return ncclSuccess;
    }
    return nccl_misuse("rank %d sends to rank %d, which does not receive in this group", send->comm->rank,
                       send->peer);
}

/* Appends the operations of one kind; *tail_p is the end of the list. */
static ncclResult_t match(struct nccl_call *calls, size_t n, bool is_pairs, struct work ***tail_p)
{
    ncclResult_t rc = ncclSuccess;
    for (size_t i = 0; i < n && rc == ncclSuccess; i++) {
        struct nccl_call *c = &calls[i];
        struct work *w = NULL;
        if (c->is_taken || c->kind == RECV || is_collective(c) == is_pairs)
            continue;
        rc = is_pairs ? match_pair(calls, n, c, &w) : match_collective(calls, n, c, &w);
        if (w) {
            **tail_p = w;
            *tail_p = &w->next;
        }
    }
    for (size_t i = 0; i < n && rc == ncclSuccess; i++)
        if (is_pairs && calls[i].kind == RECV && !calls[i].is_taken)
            rc = nccl_misuse("rank %d receives from rank %d, which does not send in this group",
                             calls[i].comm->rank, calls[i].peer);
    return rc;
}

/* ---- Enqueueing ---------------------------------------------------------------------------*/

static ncclResult_t launch(struct part *p, CUfunction f)
{
    ncclResult_t rc = nccl_cuda(
        nccl.cuLaunchKernel(f, 1, 1, 1, 32, 1, 1, 0, p->call.stream, (void *[]){&p}, NULL), "cuLaunchKernel");
    if (rc == ncclSuccess && !p->work->is_captured)
        atomic_fetch_add_explicit(&p->call.comm->n_pending, 1, memory_order_relaxed);
    return rc;
}

static ncclResult_t enqueue_give(struct part *p)
{
    CUstreamCaptureStatus capture = CU_STREAM_CAPTURE_STATUS_NONE;
    ncclResult_t rc = nccl_cuda(nccl.cuCtxSetCurrent(p->call.comm->ctx), "cuCtxSetCurrent");
    if (rc == ncclSuccess)
        rc = nccl_cuda(nccl.cuStreamIsCapturing(p->call.stream, &capture), "cuStreamIsCapturing");
    p->work->is_captured |= capture != CU_STREAM_CAPTURE_STATUS_NONE;
    if (rc == ncclSuccess)
        rc = launch(p, p->call.comm->give);
    if (rc == ncclSuccess)
        rc = nccl_cuda(nccl.cuEventCreate(&p->event, CU_EVENT_DISABLE_TIMING), "cuEventCreate");
    if (rc == ncclSuccess)
        rc = nccl_cuda(nccl.cuEventRecord(p->event, p->call.stream), "cuEventRecord");
    return rc;
}

static ncclResult_t enqueue_take(struct part *p)
{
    struct work *w = p->work;
    ncclResult_t rc = nccl_cuda(nccl.cuCtxSetCurrent(p->call.comm->ctx), "cuCtxSetCurrent");
    for (int r = 0; r < w->n_ranks && rc == ncclSuccess; r++)
        if (r != p->rank)
            rc = nccl_cuda(nccl.cuStreamWaitEvent(p->call.stream, w->part[r].event, CU_EVENT_WAIT_DEFAULT),
                           "cuStreamWaitEvent");
    return rc == ncclSuccess ? launch(p, p->call.comm->take) : rc;
}

static void count_operation(struct work *w)
{
    nccl.n_operations++;
    if (nccl.async_at && nccl.n_operations == nccl.async_at)
        w->part[0].call.comm->clique->async = nccl.async_code;
}

/* All that belongs together gives before any of it takes. */
static ncclResult_t enqueue(struct work *first, struct work *end)
{
    ncclResult_t rc = ncclSuccess;
    for (struct work *w = first; w != end && rc == ncclSuccess; w = w->next) {
        count_operation(w);
        for (int r = 0; r < w->n_ranks; r++)
            w->n_takes += work_received(w, r) > 0;
        w->n_left = w->n_takes;
        for (int r = 0; r < w->n_ranks && rc == ncclSuccess; r++)
            rc = enqueue_give(&w->part[r]);
    }
    for (struct work *w = first; w != end && rc == ncclSuccess; w = w->next)
        for (int r = 0; r < w->n_ranks && rc == ncclSuccess; r++)
            if (work_received(w, r))
                rc = enqueue_take(&w->part[r]);
    for (struct work *w = first; w != end; w = w->next)
        for (int r = 0; r < w->n_ranks; r++)
            if (w->part[r].event)
                nccl.cuEventDestroy(w->part[r].event);
    return rc;
}

/* Operations of no elements agree like others, and then do nothing. */
static struct work *drop_empty(struct work *list)
{
    struct work **at = &list;
    while (*at)
        if ((*at)->count == 0) {
            struct work *w = *at;
            *at = w->next;
            free(w);
        } else
            at = &(*at)->next;
    return list;
}

ncclResult_t nccl_run_group(struct nccl_call *calls, size_t n)
{
    struct work *works = NULL, **tail = &works;
    CUcontext current = NULL;
    ncclResult_t rc = match(calls, n, false, &tail);
    if (rc == ncclSuccess)
        rc = match(calls, n, true, &tail);
    if (rc != ncclSuccess) {
        while (works) {
            struct work *w = works;
            works = w->next;
            free(w);
        }
        return rc;
    }
    works = drop_empty(works);
    rc = nccl_cuda(nccl.cuCtxGetCurrent(&current), "cuCtxGetCurrent");
    struct work *w = works;
    while (w && w->kind != SEND && rc == ncclSuccess) { /* collectives one after the other */
        rc = enqueue(w, w->next);
        w = w->next;
    }
    if (rc == ncclSuccess)
        rc = enqueue(w, NULL);
    nccl.cuCtxSetCurrent(current);
    if (works) {
        struct work *last = works;
        while (last->next)
            last = last->next;
        last->next = nccl.works;
        nccl.works = works;
    }
    return rc;
}
