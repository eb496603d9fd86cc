/* Taking a group.
 *
 * Tiles are copied behind the closed gate, and written and synced when it is open again, as a file system may take ten times as long as
 * memory.  Where there is no memory for the copy they are written behind the gate. */
#include "io/checkpoint_state.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "graph/error.h"

static void count_done(struct tgi_checkpoint *c, uint32_t tile, bool is_written)
{
    (void)is_written;
    c->n_users[tile]--;
}

static uint32_t list_tasks(struct tgi_checkpoint *c)
{
    uint32_t n = 0;
    for (uint32_t t = 0; t < c->graph->n_tasks; t++)
        if (atomic_load_explicit(&c->cut->state[t], memory_order_relaxed) == TGI_CUT_DONE)
            c->tasks[n++] = t;
    return n;
}

static void mark_written(struct tgi_checkpoint *c, uint32_t tile, bool is_written)
{
    if (is_written)
        c->is_listed[tile] = 1;
}

/* Which tiles, and where in the file. */
static void list_tiles(struct tgi_checkpoint *c, const struct tgi_store *store, struct tgi_journal_group *group)
{
    for (uint32_t t = 0; t < c->graph->space->n_tiles; t++) {
        if (!c->is_listed[t] || !store->tile[t] || !tgi_checkpoint_is_needed(c, t))
            continue;
        c->tiles[group->n_tiles++] = (struct tgi_journal_tile){t, 0, group->data_bytes, 0};
        group->data_bytes += tgi_checkpoint_tile_bytes(c, t);
    }
}

/* Behind the closed gate; false: there is no memory for it. */
static bool copy_tiles(struct tgi_checkpoint *c, const struct tgi_store *store, const struct tgi_journal_group *group)
{
    if (group->data_bytes > c->n_copy) {
        free(c->copy);
        c->copy = malloc(group->data_bytes);
        c->n_copy = c->copy ? group->data_bytes : 0;
    }
    if (group->data_bytes > c->n_copy)
        return false;
    for (uint32_t i = 0; i < group->n_tiles; i++)
        memcpy(c->copy + c->tiles[i].offset, store->tile[c->tiles[i].tile], tgi_checkpoint_tile_bytes(c, c->tiles[i].tile));
    return true;
}

/* The group is acknowledged. */
static void note_group(struct tgi_checkpoint *c, uint32_t number, const struct tgi_journal_group *group)
{
    c->has_file[number] = group->n_tiles > 0;
    for (uint32_t i = 0; i < group->n_tiles; i++) {
        struct tgi_checkpoint_version *v = &c->where[group->tiles[i].tile];
        if (v->group)
            c->n_live[v->group]--;
        *v = (struct tgi_checkpoint_version){number, group->tiles[i].offset, group->tiles[i].checksum};
        c->n_live[number]++;
    }
    for (uint32_t t = 0; t < c->graph->space->n_tiles; t++)
        if (c->is_listed[t] && c->where[t].group && !tgi_checkpoint_is_needed(c, t)) {
            c->n_live[c->where[t].group]--;
            c->where[t].group = 0;
        }
    c->stats.n_groups = number;
    c->stats.n_taken++;
    c->stats.n_kept += group->n_tasks;
    c->stats.written_bytes += group->data_bytes;
}

static void note_closed(struct tgi_checkpoint *c, uint64_t ns)
{
    c->stats.closed_ns += ns;
    c->stats.last_closed_ns = ns;
    c->stats.most_closed_ns = ns > c->stats.most_closed_ns ? ns : c->stats.most_closed_ns;
}

static int take(struct tgi_checkpoint *c, const struct tgi_store *store, uint32_t *unused, const _Atomic uint32_t *gives_up,
                struct tg_error *err)
{
    struct tgi_journal_group group = {.inputs = c->inputs, .tasks = c->tasks, .tiles = c->tiles};
    uint32_t number = c->stats.n_groups + 1, n_unused = tgi_checkpoint_list_unused(c, unused);
    int fd = -1, rc = tgi_checkpoint_reserve(c, number, err);
    uint64_t begin_ns = tgi_now_ns();
    if (rc || !tgi_cut_close(c->cut, gives_up))
        return rc;
    group.n_tasks = list_tasks(c);
    memset(c->is_listed, 0, c->graph->space->n_tiles);
    for (uint32_t i = 0; i < group.n_tasks; i++) {
        atomic_store_explicit(&c->cut->state[c->tasks[i]], TGI_CUT_KEPT, memory_order_relaxed);
        tgi_checkpoint_visit(c, c->tasks[i], mark_written);
        tgi_checkpoint_visit(c, c->tasks[i], count_done);
    }
    list_tiles(c, store, &group);
    bool is_copied = copy_tiles(c, store, &group);
    if (!is_copied)
        rc = tgi_checkpoint_write(c, store, number, &group, &fd, err);
    tgi_cut_open(c->cut);
    if (c->stats.n_kept + group.n_tasks < c->graph->n_tasks) /* else there was nobody to hold up */
        note_closed(c, tgi_now_ns() - begin_ns);
    if (is_copied)
        rc = tgi_checkpoint_write(c, NULL, number, &group, &fd, err);
    if (rc == 0)
        rc = tgi_checkpoint_sync(c, fd, err);
    if (fd >= 0)
        close(fd);
    if (rc == 0 && group.n_tasks)
        rc = tgi_journal_append(&c->journal, number, &group, err);
    if (rc || !group.n_tasks)
        return rc;
    note_group(c, number, &group);
    /* Of no use to the state before this one, so to neither of the two. */
    tgi_checkpoint_remove(c, unused, n_unused);
    return 0;
}

int tgi_checkpoint_take(struct tgi_checkpoint *c, const _Atomic uint32_t *gives_up, struct tg_error *err)
{
    const struct tgi_store *store = atomic_load_explicit(&c->store, memory_order_acquire);
    if (!store)
        return 0;
    if (c->has_failed)
        return tgi_error(err, TG_E_WRITE, "the checkpoint in \"%s\" could not be written before", c->path);
    uint32_t *unused = malloc(((size_t)c->stats.n_groups + 1) * sizeof *unused);
    int rc = unused ? take(c, store, unused, gives_up, err) : tgi_error_memory(err, "a checkpoint");
    free(unused);
    c->has_failed = rc != 0;
    return rc;
}
