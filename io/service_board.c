/* See service_board.h.
 *
 * Who is alive is told by a lock, not by a process number, which may be another's by now or of another namespace: a process holds an
 * exclusive flock() on the file that bears its name.  A new one is locked before it takes the place of the old by rename(2), and the
 * old one is closed after that, so the file of the name is locked at any time.  Who gets a shared lock on a file that
 * still has its name afterwards knows that its process has ended, whichever way.  A new file is not locked at once, so it is left alone
 * until it is old.  One of a process that was stopped for so long right there may be taken for one that is left over, and removed:
 * its rename() fails then, and it is written once more. */
#include "io/service_board.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "graph/error.h"
#include "graph/vec.h"

/* ---- The folder ---------------------------------------------------------------------------*/

static int folder_path(char *path, size_t size, struct tg_error *err)
{
    const char *xdg = getenv("XDG_RUNTIME_DIR");
    int n = xdg && xdg[0] == '/' ? snprintf(path, size, "%s/tgraph", xdg) : snprintf(path, size, "/tmp/tgraph-%u", (unsigned)getuid());
    if (n < 0 || (size_t)n >= size)
        return tgi_error(err, TG_E_SYSTEM, "the path of the folder of services is too long");
    return 0;
}

/* *folder_p -1: there is none, which is no error where it is not to be made. */
static int open_folder(bool makes, int *folder_p, struct tg_error *err)
{
    char path[4096];
    struct stat info;
    int rc = folder_path(path, sizeof path, err);
    if (rc)
        return rc;
    if (makes && mkdir(path, 0700) != 0 && errno != EEXIST)
        return tgi_error_errno(err, TG_E_SYSTEM, errno, "cannot make the folder %s", path);
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0 && errno == ENOENT && !makes) {
        *folder_p = -1;
        return 0;
    }
    if (folder < 0)
        return tgi_error_errno(err, TG_E_SYSTEM, errno, "cannot open the folder %s", path);
    if (fstat(folder, &info) != 0 || info.st_uid != getuid() || (info.st_mode & 0077)) {
        close(folder);
        return tgi_error(err, TG_E_SYSTEM, "the folder %s is not this user's alone, so services are not shown there", path);
    }
    *folder_p = folder;
    return 0;
}

/* ---- Who shows ----------------------------------------------------------------------------*/

int tgi_service_board_open(struct tgi_service_place_on_board *p, struct tg_error *err)
{
    static _Atomic uint32_t n_places; /* relaxed: it only counts */
    p->file = p->folder = -1;
    uint32_t number = atomic_fetch_add_explicit(&n_places, 1, memory_order_relaxed);
    snprintf(p->name, sizeof p->name, "service-%ld-%" PRIu32, (long)getpid(), number);
    snprintf(p->new_name, sizeof p->new_name, "%s.new", p->name);
    return open_folder(true, &p->folder, err);
}

