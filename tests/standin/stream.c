/* Streams: what their next item comes after, also across the legacy stream, and the calls. */
#define _GNU_SOURCE
#include "tests/standin/internal.h"

CUresult stream_find(CUstream handle, CUstream *stream_p)
{
    if (handle == NULL || handle == CU_STREAM_LEGACY || handle == CU_STREAM_PER_THREAD) {
        CUcontext c;
        CUresult rc = current_ctx(&c);
        if (rc != CUDA_SUCCESS)
            return rc;
        *stream_p = handle == CU_STREAM_PER_THREAD ? &c->per_thread : &c->legacy;
        return (*stream_p)->is_legacy && capture_blocks_legacy(c) ? CUDA_ERROR_STREAM_CAPTURE_IMPLICIT : rc;
    }
    if (!is_object(handle, STREAM))
        return CUDA_ERROR_INVALID_HANDLE;
    *stream_p = handle;
    return CUDA_SUCCESS;
}

/* The legacy stream waits for all that block, and they for it. */
bool stream_order(CUstream s, struct item *it)
{
    CUcontext c = s->ctx;
    if (!item_order(s->tail, it))
        return false;
    if (s->is_blocking && !item_order(c->legacy.tail, it))
        return false;
    if (!s->is_legacy)
        return true;
    for (struct object *o = state.objects[STREAM]; o; o = o->next) {
        CUstream other = (CUstream)o;
        if (other->ctx == c && other->is_blocking && !item_order(other->tail, it))
            return false;
    }
    return item_order(c->per_thread.tail, it);
}

void stream_set_tail(CUstream s, struct item *it)
{
    it->n_refs++;
    item_release(s->tail);
    s->tail = it;
}

CUresult stream_append(CUstream s, struct op *op, struct item **item_p)
{
    if (draw(8) == 0)
        s->speed = (unsigned)draw(1000);
    if (op->kind == OP_HOST && !host_thread_ready())
        return CUDA_ERROR_OUT_OF_MEMORY;
    struct item *it = item_new(op, s->speed);
    if (!it)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (op->kind != OP_WAIT && op->kind != OP_NOTHING)
        it->op.device = s->ctx->device;
    if (!stream_order(s, it)) {
        fault(CUDA_ERROR_OUT_OF_MEMORY, "the stand-in has no memory for an order");
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    stream_set_tail(s, it);
    if (item_p) {
        it->n_refs++;
        *item_p = it;
    }
    item_start(it);
    return CUDA_SUCCESS;
}

CUresult stream_enqueue(CUstream s, struct op *op)
{
    CUgraphNode node;
    if (!s->capture)
        return stream_append(s, op, NULL);
    if (s->capture->is_invalid) {
        op_fini(op);
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    }
    CUresult rc = graph_add(s->capture->graph, s->deps, s->n_deps, op, &node);
    if (rc != CUDA_SUCCESS)
        return rc;
    CUgraphNode *deps = realloc(s->deps, sizeof *deps);
    if (!deps)
        return CUDA_ERROR_OUT_OF_MEMORY;
    deps[0] = node;
    s->deps = deps;
    s->n_deps = 1;
    return CUDA_SUCCESS;
}

static CUresult stream_create(CUstream *stream_p, unsigned flags, int priority)
{
    CUcontext c;
    CUresult rc = current_ctx(&c);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (flags & ~(unsigned)CU_STREAM_NON_BLOCKING)
        return CUDA_ERROR_INVALID_VALUE;
    CUstream s = object_new(STREAM, sizeof *s);
    if (!s)
        return CUDA_ERROR_OUT_OF_MEMORY;
    s->ctx = c;
    s->is_blocking = !(flags & CU_STREAM_NON_BLOCKING);
    s->priority = priority;
    s->speed = (unsigned)draw(1000);
    *stream_p = s;
    return CUDA_SUCCESS;
}

CUresult cuStreamCreate(CUstream *stream_p, unsigned int flags)
{
    BEGIN(cuStreamCreate);
    return stream_create(stream_p, flags, 0);
}

CUresult cuStreamCreateWithPriority(CUstream *stream_p, unsigned int flags, int priority)
{
    BEGIN(cuStreamCreateWithPriority);
    return stream_create(stream_p, flags, priority);
}

/* What is queued still runs. */
CUresult cuStreamDestroy_v2(CUstream s)
{
    BEGIN_RELEASE(cuStreamDestroy_v2);
    if (!is_object(s, STREAM) || s->is_legacy || s == &s->ctx->per_thread)
        return CUDA_ERROR_INVALID_HANDLE;
    if (s->capture)
        capture_invalidate(s->capture, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    if (s->is_blocking && s->tail && !s->tail->is_done && state.sticky == CUDA_SUCCESS) {
        /* The legacy stream keeps waiting for it. */
        struct op nothing = {.kind = OP_NOTHING, .device = s->ctx->device};
        struct item *it = item_new(&nothing, s->speed);
        if (!it || !item_order(s->tail, it) || !item_order(s->ctx->legacy.tail, it))
            return CUDA_ERROR_OUT_OF_MEMORY;
        stream_set_tail(&s->ctx->legacy, it);
        item_start(it);
    }
    item_release(s->tail);
    s->tail = NULL;
    free(s->deps);
    s->deps = NULL;
    object_kill(s);
    DONE(rc);
}

CUresult cuStreamSynchronize(CUstream handle)
{
    CUstream s;
    BEGIN(cuStreamSynchronize);
    rc = stream_find(handle, &s);
    if (rc == CUDA_SUCCESS && s->capture)
        rc = capture_invalidate(s->capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (s->is_legacy) { /* with it, all that block */
        struct op nothing = {.kind = OP_NOTHING, .device = s->ctx->device};
        rc = stream_append(s, &nothing, NULL);
    }
    return rc == CUDA_SUCCESS && s->tail ? demand(s->tail) : rc;
}

CUresult cuStreamQuery(CUstream handle)
{
    CUstream s;
    BEGIN(cuStreamQuery);
    rc = stream_find(handle, &s);
    if (rc == CUDA_SUCCESS && s->capture)
        rc = capture_invalidate(s->capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (s->is_legacy) {
        struct op nothing = {.kind = OP_NOTHING, .device = s->ctx->device};
        rc = stream_append(s, &nothing, NULL);
    }
    struct item *tail = s->tail;
    if (rc != CUDA_SUCCESS || !tail || tail->is_done)
        return rc;
    tail->n_refs++;
    poll_some();
    rc = state.sticky != CUDA_SUCCESS ? state.sticky : tail->is_done ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
    item_release(tail);
    return rc;
}

CUresult cuStreamGetCtx(CUstream handle, CUcontext *ctx_p)
{
    CUstream s;
    BEGIN(cuStreamGetCtx);
    rc = stream_find(handle, &s);
    if (rc == CUDA_SUCCESS)
        *ctx_p = s->ctx;
    return rc;
}

CUresult cuLaunchHostFunc(CUstream handle, CUhostFn fn, void *user)
{
    CUstream s;
    BEGIN(cuLaunchHostFunc);
    rc = stream_find(handle, &s);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!fn)
        return CUDA_ERROR_INVALID_VALUE;
    struct op op = {.kind = OP_HOST, .device = s->ctx->device};
    op.host.fn = fn;
    op.host.user = user;
    return stream_enqueue(s, &op);
}
