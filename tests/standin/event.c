/* Events: recorded and waited for in streams, in captures as well. */
#define _GNU_SOURCE
#include "tests/standin/internal.h"

CUresult cuEventCreate(CUevent *event_p, unsigned int flags)
{
    CUcontext c;
    BEGIN(cuEventCreate);
    rc = current_ctx(&c);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (flags & ~3u)
        return CUDA_ERROR_INVALID_VALUE;
    CUevent e = object_new(EVENT, sizeof *e);
    if (!e)
        return CUDA_ERROR_OUT_OF_MEMORY;
    e->ctx = c;
    e->flags = flags;
    *event_p = e;
    return rc;
}

static CUresult record(CUevent e, CUstream handle)
{
    CUstream s;
    CUresult rc = stream_find(handle, &s);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!is_object(e, EVENT) || e->ctx != s->ctx)
        return CUDA_ERROR_INVALID_HANDLE;
    if (s->capture) {
        if (s->capture->is_invalid)
            return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        CUgraphNode *deps = malloc((s->n_deps + 1) * sizeof *deps);
        if (!deps)
            return CUDA_ERROR_OUT_OF_MEMORY;
        if (s->n_deps)
            memcpy(deps, s->deps, s->n_deps * sizeof *deps);
        free(e->deps);
        e->deps = deps;
        e->n_deps = s->n_deps;
        e->capture_id = s->capture->id;
        return rc;
    }
    struct op op = {.kind = OP_RECORD, .device = s->ctx->device};
    struct item *it = NULL;
    op.event = e;
    rc = stream_append(s, &op, &it);
    if (rc == CUDA_SUCCESS) {
        item_release(e->last);
        e->last = it;
        e->capture_id = 0;
    }
    return rc;
}

CUresult cuEventRecord(CUevent event, CUstream stream)
{
    BEGIN(cuEventRecord);
    return record(event, stream);
}

CUresult cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned int flags)
{
    BEGIN(cuEventRecordWithFlags);
    return flags ? CUDA_ERROR_NOT_SUPPORTED : record(event, stream);
}

static CUresult join_capture(CUstream s, CUevent e)
{
    struct capture *c = capture_find(e->capture_id);
    if (!c)
        return CUDA_ERROR_INVALID_VALUE; /* the capture has ended */
    if (c->is_invalid)
        return CUDA_ERROR_INVALID_VALUE;
    if (s->is_legacy)
        return capture_invalidate(c, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
    if (s->capture && s->capture != c) {
        capture_invalidate(c, CUDA_ERROR_STREAM_CAPTURE_MERGE);
        return capture_invalidate(s->capture, CUDA_ERROR_STREAM_CAPTURE_MERGE);
    }
    CUgraphNode *deps = realloc(s->deps, (s->n_deps + e->n_deps + 1) * sizeof *deps);
    if (!deps)
        return CUDA_ERROR_OUT_OF_MEMORY;
    s->deps = deps;
    s->capture = c;
    for (size_t i = 0; i < e->n_deps; i++) {
        bool is_there = false;
        for (size_t j = 0; j < s->n_deps; j++)
            is_there |= deps[j] == e->deps[i];
        if (!is_there)
            deps[s->n_deps++] = e->deps[i];
    }
    return CUDA_SUCCESS;
}

/* Some command that an event stands for becomes late: one of the last before it, and with it all that follow. */
static void make_late(CUevent e)
{
    for (struct item *it = is_object(e, EVENT) ? e->last : NULL; it && !it->is_done;
         it = it->n_before ? it->before[0] : NULL) { /* the one before in the stream */
        bool is_order = it->op.kind == OP_NOTHING || it->op.kind == OP_RECORD || it->op.kind == OP_WAIT;
        if (is_order || draw(3) == 0)
            continue;
        it->is_late = true;
        return;
    }
}

CUresult cuStreamWaitEvent(CUstream handle, CUevent e, unsigned int flags)
{
    CUstream s;
    CUresult rc;
    struct scope scope __attribute__((cleanup(leave))) = {0};
    if (!enter(&scope, CALL_cuStreamWaitEvent, ENTER, &rc)) {
        if (scope.is_skipped)
            make_late(e);
        return rc;
    }
    rc = stream_find(handle, &s);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (flags)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (!is_object(e, EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    state.stats.n_waits++;
    if (e->capture_id)
        return join_capture(s, e);
    if (s->capture)
        return e->last ? capture_invalidate(s->capture, CUDA_ERROR_STREAM_CAPTURE_ISOLATION) : rc;
    if (!e->last || e->last->is_done)
        return rc;
    struct op op = {.kind = OP_WAIT, .device = s->ctx->device};
    struct item *it = item_new(&op, s->speed);
    if (!it || !stream_order(s, it) || !item_order(e->last, it))
        return CUDA_ERROR_OUT_OF_MEMORY;
    stream_set_tail(s, it);
    item_start(it);
    return rc;
}

/* Asking a captured event for its state ends the capture. */
static CUresult captured_event(CUevent e)
{
    struct capture *c = capture_find(e->capture_id);
    return c ? capture_invalidate(c, CUDA_ERROR_CAPTURED_EVENT) : CUDA_ERROR_CAPTURED_EVENT;
}

CUresult cuEventQuery(CUevent e)
{
    BEGIN(cuEventQuery);
    if (!is_object(e, EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    if (e->capture_id)
        return captured_event(e);
    struct item *last = e->last;
    if (!last || last->is_done)
        return rc;
    last->n_refs++;
    poll_some();
    rc = state.sticky != CUDA_SUCCESS ? state.sticky : last->is_done ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
    item_release(last);
    return rc;
}

CUresult cuEventSynchronize(CUevent e)
{
    BEGIN(cuEventSynchronize);
    if (!is_object(e, EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    if (e->capture_id)
        return captured_event(e);
    return e->last ? demand(e->last) : rc;
}

CUresult cuEventElapsedTime(float *ms_p, CUevent begin, CUevent end)
{
    BEGIN(cuEventElapsedTime);
    if (!is_object(begin, EVENT) || !is_object(end, EVENT) ||
        (begin->flags | end->flags) & CU_EVENT_DISABLE_TIMING || !begin->last || !end->last ||
        begin->capture_id || end->capture_id)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!begin->last->is_done || !end->last->is_done)
        return CUDA_ERROR_NOT_READY;
    *ms_p = (float)((end->last->time_us - begin->last->time_us) / 1000);
    return rc;
}

CUresult cuEventDestroy_v2(CUevent e)
{
    BEGIN_RELEASE(cuEventDestroy_v2);
    if (!is_object(e, EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    item_release(e->last);
    e->last = NULL;
    free(e->deps);
    e->deps = NULL;
    object_kill(e);
    DONE(rc);
}
