/* Data files: the tiles of a group, one after the other. */
#include "io/checkpoint_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "graph/error.h"

static void data_name(uint32_t group, char *name, size_t size) { snprintf(name, size, "group-%u.data", group); }

int tgi_checkpoint_reserve(struct tgi_checkpoint *c, uint32_t group, struct tg_error *err)
{
    if (group < c->n_room)
        return 0;
    uint32_t n_room = 2 * group + 64;
    void *n_live = realloc(c->n_live, n_room * sizeof *c->n_live);
    c->n_live = n_live ? n_live : c->n_live;
    void *has_file = realloc(c->has_file, n_room * sizeof *c->has_file);
    c->has_file = has_file ? has_file : c->has_file;
    if (!n_live || !has_file)
        return tgi_error_memory(err, "a checkpoint");
    memset(c->n_live + c->n_room, 0, (n_room - c->n_room) * sizeof *c->n_live);
    memset(c->has_file + c->n_room, 0, (n_room - c->n_room) * sizeof *c->has_file);
    c->n_room = n_room;
    return 0;
}

void tgi_checkpoint_remove(struct tgi_checkpoint *c, const uint32_t *unused, uint32_t n)
{
    char name[32];
    for (uint32_t i = 0; i < n; i++) {
        data_name(unused[i], name, sizeof name);
        unlinkat(c->folder, name, 0);
        c->has_file[unused[i]] = false;
    }
}

uint32_t tgi_checkpoint_list_unused(const struct tgi_checkpoint *c, uint32_t *unused)
{
    uint32_t n = 0;
    for (uint32_t i = 1; i <= c->stats.n_groups; i++)
        if (c->has_file[i] && c->n_live[i] == 0)
            unused[n++] = i;
    return n;
}

static int write_all(int fd, const void *data, uint64_t bytes)
{
    const char *from = data;
    while (bytes) {
        ssize_t n = write(fd, from, bytes > (1u << 30) ? 1u << 30 : bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : ENOSPC;
        from += n;
        bytes -= (uint64_t)n;
    }
    return 0;
}

static int read_all(int fd, void *data, uint64_t bytes, uint64_t offset)
{
    char *to = data;
    while (bytes) {
        ssize_t n = pread(fd, to, bytes > (1u << 30) ? 1u << 30 : bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : ENODATA;
        to += n;
        offset += (uint64_t)n;
        bytes -= (uint64_t)n;
    }
    return 0;
}

static int open_data(const struct tgi_checkpoint *c, uint32_t group, int flags)
{
    char name[32];
    data_name(group, name, sizeof name);
    return openat(c->folder, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
}

bool tgi_checkpoint_read(const struct tgi_checkpoint *c, const struct tgi_store *store)
{
    uint32_t n_tiles = c->graph->space->n_tiles, open_group = 0;
    int fd = -1;
    void *scratch = NULL;
    uint64_t n_scratch = 0;
    bool is_whole = true;
    for (uint32_t t = 0; is_whole && t < n_tiles; t++) {
        const struct tgi_checkpoint_version *v = &c->where[t];
        if (!v->group || !tgi_checkpoint_is_needed(c, t))
            continue;
        if (v->group != open_group) {
            if (fd >= 0)
                close(fd);
            fd = open_data(c, open_group = v->group, O_RDONLY);
        }
        uint64_t bytes = tgi_checkpoint_tile_bytes(c, t);
        if (!store && bytes > n_scratch) {
            free(scratch);
            scratch = malloc(n_scratch = bytes);
        }
        void *to = store ? store->tile[t] : scratch;
        is_whole = fd >= 0 && to && read_all(fd, to, bytes, v->offset) == 0 && tgi_journal_checksum(t, to, bytes) == v->checksum;
    }
    if (fd >= 0)
        close(fd);
    free(scratch);
    return is_whole;
}

int tgi_checkpoint_write(struct tgi_checkpoint *c, const struct tgi_store *store, uint32_t number, const struct tgi_journal_group *group,
                       int *fd_p, struct tg_error *err)
{
    if (group->n_tiles && (*fd_p = open_data(c, number, O_WRONLY | O_CREAT | O_TRUNC)) < 0)
        return tgi_error_errno(err, TG_E_WRITE, errno, "cannot make a data file of the checkpoint in \"%s\"", c->path);
    for (uint32_t i = 0; i < group->n_tiles; i++) {
        struct tgi_journal_tile *tile = &c->tiles[i];
        uint64_t bytes = tgi_checkpoint_tile_bytes(c, tile->tile);
        const void *data = store ? store->tile[tile->tile] : c->copy + tile->offset;
        int number_of_error = write_all(*fd_p, data, bytes);
        if (number_of_error)
            return tgi_error_errno(err, TG_E_WRITE, number_of_error, "cannot write the data of the checkpoint in \"%s\"", c->path);
        tile->checksum = tgi_journal_checksum(tile->tile, data, bytes);
    }
    return 0;
}

int tgi_checkpoint_sync(const struct tgi_checkpoint *c, int fd, struct tg_error *err)
{
    if (fd >= 0 && (fdatasync(fd) || fsync(c->folder)))
        return tgi_error_errno(err, TG_E_WRITE, errno, "cannot sync the data of the checkpoint in \"%s\"", c->path);
    return 0;
}
