/* Lower bounds.
 *
 * Critical path: every task takes its least time, and nothing waits for anything else.
 *
 * Area: minimise T such that all tasks are done and no class is busy for more than its lanes times T.  The dual says: for
 * any prices y of the classes with sum(lanes * y) = 1, sum over tasks of min over classes (y * time) is a
 * lower bound.  The primal is solved by column generation (Dantzig and Wolfe, "Decomposition principle for
 * linear programs", 1960): a column is a way to assign all tasks, the prices of the last basis tell the next column, which
 * is every task on the class that is cheapest for it, and its cost is a bound as above.  The basis has a row for
 * each class and one more, so its inverse is kept as it is.  Whenever it stops, what is returned is a
 * bound of that form, and thus true.
 *
 * Memory: all bytes through all controllers that can serve them.
 *
 * Links: what a task reads that was there at the start, in memory 0, and that no device of memory 0 may run has to leave it,
 * once at least, through what memory 0 has for links. */
#include "sched/bounds.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"

const char *tgi_bound_name(enum tgi_bound bound)
{
    static const char *const names[] = {"critical path", "area", "memory", "links"};
    return names[bound];
}

/* ---- Area ---------------------------------------------------------------------------------*/

enum { ROWS = TGI_MACHINE_CLASSES + 1, MAX_COLUMNS = 2000 };

/* Rows: a class each (busy time - lanes * T + slack = 0), then the sum of the columns' weights (= 1). */
struct master {
    uint32_t n_rows;
    double inverse[ROWS][ROWS]; /* of the basis */
    double value[ROWS];         /* of the basic variables */
    double cost[ROWS];          /* theirs: 1 for T, else 0 */
};

static void entering(const struct master *m, const double *column, double *direction)
{
    for (uint32_t i = 0; i < m->n_rows; i++) {
        direction[i] = 0;
        for (uint32_t k = 0; k < m->n_rows; k++)
            direction[i] += m->inverse[i][k] * column[k];
    }
}

static void pivot(struct master *m, uint32_t row, const double *direction, double cost)
{
    double scale = 1 / direction[row];
    m->value[row] *= scale;
    for (uint32_t k = 0; k < m->n_rows; k++)
        m->inverse[row][k] *= scale;
    for (uint32_t i = 0; i < m->n_rows; i++) {
        if (i == row || direction[i] == 0)
            continue;
        m->value[i] -= direction[i] * m->value[row];
        for (uint32_t k = 0; k < m->n_rows; k++)
            m->inverse[i][k] -= direction[i] * m->inverse[row][k];
    }
    m->cost[row] = cost;
}

/* false: nothing limits it, which cannot be but for rounding. */
static bool enter(struct master *m, const double *column, double cost)
{
    double direction[ROWS], least = INFINITY;
    uint32_t row = TG_NONE;
    entering(m, column, direction);
    for (uint32_t i = 0; i < m->n_rows; i++)
        if (direction[i] > 1e-12 && m->value[i] / direction[i] < least) {
            least = m->value[i] / direction[i];
            row = i;
        }
    if (row == TG_NONE)
        return false;
    pivot(m, row, direction, cost);
    return true;
}

struct area {
    uint32_t n_kinds, n_classes;
    const double *count, *ns, *n_lanes;
};

/* The cheapest assignment at these prices: busy time by class; returns what it costs. */
static double cheapest(const struct area *a, const double *price, double *column)
{
    double cost = 0;
    memset(column, 0, ROWS * sizeof *column);
    for (uint32_t k = 0; k < a->n_kinds; k++) {
        const double *ns = a->ns + (size_t)k * a->n_classes;
        uint32_t best = TG_NONE;
        for (uint32_t c = 0; c < a->n_classes; c++)
            if (!isinf(ns[c]) && a->n_lanes[c] > 0 && (best == TG_NONE || price[c] * ns[c] < price[best] * ns[best]))
                best = c;
        if (best == TG_NONE)
            continue;
        column[best] += a->count[k] * ns[best];
        cost += a->count[k] * ns[best] * price[best];
    }
    column[a->n_classes] = 1;
    return cost;
}

