/* See replay_cache.h. */
#include "sched/replay_cache.h"

#include <string.h>

static bool fits(const struct tgi_replay *p, const struct tgi_replicas *replicas)
{
    return p->graph && tgi_replicas_is_valid_as(replicas, p->recorded.before) &&
           tgi_replicas_has_memory_of(replicas, p->recorded.after);
}

struct tgi_replay *tgi_replay_cache_find(struct tgi_replay_cache *c, const struct tgi_replicas *replicas, enum tgi_replay_way way,
                                         bool has_kernels)
{
    for (uint32_t i = 0; i < TGI_REPLAY_PLACES; i++)
        if (c->places[i].way == way && c->places[i].recorded.has_kernels == has_kernels && fits(&c->places[i], replicas))
            return &c->places[i];
    return NULL;
}

struct tgi_replay *tgi_replay_cache_find_alike(struct tgi_replay_cache *c, const struct tgi_captured *recorded)
{
    for (uint32_t i = 0; i < TGI_REPLAY_PLACES; i++)
        if (c->places[i].graph && c->places[i].recorded.has_kernels == recorded->has_kernels &&
            tgi_program_is_alike(&c->places[i].recorded.program, &recorded->program))
            return &c->places[i];
    return NULL;
}

static struct tgi_replay *find_oldest(struct tgi_replay_cache *c, const struct tgi_replay *but)
{
    struct tgi_replay *oldest = NULL;
    for (uint32_t i = 0; i < TGI_REPLAY_PLACES; i++) {
        struct tgi_replay *p = &c->places[i];
        if (p != but && p->graph && (!oldest || p->last_used < oldest->last_used))
            oldest = p;
    }
    return oldest;
}

static void drop_oldest(struct tgi_replay_cache *c, const struct tgi_replay *but)
{
    tgi_replay_cache_remove(c, find_oldest(c, but));
    c->n_dropped++;
}

struct tgi_replay *tgi_replay_cache_add(struct tgi_replay_cache *c, const struct tgi_replay *replay)
{
    uint32_t i = 0;
    if (c->n == TGI_REPLAY_PLACES)
        drop_oldest(c, NULL);
    while (c->places[i].graph)
        i++;
    c->places[i] = *replay;
    c->bytes += replay->bytes;
    c->n++;
    while (c->limit_bytes && c->bytes > c->limit_bytes && c->n > 1)
        drop_oldest(c, &c->places[i]);
    return &c->places[i];
}

void tgi_replay_cache_remove(struct tgi_replay_cache *c, struct tgi_replay *p)
{
    c->devices->ops->graph_destroy(c->devices, p->graph);
    tgi_captured_fini(&p->recorded);
    c->bytes -= p->bytes;
    c->n--;
    memset(p, 0, sizeof *p);
}

void tgi_replay_cache_clear(struct tgi_replay_cache *c)
{
    for (uint32_t i = 0; i < TGI_REPLAY_PLACES; i++)
        if (c->places[i].graph)
            tgi_replay_cache_remove(c, &c->places[i]);
}

uint64_t tgi_replay_cache_free_bytes(const struct tgi_replay_cache *c)
{
    uint64_t all = 0, bytes;
    for (uint32_t d = 0; c->limit_bytes && d < c->devices->n_devices; d++) {
        if (c->devices->ops->available(c->devices, d, &bytes, NULL))
            return 0;
        all += bytes;
    }
    return all;
}

uint64_t tgi_captured_bytes(const struct tgi_captured *p, const struct tgi_replicas *replicas)
{
    const struct tgi_program *q = &p->program;
    return q->cap * sizeof *q->commands + q->cap_deps * sizeof *q->deps + q->cap_words * sizeof *q->words +
           q->cap_mark * sizeof *q->mark + q->cap_queue * sizeof *q->queue +
           p->times.cap * sizeof *p->times.steps + p->times.n_copies * sizeof *p->times.copies + 2 * tgi_replicas_snapshot_bytes(replicas);
}
