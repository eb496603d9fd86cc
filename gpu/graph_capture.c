/* Commands that only a capture can tell the nodes of: calls of libraries, collectives, wide patterns. */
#include <stdio.h>

#include "gpu/collective.h"
#include "gpu/graph.h"
#include "graph/error.h"
#include "mem/program.h"

/* The lanes of a collective, rank by rank. */
static void read_lanes(const struct tgi_program *p, const struct tgi_command *c, uint32_t *lanes)
{
    for (uint32_t i = 0; i < c->collect.n_ranks; i++)
        lanes[i] = (uint32_t)p->words[c->collect.first_rank + c->collect.n_ranks + i];
}

/* Lane `to` comes after lane `from`. */
static int follow(struct tgi_cuda *cuda, uint32_t from, uint32_t to, struct tg_error *err)
{
    const struct tgi_device_ops *ops = cuda->base.ops;
    struct tgi_event *event = NULL;
    int rc = ops->event_create(&cuda->base, tgi_lane_device(from), false, &event, err);
    if (rc == 0)
        rc = ops->record(&cuda->base, from, event, err);
    if (rc == 0)
        rc = ops->wait(&cuda->base, to, event, err);
    ops->event_destroy(&cuda->base, event);
    return rc;
}

/* All lanes join the capture of the first one and come back to it.  They do the latter also after an error, or they would
 * stay in a capture that is over. */
static int issue_collective(struct tgi_cuda *cuda, const struct tgi_program *p, const struct tgi_command *c, struct tg_error *err)
{
    const struct tgi_device_ops *ops = cuda->base.ops;
    uint32_t n = c->collect.n_ranks, lanes[TGI_MAX_DEVICES], n_joined = 1;
    int rc = 0;
    read_lanes(p, c, lanes);
    for (uint32_t i = 1; rc == 0 && i < n; i++) {
        rc = follow(cuda, lanes[0], lanes[i], err);
        n_joined += rc == 0;
    }
    if (rc == 0)
        rc = ops->collect(&cuda->base, c->collect.op, c->collect.dtype, c->collect.n_elems, n, &p->words[c->collect.first_rank],
                          NULL, lanes, err);
    for (uint32_t i = 1; i < n_joined; i++) {
        int answer = follow(cuda, lanes[i], lanes[0], rc ? NULL : err);
        rc = rc ? rc : answer;
    }
    return rc;
}

/* The same command as live, into a lane that captures. */
static int issue(struct tgi_cuda *cuda, const struct tgi_program *p, const struct tgi_command *c, void **args,
                 struct tg_error *err)
{
    const struct tgi_device_ops *ops = cuda->base.ops;
    if (c->kind == TGI_COMMAND_COLLECT)
        return issue_collective(cuda, p, c, err);
    if (c->kind == TGI_COMMAND_LAUNCH)
        return ops->launch(&cuda->base, c->lane, c->launch.code, &c->launch.shape, args, err);
    return ops->fill(&cuda->base, c->lane, c->fill.address, c->fill.n_elems, c->fill.dtype, c->fill.word, err);
}

/* What must not happen while a lane captures. */
static int prepare(struct tgi_cuda *cuda, const struct tgi_program *p, const struct tgi_command *c, struct tg_error *err)
{
    uint32_t lanes[TGI_MAX_DEVICES];
    if (c->kind != TGI_COMMAND_COLLECT)
        return 0;
    read_lanes(p, c, lanes);
    int rc = tgi_cuda_collective_prepare(cuda, c->collect.n_ranks, lanes, err);
    return rc ? rc : tgi_cuda_enter(cuda, tgi_lane_device(c->lane), err);
}

/* A library that must not be captured, or not yet, spoils the capture with whatever error it likes. */
static int refused(struct tgi_cuda *cuda, int rc, struct tg_error *err)
{
    char text[sizeof err->text];
    if (rc == 0 || rc == TG_E_COLLECTIVE || tgi_devices_are_lost(&cuda->base) || !err)
        return rc;
    snprintf(text, sizeof text, "%s", err->text);
    return tgi_error(err, TG_E_UNSUPPORTED, "it cannot be captured: %.400s", text);
}

/* Relaxed: a library may allocate a workspace, which is no part of the graph, and other threads do what they like. */
int tgi_cuda_graph_capture(struct tgi_cuda *cuda, const struct tgi_program *p, const struct tgi_command *c, void **args,
                           CUgraph *child_p, struct tg_error *err)
{
    CUstream stream = tgi_cuda_stream(cuda, c->lane);
    CUgraph child = NULL;
    int rc = prepare(cuda, p, c, err);
    if (rc == 0)
        rc = TGI_CUDA_DO(cuda, err, cuStreamBeginCapture, (stream, CU_STREAM_CAPTURE_MODE_RELAXED), "beginning a capture");
    if (rc)
        return rc;
    rc = issue(cuda, p, c, args, err);
    /* Also after an error: the lane has to be an ordinary stream again. */
    struct tg_error *end_err = rc ? NULL : err;
    int end = TGI_CUDA_DO(cuda, end_err, cuStreamEndCapture, (stream, &child), "ending a capture");
    rc = refused(cuda, rc ? rc : end, err);
    if (rc && child)
        cuda->api->cuGraphDestroy(child);
    else if (rc == 0)
        *child_p = child;
    return rc;
}