/* Starts from one assignment, with T as long as its busiest class needs. */
static void master_init(struct master *m, const struct area *a, const double *column)
{
    uint32_t n = a->n_classes, busiest = 0;
    double t_column[ROWS] = {0}, direction[ROWS];
    *m = (struct master){.n_rows = n + 1};
    for (uint32_t i = 0; i <= n; i++)
        m->inverse[i][i] = 1;
    m->value[n] = 1;
    entering(m, column, direction); /* the assignment takes the last row */
    pivot(m, n, direction, 0);
    for (uint32_t c = 0; c < n; c++) {
        t_column[c] = -a->n_lanes[c];
        if (a->n_lanes[c] > 0 &&
            (a->n_lanes[busiest] <= 0 || column[c] / a->n_lanes[c] > column[busiest] / a->n_lanes[busiest]))
            busiest = c;
    }
    entering(m, t_column, direction);
    pivot(m, busiest, direction, 1);
}

static void find_prices(const struct master *m, const struct area *a, double *price)
{
    double sum = 0;
    for (uint32_t c = 0; c < a->n_classes; c++) {
        price[c] = 0;
        for (uint32_t i = 0; i < m->n_rows; i++)
            price[c] -= m->cost[i] * m->inverse[i][c];
        price[c] = price[c] > 0 ? price[c] : 0;
        sum += price[c] * a->n_lanes[c];
    }
    for (uint32_t c = 0; c < a->n_classes && sum > 0; c++)
        price[c] /= sum;
}

static double objective(const struct master *m)
{
    double t = 0;
    for (uint32_t i = 0; i < m->n_rows; i++)
        t += m->cost[i] * m->value[i];
    return t;
}

/* Slacks whose price is negative come back in. */
static void free_slacks(struct master *m, const struct area *a)
{
    for (uint32_t c = 0; c < a->n_classes; c++) {
        double price = 0, column[ROWS] = {0};
        for (uint32_t i = 0; i < m->n_rows; i++)
            price -= m->cost[i] * m->inverse[i][c];
        column[c] = 1;
        if (price < -1e-12)
            enter(m, column, 0);
    }
}

int tgi_bounds_area(uint32_t n_kinds, uint32_t n_classes, const double *count, const double *ns, const double *n_lanes,
                    double *area_p, double *gap_p, struct tg_error *err)
{
    struct area a = {n_kinds, n_classes, count, ns, n_lanes};
    struct master m;
    double price[TGI_MACHINE_CLASSES] = {0}, column[ROWS], best = 0, total = 0, t = 0;
    if (n_classes == 0 || n_classes > TGI_MACHINE_CLASSES)
        return tgi_error(err, TG_E_LIMIT, "%u classes of devices; there can be %d", n_classes, TGI_MACHINE_CLASSES);
    for (uint32_t c = 0; c < n_classes; c++)
        total += n_lanes[c];
    for (uint32_t c = 0; c < n_classes; c++)
        price[c] = total > 0 ? 1 / total : 0;
    best = cheapest(&a, price, column);
    master_init(&m, &a, column);
    for (uint32_t i = 0; i < MAX_COLUMNS; i++) {
        free_slacks(&m, &a);
        find_prices(&m, &a, price);
        double bound = cheapest(&a, price, column);
        best = bound > best ? bound : best;
        t = objective(&m);
        if (best >= t * (1 - 1e-10) || !enter(&m, column, 0))
            break;
    }
    *area_p = best;
    if (gap_p)
        *gap_p = t > 0 ? (t - best) / t : 0;
    return 0;
}

/* Tasks that take the same times are of one kind. */
struct kinds {
    const struct tgi_workload *w;
    uint32_t n, n_slots;
    uint32_t *slots, *like; /* 1 + kind; by kind: a task of it */
    double *count, *ns;
};

static bool is_like(const struct tgi_workload *w, uint32_t a, uint32_t b)
{
    return memcmp(w->ns + (size_t)a * w->n_classes, w->ns + (size_t)b * w->n_classes, w->n_classes * sizeof *w->ns) == 0;
}

