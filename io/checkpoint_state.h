/* What a checkpoint (checkpoint.h) is made of, for the files that implement it.
 *
 * A tile's newest version is in one data file: `where` says in which.  A file whose versions have all been replaced, or will not be
 * read any more because they are temporary and all their readers are done, has no use for the last group.  It stays until one more group
 * is there, so that there is always a second state to fall back on. */
#ifndef TGI_IO_CHECKPOINT_STATE_H
#define TGI_IO_CHECKPOINT_STATE_H

#include "graph/model.h"
#include "io/checkpoint.h"
#include "io/journal.h"

struct tgi_checkpoint_version {
    uint32_t group; /* whose data file has it; 0: none, the tile is as it was at the start, or nobody reads it any more */
    uint64_t offset, checksum;
};

struct tgi_checkpoint {
    char *path;
    int folder;
    const struct tg_graph *graph;
    struct tgi_journal journal;
    struct tgi_cut *cut;
    _Atomic(const struct tgi_store *) store; /* of the run, once its tiles have their contents; release by whoever begins it */
    uint8_t *is_kept;            /* by task */
    struct tgi_checkpoint_version *where; /* by tile */
    uint32_t *n_users;           /* by tile: arguments of tasks that are not kept */
    uint32_t *n_live, n_room;    /* by group: tiles whose newest version it has */
    bool *has_file;              /* by group */
    uint32_t *tasks;             /* scratch: of a group */
    struct tgi_journal_tile *tiles;
    uint8_t *is_listed;          /* scratch: by tile */
    char *copy;                  /* of a group's tiles, one after the other; kept */
    uint64_t n_copy;             /* bytes there is room for */
    uint64_t inputs;             /* checksum of what input files hold: when opened as the last group has it, then as this run found it */
    bool has_failed;
    struct tgi_checkpoint_stats stats;
};

static inline uint64_t tgi_checkpoint_tile_bytes(const struct tgi_checkpoint *c, uint32_t tile)
{
    return tgi_space_buffer_of(c->graph->space, tile)->tile_bytes;
}
/* Whether somebody will still read the tile. */
static inline bool tgi_checkpoint_is_needed(const struct tgi_checkpoint *c, uint32_t tile)
{
    return c->n_users[tile] || !tgi_space_buffer_of(c->graph->space, tile)->is_temp;
}
/* Calls `visit` for each tile that an argument of the task names. */
void tgi_checkpoint_visit(struct tgi_checkpoint *c, uint32_t task, void (*visit)(struct tgi_checkpoint *c, uint32_t tile, bool is_written));

/* ---- Data files: checkpoint_data.c --------------------------------------------------------*/

/* Room in the tables for a group; groups count from 1. */
int tgi_checkpoint_reserve(struct tgi_checkpoint *c, uint32_t group, struct tg_error *err);
/* Groups that no tile's newest version is in; `unused` has room for all. */
uint32_t tgi_checkpoint_list_unused(const struct tgi_checkpoint *c, uint32_t *unused);
/* What cannot be removed only takes room. */
void tgi_checkpoint_remove(struct tgi_checkpoint *c, const uint32_t *unused, uint32_t n);
/* Reads the newest versions, group by group; false: one is not there or not whole.  store NULL: only looks. */
bool tgi_checkpoint_read(const struct tgi_checkpoint *c, const struct tgi_store *store);
/* The group's tiles, out of the store or, if that is NULL, out of the copy; *fd_p is open afterwards unless there are none. */
int tgi_checkpoint_write(struct tgi_checkpoint *c, const struct tgi_store *store, uint32_t number, const struct tgi_journal_group *group,
                         int *fd_p, struct tg_error *err);
int tgi_checkpoint_sync(const struct tgi_checkpoint *c, int fd, struct tg_error *err);

#endif
