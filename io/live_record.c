/* The file is mapped once, with room behind its end for the longest log there can be; it grows by steps, before anything is written there. */
#include "io/live_record.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "graph/error.h"
#include "io/live_log.h"
#include "mem/replica.h"

#define MOST_LOG ((uint64_t)1 << 28) /* bytes */

struct tgi_live_record {
    char *path; /* NULL: removed */
    int fd;
    unsigned char *pages;
    size_t n_bytes, spans_at, log_at; /* of the mapping; in it */
    uint64_t log_in_file;             /* where the log begins */
    const struct tgi_space *space;
    const struct tg_graph **bodies;   /* by part that is ahead, less 1 */
    uint32_t n_bodies;
    pthread_mutex_t lock;             /* of the log */
    uint64_t n_used, n_room;          /* its bytes: written, and that the file has */
};

char *tgi_live_record_path(const char *record_path)
{
    char *path;
    return asprintf(&path, "%s.partial", record_path) < 0 ? NULL : path;
}

/* The file is complete but for the spans and the log; returns where they begin. */
static int write_ahead(int fd, const struct tgi_recording *ahead, uint64_t *spans_at_p, struct tg_error *err)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    FILE *to = copy < 0 ? NULL : fdopen(copy, "wb");
    if (!to) {
        if (copy >= 0)
            close(copy);
        return tgi_error_errno(err, TG_E_WRITE, errno, "cannot write the record of the run");
    }
    int rc = tgi_recording_write_ahead(ahead, MOST_LOG / sizeof(uint64_t), to, spans_at_p, err);
    if (fclose(to) != 0 && rc == 0)
        rc = tgi_error_errno(err, TG_E_WRITE, errno, "cannot write the record of the run");
    return rc;
}

/* ---- The log ------------------------------------------------------------------------------*/

/* Room is there before it is written to: a page that the disk has no place for is a SIGBUS for who writes to it. */
static bool reserve_locked(struct tgi_live_record *live, uint64_t n_bytes)
{
    if (live->n_used + n_bytes <= live->n_room)
        return true;
    uint64_t more = n_bytes > TGI_LIVE_LOG_STEP ? n_bytes : TGI_LIVE_LOG_STEP;
    if (live->n_room + more > MOST_LOG || posix_fallocate(live->fd, (off_t)(live->log_in_file + live->n_room), (off_t)more))
        return false;
    live->n_room += more;
    return true;
}

static uint64_t *log_of(const struct tgi_live_record *live) { return (uint64_t *)(live->pages + live->log_at); }

/* An entry of that size, all 0 but for its size; NULL: there is no room. */
static void *append(struct tgi_live_record *live, uint64_t n_bytes)
{
    uint64_t *entry = NULL;
    pthread_mutex_lock(&live->lock);
    if (reserve_locked(live, n_bytes)) {
        entry = log_of(live) + live->n_used / sizeof(*entry);
        *entry = n_bytes / sizeof(*entry);
        live->n_used += n_bytes;
    } else {
        log_of(live)[0]++;
    }
    pthread_mutex_unlock(&live->lock);
    return entry;
}

/* The last that is written of an entry, as of a span (tgi_span_end()). */
static void set_kind(uint32_t *kind, enum tgi_live_kind which)
{
    atomic_signal_fence(memory_order_release);
    *kind = which;
}

static uint32_t number_of(const struct tgi_round *round) { return round ? round->index + 1 : 0; }

static struct tgi_span *add_round(void *user, const struct tgi_round *round)
{
    struct tgi_live_record *live = user;
    uint32_t part = 0;
    while (part < live->n_bodies && live->bodies[part] != round->graph)
        part++;
    struct tgi_live_round *entry = append(live, sizeof(*entry) + round->graph->n_tasks * sizeof(struct tgi_span));
    if (!entry)
        return NULL;
    entry->part = part + 1;
    entry->round = number_of(round);
    entry->parent = number_of(round->parent);
    entry->parent_task = round->parent_task;
    entry->previous = number_of(round->previous);
    entry->number = round->number;
    set_kind(&entry->kind, TGI_LIVE_ROUND);
    return (struct tgi_span *)(entry + 1);
}

static void add_copy(void *user, const struct tgi_copy *copy)
{
    struct tgi_live_record *live = user;
    struct tgi_live_copy *entry = append(live, sizeof(*entry));
    const struct tgi_buffer *b = tgi_space_buffer_of(live->space, copy->tile);
    if (!entry)
        return;
    entry->bytes = copy->bytes;
    entry->buffer = (uint32_t)(b - live->space->buffers);
    entry->tile = copy->tile - b->first_tile;
    entry->from = copy->from;
    entry->to = copy->to;
    entry->round = copy->owner == UINT64_MAX ? 0 : (uint32_t)(copy->owner >> 32);
    entry->task = copy->owner == UINT64_MAX ? TG_NONE : (uint32_t)copy->owner;
    set_kind(&entry->kind, TGI_LIVE_COPY);
}

static void clear(void *user)
{
    struct tgi_live_record *live = user;
    memset(log_of(live), 0, live->n_used);
    live->n_used = sizeof(uint64_t);
}

/* ---- Bodies -------------------------------------------------------------------------------*/

static bool is_listed(const struct tgi_rounds *bodies, const struct tg_graph *body)
{
    for (const struct tgi_round *r = bodies->first; r; r = r->next)
        if (r->graph == body)
            return true;
    return false;
}

