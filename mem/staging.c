/* See staging.h.
 *
 * A buffer is free, or it belongs to a chunk that is under way; then the event behind that chunk says when it is free again.
 * Buffers are used in turn, so the next one is the one that has been under way for longest. */
#include "mem/staging.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "graph/error.h"

enum {
    N_BUFFERS = 4,
    CHUNK_BYTES = 4 << 20,
    CPUS_PER_HELPER = 4,
    LEAST_SHARED = 512 << 10 /* bytes that are worth waking helpers for */
};

struct buffer {
    char *memory;
    struct tgi_event *events[TGI_MAX_DEVICES]; /* by device; NULL: not made yet */
    uint32_t busy;                             /* 1 + device; 0: free */
};

struct tgi_staging {
    struct tgi_devices *devices;
    struct buffer buffers[N_BUFFERS];
    uint32_t next;
    uint64_t n_bytes;
    /* Helpers: `work` is theirs to take once its number has changed, and n_left of them have not done their part. */
    pthread_mutex_t lock; /* all below */
    pthread_cond_t begins, ends;
    struct {
        char *to;
        const char *from;
        size_t bytes;
        uint64_t number;
    } work;
    uint32_t n_left;
    bool is_ending;
    struct helper {
        struct tgi_staging *staging;
        uint32_t index;
        pthread_t thread;
    } helpers[TGI_STAGING_HELPERS];
    uint32_t n_helpers, n_wanted;
    bool has_started;
};

/* ---- Moving bytes -------------------------------------------------------------------------*/

/* Part i of n, cut at whole cache lines. */
static void copy_part(char *to, const char *from, size_t bytes, uint32_t i, uint32_t n)
{
    size_t each = (bytes / n + 63) / 64 * 64, begin = each * i < bytes ? each * i : bytes;
    size_t end = i + 1 == n || begin + each > bytes ? bytes : begin + each;
    memcpy(to + begin, from + begin, end - begin);
}

