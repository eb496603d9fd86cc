#include "io/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "graph/error.h"
#include "io/checksum.h"

#define NAME "journal"
#define NEW_NAME "journal.new"
static const char magic[8] = {'\x89', 't', 'g', 'c', '\r', '\n', '\x1a', '\n'};
enum { VERSION = 2 };

struct header {
    char magic[8];
    uint32_t version, n_tasks, n_tiles, unused;
    unsigned char fingerprint[TGI_SHA256_BYTES];
    uint64_t checksum;
};
struct record {
    uint64_t bytes, number, inputs, data_bytes, n_tasks, n_tiles;
};

static struct header header_of(const struct tg_graph *g)
{
    struct header h = {.version = VERSION, .n_tasks = g->n_tasks, .n_tiles = g->space->n_tiles};
    memcpy(h.magic, magic, sizeof magic);
    tgi_graph_fingerprint(g, h.fingerprint);
    h.checksum = tgi_checksum(0, &h, offsetof(struct header, checksum));
    return h;
}

static uint64_t record_bytes(uint64_t n_tasks, uint64_t n_tiles)
{
    return sizeof(struct record) + (n_tasks * sizeof(uint32_t) + 7) / 8 * 8 + n_tiles * sizeof(struct tgi_journal_tile) +
           sizeof(uint64_t);
}

uint64_t tgi_journal_checksum(uint32_t tile, const void *data, size_t bytes)
{
    /* Not from 0, whose checksum over zeros is 0, as a hole in a file would have it. */
    return tgi_checksum(((uint64_t)tile + 1) * 0x9e3779b97f4a7c15u, data, bytes);
}

/* ---- Writing ------------------------------------------------------------------------------*/

static int write_at_end(struct tgi_journal *j, const void *data, size_t bytes, struct tg_error *err)
{
    const char *from = data;
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pwrite(j->fd, from + done, bytes - done, (off_t)(j->end + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            j->has_failed = true;
            return tgi_error_errno(err, TG_E_WRITE, n < 0 ? errno : ENOSPC, "cannot write the journal of the checkpoint");
        }
        done += (size_t)n;
    }
    j->end += bytes;
    return 0;
}

static int sync_it(struct tgi_journal *j, struct tg_error *err)
{
    if (fdatasync(j->fd) == 0)
        return 0;
    j->has_failed = true;
    return tgi_error_errno(err, TG_E_WRITE, errno, "cannot sync the journal of the checkpoint");
}

int tgi_journal_cut(struct tgi_journal *j, uint64_t end, struct tg_error *err)
{
    j->end = end;
    if (ftruncate(j->fd, (off_t)end) == 0)
        return sync_it(j, err);
    j->has_failed = true;
    return tgi_error_errno(err, TG_E_WRITE, errno, "cannot cut off the journal of the checkpoint");
}

int tgi_journal_append(struct tgi_journal *j, uint64_t number, struct tgi_journal_group *group, struct tg_error *err)
{
    struct record r = {record_bytes(group->n_tasks, group->n_tiles), number, group->inputs, group->data_bytes, group->n_tasks,
                       group->n_tiles};
    if (j->has_failed)
        return tgi_error(err, TG_E_WRITE, "the journal of the checkpoint could not be written before");
    char *text = calloc(1, r.bytes);
    if (!text)
        return tgi_error_memory(err, "the record of a checkpoint");
    size_t tiles_at = r.bytes - sizeof(uint64_t) - group->n_tiles * sizeof *group->tiles;
    memcpy(text, &r, sizeof r);
    memcpy(text + sizeof r, group->tasks, group->n_tasks * sizeof *group->tasks);
    if (group->n_tiles)
        memcpy(text + tiles_at, group->tiles, group->n_tiles * sizeof *group->tiles);
    uint64_t sum = tgi_checksum(0, text, r.bytes - sizeof sum);
    memcpy(text + r.bytes - sizeof sum, &sum, sizeof sum);
    int rc = write_at_end(j, text, r.bytes, err);
    free(text);
    if (rc == 0)
        rc = sync_it(j, err);
    group->end = j->end;
    return rc;
}

/* ---- Reading ------------------------------------------------------------------------------*/

