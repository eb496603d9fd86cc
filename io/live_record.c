#include "io/live_record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "graph/error.h"

struct tgi_live_record {
    char *path; /* NULL: removed */
    unsigned char *pages;
    size_t n_bytes, spans_at; /* of the mapping; in it */
};

char *tgi_live_record_path(const char *record_path)
{
    char *path;
    return asprintf(&path, "%s.partial", record_path) < 0 ? NULL : path;
}

/* The file is complete but for the spans; returns where they begin. */
static int write_ahead(int fd, const struct tgi_recording *ahead, uint64_t *spans_at_p, struct tg_error *err)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    FILE *to = copy < 0 ? NULL : fdopen(copy, "wb");
    if (!to) {
        if (copy >= 0)
            close(copy);
        return tgi_error_errno(err, TG_E_WRITE, errno, "cannot write the record of the run");
    }
    int rc = tgi_recording_write_ahead(ahead, to, spans_at_p, err);
    if (fclose(to) != 0 && rc == 0)
        rc = tgi_error_errno(err, TG_E_WRITE, errno, "cannot write the record of the run");
    return rc;
}

/* Room is there before it is mapped: a page that the disk has no place for is a SIGBUS for who writes to it. */
static int map_spans(int fd, struct tgi_live_record *live, uint64_t spans_at, uint64_t n_bytes, struct tg_error *err)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), from = spans_at / page * page;
    int answer = n_bytes ? posix_fallocate(fd, (off_t)spans_at, (off_t)n_bytes) : 0;
    if (answer)
        return tgi_error_errno(err, TG_E_WRITE, answer, "no room for the record of the run");
    live->spans_at = spans_at - from;
    live->n_bytes = live->spans_at + n_bytes + 1; /* an empty mapping is an error, and behind the end nobody writes */
    live->pages = mmap(NULL, live->n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)from);
    if (live->pages == MAP_FAILED)
        return tgi_error_errno(err, TG_E_WRITE, errno, "cannot map the record of the run");
    return 0;
}

int tgi_live_record_create(const char *path, const struct tgi_recording *ahead, struct tgi_live_record **live_p, struct tg_error *err)
{
    struct tgi_live_record *live = calloc(1, sizeof(*live));
    uint64_t spans_at = 0;
    if (!live || !(live->path = strdup(path))) {
        free(live);
        return tgi_error_memory(err, "the record of a run");
    }
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666), rc;
    if (fd < 0) {
        rc = tgi_error_errno(err, TG_E_WRITE, errno, "cannot write \"%s\"", path);
        goto free_live;
    }
    rc = write_ahead(fd, ahead, &spans_at, err);
    if (rc == 0)
        rc = map_spans(fd, live, spans_at, ahead->head.n_tasks * sizeof(struct tgi_span), err);
    close(fd);
    if (rc == 0) {
        *live_p = live;
        return 0;
    }
    unlink(path);
free_live:
    free(live->path);
    free(live);
    return rc;
}

struct tgi_span *tgi_live_record_spans(const struct tgi_live_record *live)
{
    return (struct tgi_span *)(live->pages + live->spans_at);
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
    free(live->path);
    free(live);
}
