/* Chains of kernels of which each is launched while the one before it still runs (programmatic dependent launch): it is on the device
 * when that one ends, instead of on its way there.
 *
 * A kernel that is launched early waits by itself (kernels/entry.cuh), so the edge means what any edge means.  It takes its place on
 * the device before it can use it, though, from whatever else might run there; so only where a kernel is the one thing that
 * comes after the other, and so small that every multiprocessor has room for what else there is. */
#include <stdlib.h>

#include "gpu/code.h"
#include "gpu/graph_build.h"
#include "graph/environment.h"
#include "graph/error.h"

/* Whether the node of a command is one kernel that waits by itself. */
static bool is_waiting(const struct tgi_cuda_build *b, const struct tgi_program *p, uint32_t id)
{
    const struct tgi_command *c = &p->commands[id];
    const struct tgi_cuda_device_info *info = b->cuda->device[tgi_lane_device(c->lane)].info;
    if (c->kind != TGI_COMMAND_LAUNCH || c->step || info->cc_major < 9)
        return false;
    const uint32_t *grid = c->launch.shape.grid;
    return (uint64_t)grid[0] * grid[1] * grid[2] <= (uint64_t)info->n_sms && tgi_cuda_begins_early(c->launch.code, &c->launch.shape);
}

static void find_chains(struct tgi_cuda_build *b, const struct tgi_program *p, const uint32_t *n_after)
{
    for (uint32_t i = 0; i < p->n; i++) {
        uint32_t before = p->commands[i].n_deps == 1 ? p->deps[p->commands[i].first_dep] : i;
        b->is_early[i] = before != i && n_after[before] == 1 && is_waiting(b, p, i) && is_waiting(b, p, before) &&
                         tgi_lane_device(p->commands[i].lane) == tgi_lane_device(p->commands[before].lane);
    }
}

int tgi_cuda_build_chains(struct tgi_cuda_build *b, const struct tgi_program *p, struct tg_error *err)
{
    int rc = 0, is_on = tgi_environment_switch("TGRAPH_PDL", 1, err);
    if (is_on <= 0 || !b->cuda->api->cuGraphAddNode)
        return is_on < 0 ? is_on : 0;
    uint32_t *n_after = calloc((size_t)p->n + 1, sizeof *n_after);
    b->is_early = calloc((size_t)p->n + 1, sizeof *b->is_early);
    if (n_after && b->is_early) {
        for (uint32_t i = 0; i < p->n_deps; i++)
            n_after[p->deps[i]]++;
        find_chains(b, p, n_after);
    } else
        rc = tgi_error_memory(err, "making a graph");
    free(n_after);
    return rc;
}

int tgi_cuda_build_early(struct tgi_cuda_build *b, const struct tgi_cuda_part *part, const CUDA_KERNEL_NODE_PARAMS *kernel,
                         CUgraphNode *node_p, struct tg_error *err)
{
    CUgraphEdgeData edge = {.from_port = CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC, .type = CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC};
    CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_KERNEL};
    params.kernel = *kernel;
    b->g->n_early++;
    return TGI_CUDA_DO(b->cuda, err, cuGraphAddNode, (node_p, part->graph, b->after, &edge, b->n_after, &params),
                       "adding a kernel to a graph that begins early");
}