static void *help(void *arg)
{
    struct helper *h = arg;
    struct tgi_staging *s = h->staging;
    uint64_t seen = 0;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (s->work.number == seen && !s->is_ending)
            pthread_cond_wait(&s->begins, &s->lock);
        if (s->is_ending)
            break;
        seen = s->work.number;
        char *to = s->work.to;
        const char *from = s->work.from;
        size_t bytes = s->work.bytes;
        uint32_t n = s->n_helpers + 1;
        pthread_mutex_unlock(&s->lock);
        copy_part(to, from, bytes, h->index, n);
        pthread_mutex_lock(&s->lock);
        if (--s->n_left == 0)
            pthread_cond_signal(&s->ends);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* Fewer than there could be will do, and so will none.  They see n_helpers once there is work, which comes after this. */
static void start_helpers(struct tgi_staging *s)
{
    s->has_started = true;
    pthread_mutex_lock(&s->lock);
    for (uint32_t i = 0; i < s->n_wanted; i++) {
        s->helpers[i] = (struct helper){s, i, 0};
        if (pthread_create(&s->helpers[i].thread, NULL, help, &s->helpers[i]))
            break;
        s->n_helpers++;
    }
    pthread_mutex_unlock(&s->lock);
}

static void move(struct tgi_staging *s, char *to, const char *from, size_t bytes)
{
    s->n_bytes += bytes;
    if (bytes < LEAST_SHARED || s->n_helpers == 0) {
        memcpy(to, from, bytes);
        return;
    }
    pthread_mutex_lock(&s->lock);
    s->work.to = to;
    s->work.from = from;
    s->work.bytes = bytes;
    s->work.number++;
    s->n_left = s->n_helpers;
    pthread_cond_broadcast(&s->begins);
    pthread_mutex_unlock(&s->lock);
    copy_part(to, from, bytes, s->n_helpers, s->n_helpers + 1);
    pthread_mutex_lock(&s->lock);
    while (s->n_left)
        pthread_cond_wait(&s->ends, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

/* ---- Buffers ------------------------------------------------------------------------------*/

/* Waits for the chunk that has it. */
static int settle(struct tgi_staging *s, struct buffer *b, struct tg_error *err)
{
    int rc = b->busy ? s->devices->ops->synchronize(s->devices, b->events[b->busy - 1], err) : 0;
    if (rc == 0)
        b->busy = 0;
    return rc;
}

/* The next buffer in turn, free. */
static int take(struct tgi_staging *s, uint32_t device, struct buffer **b_p, struct tg_error *err)
{
    struct tgi_devices *ds = s->devices;
    struct buffer *b = &s->buffers[s->next % N_BUFFERS];
    void *memory;
    int rc = settle(s, b, err);
    if (rc == 0 && !b->memory && (rc = ds->ops->host_alloc(ds, CHUNK_BYTES, &memory, err)) == 0)
        b->memory = memory;
    if (rc == 0 && !b->events[device])
        rc = ds->ops->event_create(ds, device, false, &b->events[device], err);
    if (rc == 0)
        s->next++;
    *b_p = b;
    return rc;
}

/* One chunk between a buffer and the device. */
static int enqueue(struct tgi_staging *s, uint32_t lane, struct buffer *b, const struct tgi_transfer *chunk, struct tg_error *err)
{
    struct tgi_devices *ds = s->devices;
    uint32_t device = tgi_lane_device(lane);
    int rc = ds->ops->copy(ds, lane, chunk, err);
    if (rc)
        return rc;
    rc = ds->ops->record(ds, lane, b->events[device], err);
    if (rc == 0)
        b->busy = device + 1;
    else if (!tgi_devices_are_lost(ds)) /* it is in the lane, and nothing says when it is done */
        ds->ops->drain(ds, device, NULL);
    return rc;
}

static struct tgi_transfer chunk_of(const struct tgi_transfer *t, uint64_t at, const struct buffer *b)
{
    struct tgi_transfer c = *t;
    c.bytes = t->bytes - at < CHUNK_BYTES ? t->bytes - at : CHUNK_BYTES;
    bool is_in = t->from_node == TGI_HOST_NODE;
    c.from = is_in ? (uint64_t)(uintptr_t)b->memory : t->from + at;
    c.to = is_in ? t->to + at : (uint64_t)(uintptr_t)b->memory;
    return c;
}

/* ---- Copies -------------------------------------------------------------------------------*/

static int copy_in(struct tgi_staging *s, uint32_t lane, const struct tgi_transfer *t, struct tg_error *err)
{
    int rc = 0;
    for (uint64_t at = 0; rc == 0 && at < t->bytes; at += CHUNK_BYTES) {
        struct buffer *b;
        rc = take(s, tgi_lane_device(lane), &b, err);
        if (rc)
            break;
        struct tgi_transfer c = chunk_of(t, at, b);
        move(s, b->memory, (const char *)(uintptr_t)(t->from + at), c.bytes);
        rc = enqueue(s, lane, b, &c, err);
    }
    return rc;
}

/* All chunks that there are buffers for are under way; the oldest is emptied. */
static int copy_out(struct tgi_staging *s, uint32_t lane, const struct tgi_transfer *t, struct tg_error *err)
{
    struct buffer *buffers[N_BUFFERS];
    uint64_t n = (t->bytes + CHUNK_BYTES - 1) / CHUNK_BYTES;
    int rc = 0;
    for (uint64_t i = 0; rc == 0 && i < n + N_BUFFERS - 1; i++) {
        if (i < n) {
            struct buffer **b = &buffers[i % N_BUFFERS];
            rc = take(s, tgi_lane_device(lane), b, err);
            struct tgi_transfer c = rc ? *t : chunk_of(t, i * CHUNK_BYTES, *b);
            rc = rc ? rc : enqueue(s, lane, *b, &c, err);
        }
        if (rc || i + 1 < N_BUFFERS)
            continue;
        uint64_t done = i + 1 - N_BUFFERS, at = done * CHUNK_BYTES;
        struct buffer *b = buffers[done % N_BUFFERS];
        if (done < n && (rc = settle(s, b, err)) == 0)
            move(s, (char *)(uintptr_t)(t->to + at), b->memory, t->bytes - at < CHUNK_BYTES ? t->bytes - at : CHUNK_BYTES);
    }
    return rc;
}

int tgi_staging_copy(struct tgi_staging *s, uint32_t lane, const struct tgi_transfer *t, struct tg_error *err)
{
    if (!s->has_started)
        start_helpers(s);
    int rc = t->from_node == TGI_HOST_NODE ? copy_in(s, lane, t, err) : copy_out(s, lane, t, err);
    /* What there is of it in the lane ends before somebody else gets the memory. */
    for (uint32_t i = 0; rc && i < N_BUFFERS; i++)
        if (settle(s, &s->buffers[i], NULL))
            s->buffers[i].busy = 0; /* the devices are lost, or will be drained */
    return rc;
}

uint64_t tgi_staging_bytes(const struct tgi_staging *s) { return s->n_bytes; }

/* ---- Life ---------------------------------------------------------------------------------*/

int tgi_staging_create(struct tgi_devices *devices, uint32_t n_helpers, struct tgi_staging **staging_p, struct tg_error *err)
{
    long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t n = n_helpers != TG_NONE ? n_helpers : n_cpus > 0 ? (uint32_t)(n_cpus / CPUS_PER_HELPER) : 0;
    struct tgi_staging *s = calloc(1, sizeof *s);
    if (!s)
        return tgi_error_memory(err, "copying memory that is not pinned");
    s->devices = devices;
    s->n_wanted = n < TGI_STAGING_HELPERS ? n : TGI_STAGING_HELPERS;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->begins, NULL);
    pthread_cond_init(&s->ends, NULL);
    *staging_p = s;
    return 0;
}

static void end_helpers(struct tgi_staging *s)
{
    pthread_mutex_lock(&s->lock);
    s->is_ending = true;
    pthread_cond_broadcast(&s->begins);
    pthread_mutex_unlock(&s->lock);
    for (uint32_t i = 0; i < s->n_helpers; i++)
        pthread_join(s->helpers[i].thread, NULL);
}

void tgi_staging_destroy(struct tgi_staging *s)
{
    if (!s)
        return;
    const struct tgi_device_ops *ops = s->devices->ops;
    bool is_attached = ops->attach(s->devices, NULL) == 0;
    end_helpers(s);
    for (uint32_t i = 0; i < N_BUFFERS; i++) {
        for (uint32_t d = 0; d < TGI_MAX_DEVICES; d++)
            if (s->buffers[i].events[d])
                ops->event_destroy(s->devices, s->buffers[i].events[d]);
        ops->host_free(s->devices, s->buffers[i].memory);
    }
    if (is_attached)
        ops->detach(s->devices);
    pthread_cond_destroy(&s->begins);
    pthread_cond_destroy(&s->ends);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