static int lock(struct tgi_journal *j, const char *path, struct tg_error *err)
{
    if (flock(j->fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return tgi_error(err, TG_E_CHECKPOINT, "another run is using the checkpoint in \"%s\"", path);
    return tgi_error_errno(err, TG_E_WRITE, errno, "cannot lock the checkpoint in \"%s\"", path);
}

static int read_all(struct tgi_journal *j, const char *path, struct tgi_journal_content *c, struct tg_error *err)
{
    struct stat st;
    if (fstat(j->fd, &st) || !S_ISREG(st.st_mode))
        return tgi_error(err, TG_E_CHECKPOINT, "the journal of the checkpoint in \"%s\" is not a regular file", path);
    c->text = malloc((size_t)st.st_size + 8);
    if (!c->text)
        return tgi_error_memory(err, "reading a checkpoint");
    while (c->size < (size_t)st.st_size) {
        ssize_t n = pread(j->fd, c->text + c->size, (size_t)st.st_size - c->size, (off_t)c->size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return tgi_error_errno(err, TG_E_READ, errno, "cannot read the checkpoint in \"%s\"", path);
        if (n == 0)
            break;
        c->size += (size_t)n;
    }
    return 0;
}

static int check_header(const struct tgi_journal_content *c, const char *path, const struct tg_graph *g, struct tg_error *err)
{
    struct header h, own = header_of(g);
    if (c->size < sizeof h)
        return tgi_error(err, TG_E_CHECKPOINT, "the checkpoint in \"%s\" is damaged: it has no header", path);
    memcpy(&h, c->text, sizeof h);
    if (memcmp(h.magic, magic, sizeof magic))
        return tgi_error(err, TG_E_CHECKPOINT, "the journal in \"%s\" is not one of a checkpoint", path);
    if (h.checksum != tgi_checksum(0, &h, offsetof(struct header, checksum)))
        return tgi_error(err, TG_E_CHECKPOINT, "the checkpoint in \"%s\" is damaged: its header", path);
    if (h.version != VERSION)
        return tgi_error(err, TG_E_CHECKPOINT, "the checkpoint in \"%s\" is of version %u, and this program knows %d", path, h.version,
                         VERSION);
    if (h.n_tasks != own.n_tasks || h.n_tiles != own.n_tiles)
        return tgi_error(err, TG_E_CHECKPOINT, "the checkpoint in \"%s\" is of another graph: of %u tasks and %u tiles, this one has %u"
                         " and %u", path, h.n_tasks, h.n_tiles, own.n_tasks, own.n_tiles);
    if (memcmp(h.fingerprint, own.fingerprint, sizeof own.fingerprint))
        return tgi_error(err, TG_E_CHECKPOINT, "the checkpoint in \"%s\" is of another graph: of the same size, with other tasks,"
                         " kernels or data", path);
    return 0;
}

/* A record at `at` with all it refers to within limits; false: there is none. */
static bool read_record(const struct tgi_journal_content *c, size_t at, uint64_t number, const struct tg_graph *g,
                        struct tgi_journal_group *group)
{
    struct record r;
    uint64_t sum;
    if (c->size - at < sizeof r)
        return false;
    memcpy(&r, c->text + at, sizeof r);
    if (r.bytes > c->size - at || r.number != number || r.n_tasks > g->n_tasks || r.n_tiles > g->space->n_tiles ||
        r.bytes != record_bytes(r.n_tasks, r.n_tiles))
        return false;
    memcpy(&sum, c->text + at + r.bytes - sizeof sum, sizeof sum);
    if (sum != tgi_checksum(0, c->text + at, r.bytes - sizeof sum))
        return false;
    /* Records are multiples of 8 bytes, as the header is. */
    *group = (struct tgi_journal_group){
        .inputs = r.inputs, .data_bytes = r.data_bytes, .n_tasks = (uint32_t)r.n_tasks, .n_tiles = (uint32_t)r.n_tiles, .end = at + r.bytes,
        .tasks = (const uint32_t *)(c->text + at + sizeof r),
        .tiles = (const struct tgi_journal_tile *)(c->text + at + r.bytes - sizeof sum - r.n_tiles * sizeof *group->tiles)};
    for (uint32_t i = 0; i < group->n_tasks; i++)
        if (group->tasks[i] >= g->n_tasks)
            return false;
    for (uint32_t i = 0; i < group->n_tiles; i++) {
        const struct tgi_journal_tile *t = &group->tiles[i];
        if (t->tile >= g->space->n_tiles || t->offset > r.data_bytes ||
            tgi_space_buffer_of(g->space, t->tile)->tile_bytes > r.data_bytes - t->offset)
            return false;
    }
    return true;
}

static int read_groups(struct tgi_journal_content *c, const struct tg_graph *g, struct tg_error *err)
{
    struct tgi_journal_group group;
    uint32_t n_room = 0;
    for (size_t at = sizeof(struct header); read_record(c, at, (uint64_t)c->n_groups + 1, g, &group); at = group.end) {
        if (c->n_groups == n_room) {
            n_room = n_room ? 2 * n_room : 64;
            void *grown = realloc(c->groups, n_room * sizeof *c->groups);
            if (!grown)
                return tgi_error_memory(err, "reading a checkpoint");
            c->groups = grown;
        }
        c->groups[c->n_groups++] = group;
    }
    return 0;
}

/* ---- Life ---------------------------------------------------------------------------------*/

static int write_new(struct tgi_journal *j, int folder, const char *path, const struct tg_graph *g, struct tg_error *err)
{
    struct header h = header_of(g);
    int rc = lock(j, path, err);
    if (rc == 0)
        rc = tgi_journal_cut(j, 0, err);
    if (rc == 0)
        rc = write_at_end(j, &h, sizeof h, err);
    if (rc == 0)
        rc = sync_it(j, err);
    if (rc)
        return rc;
    if (linkat(folder, NEW_NAME, folder, NAME, 0) && errno == EEXIST)
        rc = tgi_error(err, TG_E_CHECKPOINT, "there is a checkpoint in \"%s\" already; --resume goes on from it", path);
    else if (faccessat(folder, NAME, F_OK, 0) || unlinkat(folder, NEW_NAME, 0) || fsync(folder))
        return tgi_error_errno(err, TG_E_WRITE, errno, "cannot write a checkpoint in \"%s\"", path);
    else
        return 0;
    unlinkat(folder, NEW_NAME, 0);
    return rc;
}

/* Under another name at first: a journal that is there has a header. */
int tgi_journal_create(struct tgi_journal *j, int folder, const char *path, const struct tg_graph *g, struct tg_error *err)
{
    *j = (struct tgi_journal){.fd = openat(folder, NEW_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666)};
    if (j->fd < 0)
        return tgi_error_errno(err, TG_E_WRITE, errno, "cannot write a checkpoint in \"%s\"", path);
    int rc = write_new(j, folder, path, g, err);
    if (rc)
        tgi_journal_close(j);
    return rc;
}

int tgi_journal_open(struct tgi_journal *j, int folder, const char *path, const struct tg_graph *g,
                     struct tgi_journal_content *content_p, struct tg_error *err)
{
    struct tgi_journal_content c = {0};
    *j = (struct tgi_journal){.fd = openat(folder, NAME, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
    if (j->fd < 0 && errno == ENOENT)
        return tgi_error(err, TG_E_CHECKPOINT, "there is no checkpoint in \"%s\"", path);
    if (j->fd < 0)
        return tgi_error_errno(err, TG_E_OPEN, errno, "cannot open the checkpoint in \"%s\"", path);
    int rc = lock(j, path, err);
    if (rc == 0)
        rc = read_all(j, path, &c, err);
    if (rc == 0)
        rc = check_header(&c, path, g, err);
    if (rc == 0)
        rc = read_groups(&c, g, err);
    c.begin = sizeof(struct header);
    j->end = c.size;
    if (rc) {
        tgi_journal_content_fini(&c);
        tgi_journal_close(j);
        return rc;
    }
    *content_p = c;
    return 0;
}

void tgi_journal_close(struct tgi_journal *j)
{
    if (j->fd >= 0)
        close(j->fd);
    j->fd = -1;
}

void tgi_journal_content_fini(struct tgi_journal_content *content)
{
    free(content->text);
    free(content->groups);
    *content = (struct tgi_journal_content){0};
}