static bool list_body(struct tgi_rounds *bodies, const struct tg_graph *body, const struct tgi_round *parent, uint32_t task)
{
    if (!body || is_listed(bodies, body))
        return true;
    struct tgi_round *round = calloc(1, sizeof(*round) + body->n_tasks * sizeof(*round->own));
    if (!round)
        return false;
    *round = (struct tgi_round){.graph = body, .parent = parent, .parent_task = task, .index = (uint32_t)bodies->n++, .spans = round->own};
    *(bodies->last ? &bodies->last->next : &bodies->first) = round;
    bodies->last = round;
    return true;
}

/* One round of each body, in the first control task that has it. */
static bool list_bodies(struct tgi_rounds *bodies, const struct tg_graph *g, const struct tgi_round *parent)
{
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        const struct tgi_op *op = tgi_graph_op(g, t);
        if (op->kind >= TGI_OP_REPEAT && (!list_body(bodies, op->body, parent, t) || !list_body(bodies, op->body_else, parent, t)))
            return false;
    }
    const struct tgi_round *next = parent ? parent->next : bodies->first;
    return !next || list_bodies(bodies, next->graph, next);
}

static void free_bodies(struct tgi_rounds *bodies)
{
    while (bodies->first) {
        struct tgi_round *next = bodies->first->next;
        free(bodies->first);
        bodies->first = next;
    }
}

/* What is known before the run; the order of bodies stays with the live record. */
static int take_ahead(struct tgi_live_record *live, const struct tgi_recorded *what, struct tgi_recording *ahead_p, struct tg_error *err)
{
    struct tgi_rounds bodies = {0};
    struct tgi_recorded ahead = *what;
    struct tgi_span *none = calloc((size_t)what->graph->n_tasks + 1, sizeof(*none));
    int rc = none && list_bodies(&bodies, what->graph, NULL) ? 0 : tgi_error_memory(err, "the record of a run");
    if (rc == 0 && !(live->bodies = calloc(bodies.n + 1, sizeof(*live->bodies))))
        rc = tgi_error_memory(err, "the record of a run");
    for (const struct tgi_round *r = bodies.first; rc == 0 && r; r = r->next)
        live->bodies[live->n_bodies++] = r->graph;
    ahead.spans = none;
    ahead.rounds = &bodies;
    ahead.is_ahead = true;
    if (rc == 0)
        rc = tgi_recording_create(&ahead, ahead_p, err);
    free_bodies(&bodies);
    free(none);
    return rc;
}

/* ---- The file -----------------------------------------------------------------------------*/

/* Beyond the end of the file the mapping is for the log to come. */
static int map(struct tgi_live_record *live, uint64_t spans_at, uint64_t n_bytes, struct tg_error *err)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), from = spans_at / page * page;
    int answer = posix_fallocate(live->fd, (off_t)spans_at, (off_t)(n_bytes + TGI_LIVE_LOG_STEP));
    if (answer)
        return tgi_error_errno(err, TG_E_WRITE, answer, "no room for the record of the run");
    live->spans_at = spans_at - from;
    live->log_at = live->spans_at + n_bytes;
    live->log_in_file = spans_at + n_bytes;
    live->n_room = TGI_LIVE_LOG_STEP;
    live->n_used = sizeof(uint64_t);
    live->n_bytes = live->log_at + MOST_LOG;
    live->pages = mmap(NULL, live->n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, live->fd, (off_t)from);
    if (live->pages == MAP_FAILED)
        return tgi_error_errno(err, TG_E_WRITE, errno, "cannot map the record of the run");
    return 0;
}

static void live_free(struct tgi_live_record *live)
{
    if (live->fd >= 0)
        close(live->fd);
    pthread_mutex_destroy(&live->lock);
    free(live->bodies);
    free(live->path);
    free(live);
}

static int write_file(struct tgi_live_record *live, const struct tgi_recording *ahead, struct tg_error *err)
{
    uint64_t spans_at = 0;
    live->fd = open(live->path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (live->fd < 0)
        return tgi_error_errno(err, TG_E_WRITE, errno, "cannot write \"%s\"", live->path);
    int rc = write_ahead(live->fd, ahead, &spans_at, err);
    if (rc == 0)
        rc = map(live, spans_at, ahead->head.n_tasks * sizeof(struct tgi_span), err);
    if (rc)
        unlink(live->path);
    return rc;
}

int tgi_live_record_create(const char *path, const struct tgi_recorded *what, struct tgi_live_record **live_p, struct tg_error *err)
{
    struct tgi_live_record *live = calloc(1, sizeof(*live));
    struct tgi_recording ahead;
    if (!live)
        return tgi_error_memory(err, "the record of a run");
    *live = (struct tgi_live_record){.path = strdup(path), .fd = -1, .space = what->graph->space};
    pthread_mutex_init(&live->lock, NULL);
    int rc = live->path ? take_ahead(live, what, &ahead, err) : tgi_error_memory(err, "the record of a run");
    if (rc == 0) {
        rc = write_file(live, &ahead, err);
        tgi_recording_fini(&ahead);
    }
    if (rc)
        live_free(live);
    else
        *live_p = live;
    return rc;
}

struct tgi_span *tgi_live_record_spans(const struct tgi_live_record *live)
{
    return (struct tgi_span *)(live->pages + live->spans_at);
}

void tgi_live_record_follow(struct tgi_live_record *live, struct tg_run *run)
{
    const struct tgi_run_log log = {clear, add_round, add_copy, live};
    tgi_run_record_into(run, tgi_live_record_spans(live), &log);
}

void tgi_live_record_remove(struct tgi_live_record *live)
{
    if (live && live->path)
        unlink(live->path);
    if (live) {
        free(live->path);
        live->path = NULL;
    }
}

void tgi_live_record_close(struct tgi_live_record *live)
{
    if (!live)
        return;
    munmap(live->pages, live->n_bytes);
    live_free(live);
}