static uint32_t find_kind(struct kinds *k, uint32_t task)
{
    const uint8_t *bytes = (const uint8_t *)(k->w->ns + (size_t)task * k->w->n_classes);
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < k->w->n_classes * sizeof *k->w->ns; i++)
        hash = (hash ^ bytes[i]) * 1099511628211u;
    uint32_t slot = (uint32_t)(hash >> 20) & (k->n_slots - 1);
    while (k->slots[slot] && !is_like(k->w, k->like[k->slots[slot] - 1], task))
        slot = (slot + 1) & (k->n_slots - 1);
    if (!k->slots[slot]) {
        k->like[k->n] = task;
        k->slots[slot] = ++k->n;
    }
    return k->slots[slot] - 1;
}

static int area_of(const struct tgi_workload *w, double *area_p, struct tg_error *err)
{
    struct kinds k = {.w = w, .n_slots = 64};
    double n_lanes[TGI_MACHINE_CLASSES] = {0};
    while (k.n_slots < 2 * (uint64_t)w->n_tasks)
        k.n_slots *= 2;
    k.slots = calloc(k.n_slots, sizeof *k.slots);
    k.like = malloc(((size_t)w->n_tasks + 1) * sizeof *k.like);
    k.count = calloc((size_t)w->n_tasks + 1, sizeof *k.count);
    int rc = k.slots && k.like && k.count ? 0 : tgi_error_memory(err, "planning");
    for (uint32_t t = 0; rc == 0 && t < w->n_tasks; t++)
        k.count[find_kind(&k, t)]++;
    k.ns = malloc(((size_t)k.n * w->n_classes + 1) * sizeof *k.ns);
    if (rc == 0 && !k.ns)
        rc = tgi_error_memory(err, "planning");
    for (uint32_t i = 0; rc == 0 && i < k.n; i++)
        for (uint32_t c = 0; c < w->n_classes; c++)
            k.ns[(size_t)i * w->n_classes + c] = w->ns[(size_t)k.like[i] * w->n_classes + c];
    for (uint32_t d = 0; d < w->machine->n_devices; d++)
        n_lanes[w->machine->devices[d].class] += w->machine->devices[d].n_lanes;
    if (rc == 0)
        rc = tgi_bounds_area(k.n, w->n_classes, k.count, k.ns, n_lanes, area_p, NULL, err);
    free(k.slots);
    free(k.like);
    free(k.count);
    free(k.ns);
    return rc;
}

/* ---- The others ---------------------------------------------------------------------------*/

static int path_of(const struct tgi_workload *w, double *path_p, struct tg_error *err)
{
    const struct tg_graph *g = w->graph;
    double *after = malloc(((size_t)w->n_tasks + 1) * sizeof *after);
    *path_p = 0;
    if (!after)
        return tgi_error_memory(err, "planning");
    for (uint32_t i = w->n_tasks; i-- > 0;) {
        uint32_t t = tgi_workload_task_at(w, i);
        after[t] = 0;
        for (uint32_t k = g->nodes[t].succ; k < g->nodes[t + 1].succ; k++)
            after[t] = after[g->succ[k]] > after[t] ? after[g->succ[k]] : after[t];
        after[t] += tgi_workload_least_ns(w, t);
        *path_p = after[t] > *path_p ? after[t] : *path_p;
    }
    free(after);
    return 0;
}

/* Classes a task can run on. */
static uint32_t mask_of(const struct tgi_workload *w, uint32_t task)
{
    uint32_t mask = 0;
    for (uint32_t c = 0; c < w->n_classes; c++)
        mask |= !isinf(w->ns[(size_t)task * w->n_classes + c]) ? 1u << c : 0;
    return mask;
}

/* Bytes per ns of all memories that devices of these classes work from; 0: some has no limit. */
static double memory_rate(const struct tgi_machine *m, uint32_t mask, uint8_t *is_counted)
{
    double rate = 0;
    memset(is_counted, 0, m->n_memories);
    for (uint32_t d = 0; d < m->n_devices; d++) {
        uint32_t memory = m->devices[d].memory;
        if (!(mask >> m->devices[d].class & 1) || is_counted[memory])
            continue;
        if (m->memories[memory].bytes_per_ns <= 0)
            return 0;
        is_counted[memory] = 1;
        rate += m->memories[memory].bytes_per_ns;
    }
    return rate;
}

