/* A tile's newest version is in one data file: `where` says in which.  A file whose versions have all been replaced, or will not be
 * read any more because they are temporary and all their readers are done, has no use for the last group.  It stays until one more group
 * is there, so that there is always a second state to fall back on.
 *
 * Tiles are copied behind the closed gate, and written and synced when it is open again, as a file system may take ten times as long as
 * memory.  Where there is no memory for the copy they are written behind the gate. */
#include "io/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "graph/error.h"
#include "io/journal.h"

struct version {
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
    struct version *where;       /* by tile */
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

static uint64_t tile_bytes(const struct tgi_checkpoint *c, uint32_t tile) { return tgi_space_buffer_of(c->graph->space, tile)->tile_bytes; }

static void data_name(uint32_t group, char *name, size_t size) { snprintf(name, size, "group-%u.data", group); }

/* ---- What tasks touch ---------------------------------------------------------------------*/

/* Calls `visit` for each tile that an argument of the task names. */
static void visit_tiles(struct tgi_checkpoint *c, uint32_t task, void (*visit)(struct tgi_checkpoint *c, uint32_t tile, bool is_written))
{
    const struct tg_graph *g = c->graph;
    const struct tgi_op *op = tgi_graph_op(g, task);
    uint32_t n_words = tgi_graph_n_words(g, task);
    for (uint32_t i = 0; i < n_words; i++) {
        uint64_t word = g->args[g->nodes[task].args + i];
        if (op->params[i].access < TG_IN || word == TGI_WORD_NULL)
            continue;
        uint32_t first = tgi_word_tile(word), n = 1;
        if (tgi_word_range(word) == TGI_WORD_ALL)
            n = tgi_space_buffer_of(g->space, first)->n_tiles;
        for (uint32_t k = 0; k < n; k++)
            visit(c, first + k, op->params[i].access > TG_IN);
    }
}

static void count_user(struct tgi_checkpoint *c, uint32_t tile, bool is_written)
{
    (void)is_written;
    c->n_users[tile]++;
}

static void count_done(struct tgi_checkpoint *c, uint32_t tile, bool is_written)
{
    (void)is_written;
    c->n_users[tile]--;
}

static bool is_needed(const struct tgi_checkpoint *c, uint32_t tile)
{
    return c->n_users[tile] || !tgi_space_buffer_of(c->graph->space, tile)->is_temp;
}

static void count_users(struct tgi_checkpoint *c)
{
    memset(c->n_users, 0, c->graph->space->n_tiles * sizeof *c->n_users);
    for (uint32_t t = 0; t < c->graph->n_tasks; t++)
        if (!c->is_kept[t])
            visit_tiles(c, t, count_user);
}

/* ---- Data files ---------------------------------------------------------------------------*/

/* group counts from 1. */
static int reserve_group(struct tgi_checkpoint *c, uint32_t group, struct tg_error *err)
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

/* What cannot be removed only takes room. */
static void remove_unused(struct tgi_checkpoint *c, const uint32_t *unused, uint32_t n)
{
    char name[32];
    for (uint32_t i = 0; i < n; i++) {
        data_name(unused[i], name, sizeof name);
        unlinkat(c->folder, name, 0);
        c->has_file[unused[i]] = false;
    }
}

/* Groups that no tile's newest version is in. */
static uint32_t list_unused(const struct tgi_checkpoint *c, uint32_t *unused)
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

/* Reads the newest versions, group by group; false: one is not there or not whole.  store NULL: only looks. */
static bool read_versions(const struct tgi_checkpoint *c, const struct tgi_store *store)
{
    uint32_t n_tiles = c->graph->space->n_tiles, open_group = 0;
    int fd = -1;
    void *scratch = NULL;
    uint64_t n_scratch = 0;
    bool is_whole = true;
    for (uint32_t t = 0; is_whole && t < n_tiles; t++) {
        const struct version *v = &c->where[t];
        if (!v->group || !is_needed(c, t))
            continue;
        if (v->group != open_group) {
            if (fd >= 0)
                close(fd);
            fd = open_data(c, open_group = v->group, O_RDONLY);
        }
        uint64_t bytes = tile_bytes(c, t);
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

/* ---- Life ---------------------------------------------------------------------------------*/

void tgi_checkpoint_destroy(struct tgi_checkpoint *c)
{
    if (!c)
        return;
    tgi_journal_close(&c->journal);
    if (c->folder >= 0)
        close(c->folder);
    free(c->path);
    free(c->is_kept);
    free(c->where);
    free(c->n_users);
    free(c->n_live);
    free(c->has_file);
    free(c->tasks);
    free(c->tiles);
    free(c->is_listed);
    free(c->copy);
    free(c);
}

static int init(const char *folder, const struct tg_graph *g, struct tgi_checkpoint **c_p, struct tg_error *err)
{
    struct tgi_checkpoint *c = calloc(1, sizeof *c);
    size_t n_tasks = (size_t)g->n_tasks + 1, n_tiles = (size_t)g->space->n_tiles + 1;
    *c_p = c;
    if (!c)
        return tgi_error_memory(err, "a checkpoint");
    c->graph = g;
    c->folder = c->journal.fd = -1;
    c->path = strdup(folder);
    c->is_kept = calloc(n_tasks, sizeof *c->is_kept);
    c->where = calloc(n_tiles, sizeof *c->where);
    c->n_users = calloc(n_tiles, sizeof *c->n_users);
    c->tasks = calloc(n_tasks, sizeof *c->tasks);
    c->tiles = calloc(n_tiles, sizeof *c->tiles);
    c->is_listed = calloc(n_tiles, sizeof *c->is_listed);
    if (!c->path || !c->is_kept || !c->where || !c->n_users || !c->tasks || !c->tiles || !c->is_listed)
        return tgi_error_memory(err, "a checkpoint");
    return reserve_group(c, 1, err);
}

static int open_folder(struct tgi_checkpoint *c, struct tg_error *err)
{
    c->folder = open(c->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return c->folder < 0 ? tgi_error_errno(err, TG_E_OPEN, errno, "cannot open the folder \"%s\"", c->path) : 0;
}

/* The folder is to be there as well after a crash. */
static int make_folder(struct tgi_checkpoint *c, struct tg_error *err)
{
    int rc = mkdir(c->path, 0777), parent;
    if (rc && errno == EEXIST)
        return open_folder(c, err);
    if (rc)
        return tgi_error_errno(err, TG_E_WRITE, errno, "cannot make the folder \"%s\"", c->path);
    rc = open_folder(c, err);
    if (rc)
        return rc;
    parent = openat(c->folder, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0 || fsync(parent))
        rc = tgi_error_errno(err, TG_E_WRITE, errno, "cannot sync the folder that \"%s\" is in", c->path);
    if (parent >= 0)
        close(parent);
    return rc;
}

int tgi_checkpoint_create(const char *folder, const struct tg_graph *g, struct tgi_checkpoint **c_p, struct tg_error *err)
{
    struct tgi_checkpoint *c;
    int rc = init(folder, g, &c, err);
    if (rc == 0)
        rc = make_folder(c, err);
    if (rc == 0)
        rc = tgi_journal_create(&c->journal, c->folder, folder, g, err);
    if (rc) {
        tgi_checkpoint_destroy(c);
        return rc;
    }
    count_users(c);
    *c_p = c;
    return 0;
}

/* The state after the first n groups. */
static void replay(struct tgi_checkpoint *c, const struct tgi_journal_content *content, uint32_t n)
{
    memset(c->is_kept, 0, c->graph->n_tasks);
    memset(c->where, 0, c->graph->space->n_tiles * sizeof *c->where);
    for (uint32_t i = 0; i < n; i++) {
        const struct tgi_journal_group *group = &content->groups[i];
        for (uint32_t k = 0; k < group->n_tasks; k++)
            c->is_kept[group->tasks[k]] = 1;
        for (uint32_t k = 0; k < group->n_tiles; k++)
            c->where[group->tiles[k].tile] = (struct version){i + 1, group->tiles[k].offset, group->tiles[k].checksum};
    }
    count_users(c);
}

/* Everything that follows from is_kept and where. */
static void count_live(struct tgi_checkpoint *c, const struct tgi_journal_content *content)
{
    for (uint32_t i = 1; i <= c->stats.n_groups; i++)
        c->has_file[i] = content->groups[i - 1].n_tiles > 0;
    for (uint32_t t = 0; t < c->graph->space->n_tiles; t++) {
        if (!is_needed(c, t))
            c->where[t].group = 0;
        if (c->where[t].group)
            c->n_live[c->where[t].group]++;
    }
    for (uint32_t t = 0; t < c->graph->n_tasks; t++)
        c->stats.n_kept += c->is_kept[t];
    c->stats.n_resumed = c->stats.n_kept;
}

/* The last state whose data are all there; the start at the worst. */
static int recover(struct tgi_checkpoint *c, const struct tgi_journal_content *content, struct tg_error *err)
{
    uint32_t n = content->n_groups;
    int rc = reserve_group(c, n + 1, err);
    if (rc)
        return rc;
    for (replay(c, content, n); n > 0 && !read_versions(c, NULL); replay(c, content, n))
        n--;
    c->inputs = n ? content->groups[n - 1].inputs : 0;
    c->stats.n_groups = n;
    c->stats.n_left_out = content->n_groups - n;
    count_live(c, content);
    return tgi_journal_cut(&c->journal, n ? content->groups[n - 1].end : content->begin, err);
}

int tgi_checkpoint_open(const char *folder, const struct tg_graph *g, struct tgi_checkpoint **c_p, struct tg_error *err)
{
    struct tgi_journal_content content = {0};
    struct tgi_checkpoint *c;
    int rc = init(folder, g, &c, err);
    if (rc == 0)
        rc = open_folder(c, err);
    if (rc == 0)
        rc = tgi_journal_open(&c->journal, c->folder, folder, g, &content, err);
    if (rc == 0)
        rc = recover(c, &content, err);
    tgi_journal_content_fini(&content);
    if (rc) {
        tgi_checkpoint_destroy(c);
        return rc;
    }
    *c_p = c;
    return 0;
}

/* ---- A run --------------------------------------------------------------------------------*/

/* Of tiles whose first contents come from outside the graph, so that its fingerprint does not cover them. */
static uint64_t checksum_inputs(const struct tg_graph *g, const struct tgi_store *store)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < g->space->n_buffers; i++) {
        const struct tgi_buffer *b = &g->space->buffers[i];
        for (uint32_t t = b->first_tile; b->init == TG_INIT_CALL && t < b->first_tile + b->n_tiles; t++)
            if (store->tile[t])
                sum = sum * 0x9e3779b97f4a7c15u + tgi_journal_checksum(t, store->tile[t], b->tile_bytes);
    }
    return sum;
}

static int restore(void *user, const struct tgi_store *store, struct tg_error *err)
{
    struct tgi_checkpoint *c = user;
    uint64_t inputs = checksum_inputs(c->graph, store);
    if (c->stats.n_groups && inputs != c->inputs)
        return tgi_error(err, TG_E_CHECKPOINT, "a file that the graph reads does not hold what it held when the checkpoint in \"%s\" was written",
                         c->path);
    c->inputs = inputs;
    if (!read_versions(c, store))
        return tgi_error(err, TG_E_CHECKPOINT, "the checkpoint in \"%s\" was changed while it was read", c->path);
    /* release: pairs with the acquire in tgi_checkpoint_take(). */
    atomic_store_explicit(&c->store, store, memory_order_release);
    return 0;
}

void tgi_checkpoint_attach(struct tgi_checkpoint *c, struct tgi_cut *cut)
{
    c->cut = cut;
    cut->restore = restore;
    cut->user = c;
    for (uint32_t t = 0; t < c->graph->n_tasks; t++)
        if (c->is_kept[t])
            atomic_store_explicit(&cut->state[t], TGI_CUT_BEFORE, memory_order_relaxed);
}

/* ---- A group ------------------------------------------------------------------------------*/

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
        if (!c->is_listed[t] || !store->tile[t] || !is_needed(c, t))
            continue;
        c->tiles[group->n_tiles++] = (struct tgi_journal_tile){t, 0, group->data_bytes, 0};
        group->data_bytes += tile_bytes(c, t);
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
        memcpy(c->copy + c->tiles[i].offset, store->tile[c->tiles[i].tile], tile_bytes(c, c->tiles[i].tile));
    return true;
}

/* store NULL: out of the copy. */
static int write_tiles(struct tgi_checkpoint *c, const struct tgi_store *store, uint32_t number, const struct tgi_journal_group *group,
                       int *fd_p, struct tg_error *err)
{
    if (group->n_tiles && (*fd_p = open_data(c, number, O_WRONLY | O_CREAT | O_TRUNC)) < 0)
        return tgi_error_errno(err, TG_E_WRITE, errno, "cannot make a data file of the checkpoint in \"%s\"", c->path);
    for (uint32_t i = 0; i < group->n_tiles; i++) {
        struct tgi_journal_tile *tile = &c->tiles[i];
        uint64_t bytes = tile_bytes(c, tile->tile);
        const void *data = store ? store->tile[tile->tile] : c->copy + tile->offset;
        int number_of_error = write_all(*fd_p, data, bytes);
        if (number_of_error)
            return tgi_error_errno(err, TG_E_WRITE, number_of_error, "cannot write the data of the checkpoint in \"%s\"", c->path);
        tile->checksum = tgi_journal_checksum(tile->tile, data, bytes);
    }
    return 0;
}

static int sync_data(const struct tgi_checkpoint *c, int fd, struct tg_error *err)
{
    if (fd >= 0 && (fdatasync(fd) || fsync(c->folder)))
        return tgi_error_errno(err, TG_E_WRITE, errno, "cannot sync the data of the checkpoint in \"%s\"", c->path);
    return 0;
}

/* The group is acknowledged. */
static void note_group(struct tgi_checkpoint *c, uint32_t number, const struct tgi_journal_group *group)
{
    c->has_file[number] = group->n_tiles > 0;
    for (uint32_t i = 0; i < group->n_tiles; i++) {
        struct version *v = &c->where[group->tiles[i].tile];
        if (v->group)
            c->n_live[v->group]--;
        *v = (struct version){number, group->tiles[i].offset, group->tiles[i].checksum};
        c->n_live[number]++;
    }
    for (uint32_t t = 0; t < c->graph->space->n_tiles; t++)
        if (c->is_listed[t] && c->where[t].group && !is_needed(c, t)) {
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
    uint32_t number = c->stats.n_groups + 1, n_unused = list_unused(c, unused);
    int fd = -1, rc = reserve_group(c, number, err);
    uint64_t begin_ns = tgi_now_ns();
    if (rc || !tgi_cut_close(c->cut, gives_up))
        return rc;
    group.n_tasks = list_tasks(c);
    memset(c->is_listed, 0, c->graph->space->n_tiles);
    for (uint32_t i = 0; i < group.n_tasks; i++) {
        atomic_store_explicit(&c->cut->state[c->tasks[i]], TGI_CUT_KEPT, memory_order_relaxed);
        visit_tiles(c, c->tasks[i], mark_written);
        visit_tiles(c, c->tasks[i], count_done);
    }
    list_tiles(c, store, &group);
    bool is_copied = copy_tiles(c, store, &group);
    if (!is_copied)
        rc = write_tiles(c, store, number, &group, &fd, err);
    tgi_cut_open(c->cut);
    if (c->stats.n_kept + group.n_tasks < c->graph->n_tasks) /* else there was nobody to hold up */
        note_closed(c, tgi_now_ns() - begin_ns);
    if (is_copied)
        rc = write_tiles(c, NULL, number, &group, &fd, err);
    if (rc == 0)
        rc = sync_data(c, fd, err);
    if (fd >= 0)
        close(fd);
    if (rc == 0 && group.n_tasks)
        rc = tgi_journal_append(&c->journal, number, &group, err);
    if (rc || !group.n_tasks)
        return rc;
    note_group(c, number, &group);
    /* Of no use to the state before this one, so to neither of the two. */
    remove_unused(c, unused, n_unused);
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

void tgi_checkpoint_stats(const struct tgi_checkpoint *c, struct tgi_checkpoint_stats *stats_p) { *stats_p = c->stats; }
