/* The capture of streams into graphs. */
#include "tests/standin/internal.h"

static uint64_t next_capture = 1;
static struct capture *captures;
static __thread CUstreamCaptureMode thread_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;

struct capture *capture_find(uint64_t id)
{
    for (struct capture *c = captures; c; c = c->next)
        if (c->id == id)
            return c;
    return NULL;
}

CUresult capture_invalidate(struct capture *c, CUresult rc)
{
    c->is_invalid = true;
    return rc;
}

CUresult capture_forbid(void)
{
    CUresult rc = CUDA_SUCCESS;
    if (thread_mode == CU_STREAM_CAPTURE_MODE_RELAXED)
        return rc;
    for (struct capture *c = captures; c; c = c->next) {
        bool is_ours = pthread_equal(c->owner, pthread_self());
        if (is_ours
                ? c->mode != CU_STREAM_CAPTURE_MODE_RELAXED
                : c->mode == CU_STREAM_CAPTURE_MODE_GLOBAL && thread_mode == CU_STREAM_CAPTURE_MODE_GLOBAL)
            rc = capture_invalidate(c, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    }
    return rc;
}

bool capture_blocks_legacy(CUcontext ctx)
{
    for (struct object *o = state.objects[STREAM]; o; o = o->next) {
        CUstream s = (CUstream)o;
        if (s->capture && s->ctx == ctx && s->is_blocking &&
            s->capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED) {
            s->capture->is_invalid = true;
            return true;
        }
    }
    return false;
}

static void capture_leave(CUstream s, struct capture *c)
{
    if (s->capture != c)
        return;
    s->capture = NULL;
    free(s->deps);
    s->deps = NULL;
    s->n_deps = 0;
}

static void capture_free(struct capture *c)
{
    for (struct object *o = state.objects[STREAM]; o; o = o->next)
        capture_leave((CUstream)o, c);
    for (int d = 0; d < MAX_DEVICES; d++)
        capture_leave(&state.ctx[d].per_thread, c);
    for (struct capture **p = &captures; *p; p = &(*p)->next)
        if (*p == c) {
            *p = c->next;
            break;
        }
    free(c);
}

void captures_reset(void)
{
    while (captures)
        capture_free(captures);
}

CUresult cuStreamBeginCapture_v2(CUstream handle, CUstreamCaptureMode mode)
{
    CUstream s;
    BEGIN(cuStreamBeginCapture_v2);
    rc = stream_find(handle, &s);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (s->is_legacy)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (s->capture || (unsigned)mode > CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_ERROR_ILLEGAL_STATE;
    struct capture *c = calloc(1, sizeof *c);
    if (c)
        c->graph = graph_new(true);
    if (!c || !c->graph) {
        free(c);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    c->id = next_capture++;
    c->origin = s;
    c->mode = mode;
    c->owner = pthread_self();
    c->next = captures;
    captures = c;
    s->capture = c;
    return rc;
}

static bool is_in(CUgraphNode n, const CUgraphNode *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == n)
            return true;
    return false;
}

/* Every node that nothing comes after has to be what the origin would come after. */
static bool is_joined(struct capture *c)
{
    for (size_t i = 0; i < c->graph->n_nodes; i++) {
        bool is_leaf = true;
        for (size_t k = 0; k < c->graph->n_nodes && is_leaf; k++)
            is_leaf = !is_in(c->graph->node[i], c->graph->node[k]->before, c->graph->node[k]->n_before);
        if (is_leaf && !is_in(c->graph->node[i], c->origin->deps, c->origin->n_deps))
            return false;
    }
    return true;
}

CUresult cuStreamEndCapture(CUstream handle, CUgraph *graph_p)
{
    CUstream s;
    BEGIN_RELEASE(cuStreamEndCapture);
    rc = stream_find(handle, &s);
    if (rc != CUDA_SUCCESS)
        return rc;
    struct capture *c = s->capture;
    if (!c)
        return CUDA_ERROR_ILLEGAL_STATE;
    if (c->mode != CU_STREAM_CAPTURE_MODE_RELAXED && !pthread_equal(c->owner, pthread_self()))
        return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    if (c->origin != s)
        return capture_invalidate(c, CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
    CUgraph g = c->graph;
    rc = c->is_invalid   ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
         : !is_joined(c) ? CUDA_ERROR_STREAM_CAPTURE_UNJOINED
                         : scope.late;
    capture_free(c);
    if (rc == CUDA_SUCCESS) {
        g->is_owned = false;
        *graph_p = g;
    } else {
        graph_free(g);
        *graph_p = NULL;
    }
    return rc;
}

CUresult cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus *status_p)
{
    CUstream s;
    BEGIN(cuStreamIsCapturing);
    rc = stream_find(handle, &s);
    if (rc == CUDA_SUCCESS)
        *status_p = !s->capture              ? CU_STREAM_CAPTURE_STATUS_NONE
                    : s->capture->is_invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                             : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    return rc;
}

CUresult cuStreamGetCaptureInfo_v2(CUstream handle, CUstreamCaptureStatus *status_p, cuuint64_t *id_p,
                                   CUgraph *graph_p, const CUgraphNode **dependencies_p, size_t *n_p)
{
    CUstream s;
    BEGIN(cuStreamGetCaptureInfo_v2);
    rc = stream_find(handle, &s);
    if (rc != CUDA_SUCCESS)
        return rc;
    *status_p = CU_STREAM_CAPTURE_STATUS_NONE;
    if (!s->capture)
        return rc;
    *status_p =
        s->capture->is_invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    if (s->capture->is_invalid)
        return rc;
    if (id_p)
        *id_p = s->capture->id;
    if (graph_p)
        *graph_p = s->capture->graph;
    if (dependencies_p)
        *dependencies_p = s->deps;
    if (n_p)
        *n_p = s->n_deps;
    return rc;
}

CUresult cuStreamUpdateCaptureDependencies(CUstream handle, CUgraphNode *dependencies, size_t n,
                                           unsigned int flags)
{
    CUstream s;
    BEGIN(cuStreamUpdateCaptureDependencies);
    rc = stream_find(handle, &s);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!s->capture || flags > 1)
        return CUDA_ERROR_ILLEGAL_STATE;
    for (size_t i = 0; i < n; i++)
        if (!is_object(dependencies[i], NODE) || dependencies[i]->graph != s->capture->graph)
            return CUDA_ERROR_INVALID_VALUE;
    CUgraphNode *list = malloc((s->n_deps + n + 1) * sizeof *list);
    size_t count = 0;
    if (!list)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; flags == 0 && i < s->n_deps; i++)
        list[count++] = s->deps[i];
    for (size_t i = 0; i < n; i++)
        if (!is_in(dependencies[i], list, count))
            list[count++] = dependencies[i];
    free(s->deps);
    s->deps = list;
    s->n_deps = count;
    return rc;
}

CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode)
{
    BEGIN(cuThreadExchangeStreamCaptureMode);
    CUstreamCaptureMode before = thread_mode;
    thread_mode = *mode;
    *mode = before;
    return rc;
}