/* For every set of classes: the tasks that can run nowhere else. */
static int memory_of(const struct tgi_workload *w, double *memory_p, struct tg_error *err)
{
    uint32_t n_masks = 1u << w->n_classes;
    double bytes[1 << TGI_MACHINE_CLASSES] = {0};
    uint8_t *is_counted = malloc(w->machine->n_memories);
    *memory_p = 0;
    if (!is_counted)
        return tgi_error_memory(err, "planning");
    for (uint32_t t = 0; t < w->n_tasks; t++)
        bytes[mask_of(w, t)] += tgi_workload_least_traffic(w, t);
    for (uint32_t mask = 1; mask < n_masks; mask++) {
        double sum = 0, rate = memory_rate(w->machine, mask, is_counted);
        for (uint32_t part = mask; part; part = (part - 1) & mask)
            sum += bytes[part];
        if (rate > 0 && sum / rate > *memory_p)
            *memory_p = sum / rate;
    }
    free(is_counted);
    return 0;
}

/* What can leave memory 0 per ns: the links to all others, where they share a root no more than that; 0: no limit. */
static double leaving_rate(const struct tgi_machine *m)
{
    double rate = 0, through_root[64] = {0}, port = m->memories[0].port_bytes_per_ns;
    bool is_ported = port > 0;
    for (uint32_t to = 1; to < m->n_memories; to++) {
        const struct tgi_machine_link *link = tgi_machine_route(m, 0, to);
        if (!link || link->share == TGI_SHARE_NONE)
            return 0;
        is_ported = is_ported && link->share == TGI_SHARE_PORTS;
        uint32_t root = m->memories[to].root;
        if (link->share == TGI_SHARE_ROOTS && root < 64 && root != m->memories[0].root)
            through_root[root] += link->bytes_per_ns;
        else
            rate += link->bytes_per_ns;
    }
    for (uint32_t r = 0; r < 64; r++)
        rate += r < m->n_roots && m->roots[r].bytes_per_ns > 0 && through_root[r] > m->roots[r].bytes_per_ns
                    ? m->roots[r].bytes_per_ns
                    : through_root[r];
    return is_ported && rate > port ? port : rate;
}

static bool can_stay(const struct tgi_workload *w, uint32_t task)
{
    for (uint32_t d = 0; d < w->machine->n_devices; d++)
        if (w->machine->devices[d].memory == 0 && tgi_workload_allows(w, task, d))
            return true;
    return false;
}

static int links_of(const struct tgi_workload *w, double *links_p, struct tg_error *err)
{
    double bytes = 0, rate = leaving_rate(w->machine);
    uint8_t *has_left = calloc((size_t)w->n_tiles + 1, 1);
    *links_p = 0;
    if (!has_left)
        return tgi_error_memory(err, "planning");
    for (uint32_t t = 0; rate > 0 && t < w->n_tasks; t++) {
        bool is_known = false, stays = false;
        for (uint32_t u = w->uses_at[t]; u < w->uses_at[t + 1] && !stays; u++) {
            const struct tgi_use *use = &w->uses[u];
            if (!use->is_read || use->writer != TG_NONE || has_left[use->tile] || (w->stays && w->stays[use->tile]) ||
                (w->is_blank && w->is_blank[use->tile]))
                continue;
            stays = is_known ? stays : can_stay(w, t);
            is_known = true;
            if (stays)
                break;
            has_left[use->tile] = 1;
            bytes += (double)w->tile_bytes[use->tile];
        }
    }
    free(has_left);
    *links_p = rate > 0 ? bytes / rate : 0;
    return 0;
}

int tgi_bounds_find(const struct tgi_workload *w, struct tgi_bounds *bounds_p, struct tg_error *err)
{
    struct tgi_bounds b = {{0}, TGI_BOUND_PATH};
    int rc = path_of(w, &b.ns[TGI_BOUND_PATH], err);
    if (rc == 0)
        rc = area_of(w, &b.ns[TGI_BOUND_AREA], err);
    if (rc == 0)
        rc = memory_of(w, &b.ns[TGI_BOUND_MEMORY], err);
    if (rc == 0)
        rc = links_of(w, &b.ns[TGI_BOUND_LINKS], err);
    for (int i = 1; i < TGI_N_BOUNDS; i++)
        if (b.ns[i] > b.ns[b.binding])
            b.binding = (enum tgi_bound)i;
    if (rc == 0)
        *bounds_p = b;
    return rc;
}
