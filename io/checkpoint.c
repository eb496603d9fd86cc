/* Making and opening: what a folder has, and the state that follows from it. */
#include "io/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "graph/error.h"
#include "io/checkpoint_state.h"

/* ---- What tasks touch ---------------------------------------------------------------------*/

void tgi_checkpoint_visit(struct tgi_checkpoint *c, uint32_t task, void (*visit)(struct tgi_checkpoint *c, uint32_t tile, bool is_written))
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

static void count_users(struct tgi_checkpoint *c)
{
    memset(c->n_users, 0, c->graph->space->n_tiles * sizeof *c->n_users);
    for (uint32_t t = 0; t < c->graph->n_tasks; t++)
        if (!c->is_kept[t])
            tgi_checkpoint_visit(c, t, count_user);
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
    return tgi_checkpoint_reserve(c, 1, err);
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
            c->where[group->tiles[k].tile] = (struct tgi_checkpoint_version){i + 1, group->tiles[k].offset, group->tiles[k].checksum};
    }
    count_users(c);
}

/* Everything that follows from is_kept and where. */
static void count_live(struct tgi_checkpoint *c, const struct tgi_journal_content *content)
{
    for (uint32_t i = 1; i <= c->stats.n_groups; i++)
        c->has_file[i] = content->groups[i - 1].n_tiles > 0;
    for (uint32_t t = 0; t < c->graph->space->n_tiles; t++) {
        if (!tgi_checkpoint_is_needed(c, t))
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
    int rc = tgi_checkpoint_reserve(c, n + 1, err);
    if (rc)
        return rc;
    for (replay(c, content, n); n > 0 && !tgi_checkpoint_read(c, NULL); replay(c, content, n))
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
    if (!tgi_checkpoint_read(c, store))
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

void tgi_checkpoint_stats(const struct tgi_checkpoint *c, struct tgi_checkpoint_stats *stats_p) { *stats_p = c->stats; }
