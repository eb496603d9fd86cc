/* Unfinished files are listed in a fixed table of paths, so that a signal handler can remove them. */
#include "io/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "graph/error.h"

#define MAX_UNFINISHED 16

/* A slot goes free -> taken (by any thread) -> ready (its path is complete) -> free. */
enum { FREE, TAKEN, READY };
static atomic_int slot_state[MAX_UNFINISHED];
static char slot_path[MAX_UNFINISHED][PATH_MAX];

static int take_slot(const char *temp)
{
    if (strlen(temp) >= PATH_MAX)
        return -1;
    for (int i = 0; i < MAX_UNFINISHED; i++) {
        int expected = FREE;
        /* acquire pairs with the release in free_slot(): the last owner is done with the path. */
        if (!atomic_compare_exchange_strong_explicit(&slot_state[i], &expected, TAKEN, memory_order_acquire,
                                                     memory_order_relaxed))
            continue;
        strcpy(slot_path[i], temp);
        /* release pairs with the acquire in abandon_all(): the path is complete. */
        atomic_store_explicit(&slot_state[i], READY, memory_order_release);
        return i;
    }
    return -1; /* a full table costs no more than a leftover after Ctrl-C */
}

static void free_slot(int slot)
{
    /* release: see take_slot() */
    if (slot >= 0)
        atomic_store_explicit(&slot_state[slot], FREE, memory_order_release);
}

void tgi_output_guard(const char *path)
{
    (void)take_slot(path);
}

void tgi_output_unguard(const char *path)
{
    for (int i = 0; i < MAX_UNFINISHED; i++) {
        /* acquire: see take_slot() */
        if (atomic_load_explicit(&slot_state[i], memory_order_acquire) == READY &&
            strcmp(slot_path[i], path) == 0) {
            free_slot(i);
            return;
        }
    }
}

void tgi_output_abandon_all(void)
{
    for (int i = 0; i < MAX_UNFINISHED; i++) {
        /* acquire: see take_slot() */
        if (atomic_load_explicit(&slot_state[i], memory_order_acquire) == READY)
            unlink(slot_path[i]);
    }
}

/* Devices and pipes cannot be replaced by rename: they are written in place. */
static bool is_special(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
}

/* Permissions of the file that is replaced, else those the user's umask asks for. */
static mode_t final_mode(const char *path)
{
    struct stat info;
    if (stat(path, &info) == 0)
        return info.st_mode & 0777;
    mode_t mask = umask(0);
    umask(mask);
    return 0666 & ~mask;
}

int tgi_output_open(struct tgi_output *out, const char *path, struct tg_error *err)
{
    *out = (struct tgi_output){.slot = -1};
    if (!path || strcmp(path, "-") == 0) {
        out->file = stdout;
        return 0;
    }
    /* A link is followed, so that it stays one. */
    char *real = realpath(path, NULL);
    out->path = real ? real : strdup(path);
    if (!out->path)
        return tgi_error_memory(err, "an output file");
    if (is_special(out->path)) {
        out->file = fopen(out->path, "we");
        if (out->file)
            return 0;
        tgi_error_errno(err, TG_E_WRITE, errno, "cannot write \"%s\"", path);
        goto free_path;
    }

    size_t size = strlen(out->path) + sizeof(".XXXXXX");
    out->temp = malloc(size);
    if (!out->temp) {
        tgi_error_memory(err, "an output file");
        goto free_path;
    }
    snprintf(out->temp, size, "%s.XXXXXX", out->path); /* mkostemp(3) replaces the end */
    int fd = mkostemp(out->temp, O_CLOEXEC);
    if (fd < 0) {
        tgi_error_errno(err, TG_E_WRITE, errno, "cannot write \"%s\"", path);
        goto free_temp;
    }
    out->slot = take_slot(out->temp);
    out->file = fdopen(fd, "w");
    if (!out->file || fchmod(fd, final_mode(out->path)) != 0) {
        tgi_error_errno(err, TG_E_WRITE, errno, "cannot write \"%s\"", path);
        if (!out->file)
            close(fd);
        tgi_output_abandon(out);
        return TG_E_WRITE;
    }
    return 0;

free_temp:
    free(out->temp);
    out->temp = NULL;
free_path:
    free(out->path);
    out->path = NULL;
    return err ? err->status : TG_E_WRITE;
}

static void release(struct tgi_output *out)
{
    free_slot(out->slot);
    free(out->temp);
    free(out->path);
    *out = (struct tgi_output){.slot = -1};
}

int tgi_output_reason(FILE *file)
{
    return write(fileno(file), "\n", 1) < 0 ? errno : 0;
}

int tgi_output_check(FILE *file, const char *what, struct tg_error *err)
{
    if (!ferror(file))
        return 0;
    int reason = tgi_output_reason(file);
    return reason ? tgi_error_errno(err, TG_E_WRITE, reason, "cannot write %s", what)
                  : tgi_error(err, TG_E_WRITE, "cannot write %s: a write has failed before", what);
}

int tgi_output_finish(struct tgi_output *out, struct tg_error *err)
{
    if (!out->file)
        return 0;
    bool had_error = ferror(out->file) != 0;
    int reason = had_error ? tgi_output_reason(out->file) : 0;
    errno = reason;
    if (out->file == stdout) {
        /* A reader that went away is for main() to judge, which looks at stdout again. */
        if ((fflush(stdout) != 0 || had_error) && errno != EPIPE && errno != 0)
            return tgi_error_errno(err, TG_E_WRITE, errno, "cannot write to stdout");
        out->file = NULL;
        return 0;
    }
    int rc = 0;
    bool is_closed = fclose(out->file) == 0;
    out->file = NULL;
    if (had_error && reason)
        rc = tgi_error_errno(err, TG_E_WRITE, reason, "cannot write \"%s\"", out->path);
    else if (had_error && is_closed)
        rc = tgi_error(err, TG_E_WRITE, "cannot write \"%s\": a write has failed before", out->path);
    else if (!is_closed)
        rc = tgi_error_errno(err, TG_E_WRITE, errno, "cannot write \"%s\"", out->path);
    else if (out->temp && rename(out->temp, out->path) != 0)
        rc = tgi_error_errno(err, TG_E_WRITE, errno, "cannot write \"%s\"", out->path);
    if (rc && out->temp)
        unlink(out->temp);
    release(out);
    return rc;
}

void tgi_output_abandon(struct tgi_output *out)
{
    if (out->file && out->file != stdout)
        fclose(out->file);
    if (out->temp)
        unlink(out->temp);
    release(out);
}
