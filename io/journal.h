/* The journal of a checkpoint: what is in its file and how it is read back.  io/checkpoint.h says what for.
 *
 *     header   magic (8 bytes), version, tasks, tiles, 0 (4 each), fingerprint of the graph (32), checksum (8)
 *     record   its length, its number from 1, checksum of what the run's input files hold, bytes of its data file, number of tasks,
 *              number of tiles (8 each); then task numbers (4 each, with zeros up to a multiple of 8), entries of tiles (24 each),
 *              checksum (8)
 *
 * Numbers are little-endian.  Reading stops at the first record that is not whole. */
#ifndef TGI_IO_JOURNAL_H
#define TGI_IO_JOURNAL_H

#include "graph/fingerprint.h"

struct tgi_journal_tile {
    uint32_t tile, unused;
    uint64_t offset;   /* in the data file */
    uint64_t checksum; /* of the tile, from tgi_journal_checksum() */
};

/* A group, as its record has it. */
struct tgi_journal_group {
    uint64_t inputs;     /* checksum of what the run's input files held */
    uint64_t data_bytes;
    const uint32_t *tasks;
    const struct tgi_journal_tile *tiles;
    uint32_t n_tasks, n_tiles;
    uint64_t end; /* of its record in the file */
};

struct tgi_journal {
    int fd;
    uint64_t end; /* of what is there */
    bool has_failed; /* a write or a sync has; nothing is appended any more */
};
/* Groups point into text. */
struct tgi_journal_content {
    char *text;
    size_t size;
    struct tgi_journal_group *groups;
    uint32_t n_groups;
    uint64_t begin; /* of the first record in the file */
};

/* A new file in a folder, with its header, and locked.  TG_E_CHECKPOINT: there is one. */
int tgi_journal_create(struct tgi_journal *j, int folder, const char *path, const struct tg_graph *g, struct tg_error *err);
/* Locks the file of a folder and reads it.  TG_E_CHECKPOINT: none, of another graph, another version, locked. */
int tgi_journal_open(struct tgi_journal *j, int folder, const char *path, const struct tg_graph *g,
                     struct tgi_journal_content *content_p, struct tg_error *err);
void tgi_journal_close(struct tgi_journal *j);
void tgi_journal_content_fini(struct tgi_journal_content *content);

/* Cuts off what follows after `end`, and syncs. */
int tgi_journal_cut(struct tgi_journal *j, uint64_t end, struct tg_error *err);
/* Appends the record of group `number` (its `end` is set), and syncs. */
int tgi_journal_append(struct tgi_journal *j, uint64_t number, struct tgi_journal_group *group, struct tg_error *err);

uint64_t tgi_journal_checksum(uint32_t tile, const void *data, size_t bytes);

#endif