static void close_file(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* A locked file with the sign; -1: errno says why not. */
static int write_file(const struct tgi_service_place_on_board *p, const struct tgi_service_sign *sign)
{
    int fd = openat(p->folder, p->new_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    int other = flock(fd, LOCK_EX | LOCK_NB) == 0 ? dup(fd) : -1; /* which shares the lock */
    FILE *to = other >= 0 ? fdopen(other, "w") : NULL;
    bool is_written = to != NULL;
    if (to) {
        tgi_service_sign_write(to, sign);
        is_written = !ferror(to);
        is_written = fclose(to) == 0 && is_written;
    } else
        close_file(other);
    if (is_written && renameat(p->folder, p->new_name, p->folder, p->name) == 0)
        return fd;
    int why = errno;
    close(fd);
    unlinkat(p->folder, p->new_name, 0);
    errno = why;
    return -1;
}

int tgi_service_board_put(struct tgi_service_place_on_board *p, const struct tgi_service_sign *sign, struct tg_error *err)
{
    int fd = -1;
    for (int tries = 0; fd < 0 && tries < 16; tries++) {
        fd = write_file(p, sign);
        if (fd < 0 && errno == EEXIST) /* of an earlier process of this number */
            unlinkat(p->folder, p->new_name, 0);
        else if (fd < 0 && errno != ENOENT && errno != EWOULDBLOCK)
            break;
    }
    if (fd < 0)
        return tgi_error_errno(err, TG_E_SYSTEM, errno, "cannot show the service in %s", p->name);
    close_file(p->file);
    p->file = fd;
    return 0;
}

void tgi_service_board_close(struct tgi_service_place_on_board *p)
{
    if (p->file >= 0)
        unlinkat(p->folder, p->name, 0);
    close_file(p->file);
    close_file(p->folder);
    p->file = p->folder = -1;
}

/* ---- Who looks ----------------------------------------------------------------------------*/

/* Whether nobody holds the file, and it still has its name. */
static bool is_left_over(int folder, const char *name, int fd)
{
    struct stat here, there;
    return flock(fd, LOCK_SH | LOCK_NB) == 0 && fstat(fd, &here) == 0 && fstatat(folder, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           here.st_ino == there.st_ino && here.st_dev == there.st_dev;
}

static bool is_being_written(const char *name)
{
    size_t n = strlen(name);
    return n > 4 && strcmp(name + n - 4, ".new") == 0;
}

/* A file that is written takes microseconds; of its age both clocks may be wrong. */
static bool is_young(int fd)
{
    enum { SECONDS = 10 };
    struct stat info;
    time_t now = time(NULL);
    return fstat(fd, &info) == 0 && info.st_mtime > now - SECONDS && info.st_mtime < now + SECONDS;
}

/* One file; false: no memory. */
static bool look_at(int folder, const char *name, struct tgi_service_signs *to, uint32_t *cap)
{
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return true; /* it has just been replaced or taken away */
    if (is_being_written(name) && is_young(fd)) {
        close(fd);
        return true;
    }
    if (is_left_over(folder, name, fd)) {
        to->n_removed += unlinkat(folder, name, 0) == 0 && !is_being_written(name);
        close(fd);
        return true;
    }
    if (is_being_written(name)) {
        close(fd);
        return true;
    }
    FILE *from = fdopen(fd, "r");
    bool has_room = tgi_vec_reserve(&to->signs, cap, to->n + 1ull, sizeof *to->signs);
    if (from && has_room) {
        bool is_sign = tgi_service_sign_read(from, &to->signs[to->n]);
        to->n += is_sign;
        to->n_unreadable += !is_sign;
    }
    if (from)
        fclose(from);
    else
        close(fd);
    return from && has_room;
}

static int by_pid(const void *a, const void *b)
{
    const struct tgi_service_sign *x = a, *y = b;
    if (x->pid != y->pid)
        return x->pid < y->pid ? -1 : 1;
    return (x->began_ns > y->began_ns) - (x->began_ns < y->began_ns);
}

int tgi_service_board_read(struct tgi_service_signs *signs_p, struct tg_error *err)
{
    struct tgi_service_signs found = {0};
    uint32_t cap = 0;
    int folder, rc = open_folder(false, &folder, err);
    if (rc)
        return rc;
    DIR *entries = folder >= 0 ? fdopendir(folder) : NULL;
    if (folder >= 0 && !entries) {
        close(folder);
        return tgi_error_memory(err, "looking for services");
    }
    for (struct dirent *entry; rc == 0 && entries && (entry = readdir(entries));)
        if (strncmp(entry->d_name, "service-", 8) == 0 && !look_at(folder, entry->d_name, &found, &cap))
            rc = tgi_error_memory(err, "looking for services");
    if (entries)
        closedir(entries);
    if (rc) {
        free(found.signs);
        return rc;
    }
    if (found.n)
        qsort(found.signs, found.n, sizeof *found.signs, by_pid);
    *signs_p = found;
    return 0;
}
