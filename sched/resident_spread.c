/* See resident_spread.h. */
#include "sched/resident_spread.h"

#include <stdlib.h>
#include <string.h>

#include "graph/environment.h"
#include "graph/error.h"
#include "graph/vec.h"

int tgi_spread_find_asked(enum tgi_spread *asked_p, struct tg_error *err)
{
    static const char *const words[] = {[TGI_SPREAD_ON] = "on", [TGI_SPREAD_OFF] = "off", NULL};
    int asked = tgi_environment_word("TGRAPH_RESIDENT_SPREAD", words, TGI_SPREAD_USUAL, err);
    if (asked < 0)
        return asked;
    *asked_p = (enum tgi_spread)asked;
    return 0;
}

const char tgi_spread_one_device[] = "all of it is on one device";
const char tgi_spread_nothing_across[] = "no edge between devices is inside a cluster";

/* ---- Whether ------------------------------------------------------------------------------*/

/* Devices that the program's commands are for, ascending; how many. */
static uint32_t find_devices(const struct tgi_devices *ds, const struct tgi_program *p, uint32_t *devices)
{
    uint32_t seen = 0, n = 0;
    for (uint32_t i = 0; i < p->n; i++)
        seen |= 1u << tgi_lane_device(p->commands[i].lane);
    for (uint32_t d = 0; d < ds->n_devices; d++)
        if (seen >> d & 1)
            devices[n++] = d;
    return n;
}

int tgi_spread_against(struct tgi_devices *ds, const struct tgi_program *p, const char **why_p, struct tg_error *err)
{
    uint32_t devices[TGI_MAX_DEVICES], n = find_devices(ds, p, devices);
    struct tgi_resident_room room;
    *why_p = n < 2 ? tgi_spread_one_device : !ds->ops->resident_spreads ? "such devices have no kernels for it" : NULL;
    for (uint32_t i = 0; !*why_p && i < n; i++) {
        int rc = ds->ops->resident_room(ds, devices[i], &room, err);
        if (rc && rc != TG_E_UNSUPPORTED)
            return rc;
        *why_p = rc ? "one of its devices cannot hold all blocks of a kernel at once" : NULL;
    }
    if (!*why_p)
        ds->ops->resident_spreads(ds, devices, n, why_p);
    return 0;
}

/* ---- What it comes after ------------------------------------------------------------------*/

/* Devices on which a command executes code, a bit each. */
static uint32_t code_of(const struct tgi_command *c)
{
    uint32_t devices = 0;
    switch (c->kind) {
    case TGI_COMMAND_LAUNCH:
    case TGI_COMMAND_FILL:
        return 1u << tgi_lane_device(c->lane);
    case TGI_COMMAND_COLLECT:
        return UINT32_MAX;
    case TGI_COMMAND_RESIDENT:
        for (uint32_t i = 0; i < c->cluster->n_devices; i++)
            devices |= 1u << c->cluster->device[i];
        return devices;
    default:
        return 0;
    }
}

/* Backwards, so that of those in a row the last one is enough. */
bool tgi_spread_come_alone(const struct tgi_program *to, uint32_t devices, uint32_t **deps, uint32_t *n_deps, uint32_t *cap_deps)
{
    uint8_t *is_before = calloc((size_t)to->n + 1, 1);
    bool is_good = is_before != NULL;
    for (uint32_t i = 0; is_good && i < *n_deps; i++)
        is_before[(*deps)[i]] = 1;
    for (uint32_t i = to->n; is_good && i-- > 0;) {
        const struct tgi_command *c = &to->commands[i];
        if (!is_before[i] && code_of(c) & devices) {
            is_good = tgi_vec_reserve(deps, cap_deps, (uint64_t)*n_deps + 1, sizeof **deps);
            if (is_good)
                (*deps)[(*n_deps)++] = i;
            is_before[i] = 1;
        }
        for (uint32_t d = 0; is_before[i] && d < c->n_deps; d++)
            is_before[to->deps[c->first_dep + d]] = 1;
    }
    free(is_before);
    return is_good;
}

/* ---- The plan -----------------------------------------------------------------------------*/

/* Of the widest level of any device; 0: no memory. */
static uint32_t find_width(const struct tgi_resident_dag *dag, const uint32_t *level, uint32_t n_devices)
{
    uint32_t width = 1, *n_at = malloc(((size_t)dag->n_tasks + 1) * sizeof *n_at);
    for (uint32_t d = 0; n_at && d < n_devices; d++) {
        memset(n_at, 0, ((size_t)dag->n_tasks + 1) * sizeof *n_at);
        for (uint32_t t = 0; t < dag->n_tasks; t++)
            if (dag->device_of[t] == d && ++n_at[level[t]] > width)
                width = n_at[level[t]];
    }
    bool is_good = n_at != NULL;
    free(n_at);
    return is_good ? width : 0;
}

int tgi_spread_plan(struct tgi_devices *ds, const struct tgi_resident_dag *dag, const uint32_t *level, const struct tgi_resident_costs *costs,
                    struct tgi_cluster *cluster, struct tg_error *err)
{
    uint32_t width = find_width(dag, level, cluster->n_devices);
    struct tgi_resident_room least = {UINT32_MAX, UINT32_MAX, UINT32_MAX, false}, room;
    int rc = width ? 0 : tgi_error_memory(err, "planning a resident program");
    for (uint32_t i = 0; rc == 0 && i < cluster->n_devices; i++) {
        rc = ds->ops->resident_room(ds, cluster->device[i], &room, err);
        if (rc)
            return rc;
        least.n_blocks = room.n_blocks < least.n_blocks ? room.n_blocks : least.n_blocks;
        least.n_workers_each = room.n_workers_each < least.n_workers_each ? room.n_workers_each : least.n_workers_each;
        least.shared_bytes = room.shared_bytes < least.shared_bytes ? room.shared_bytes : least.shared_bytes;
    }
    if (rc)
        return rc;
    uint32_t n_blocks = (width + least.n_workers_each - 1) / least.n_workers_each;
    struct tgi_resident_shape shape = {n_blocks < least.n_blocks ? n_blocks : least.n_blocks, least.n_workers_each, least.shared_bytes,
                                       TGI_RESIDENT_WARP};
    rc = tgi_resident_plan_peers(dag, &shape, cluster->n_devices, costs, &cluster->program, err);
    return rc ? rc : tgi_resident_check(dag, cluster->program, err);
}
