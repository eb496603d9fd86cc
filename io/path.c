/* openat2() with RESOLVE_BENEATH checks every step of the resolution in the kernel, where nobody can
 * exchange a folder for a link in between.  The file is looked at through O_PATH first: opening a
 * device can have effects, opening a pipe can wait. */
#include "io/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "graph/error.h"

static int open_folder(const char *folder, int *fd_p, struct tg_error *err)
{
    int fd = open(folder[0] ? folder : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return tgi_error_errno(err, TG_E_OPEN, errno, "cannot open the folder \"%s\"", folder);
    *fd_p = fd;
    return 0;
}

static int resolve_beneath(int at, const char *path, int flags, mode_t mode)
{
    struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC),
                           .mode = mode,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    long fd;
    int attempts = 8; /* EAGAIN: somebody renames folders on the way */
    do
        fd = syscall(SYS_openat2, at, path, &how, sizeof how);
    while (fd < 0 && (errno == EINTR || (errno == EAGAIN && --attempts > 0)));
    return (int)fd;
}

static bool is_link(int at, const char *name)
{
    struct stat s;
    int kept = errno;
    bool yes = fstatat(at, name, &s, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(s.st_mode);
    errno = kept;
    return yes;
}

/* Returns a descriptor, or -1 with errno; EXDEV: the path leaves the folder. */
static int resolve_stepwise(int at, const char *path, int flags, mode_t mode)
{
    char name[NAME_MAX + 1];
    int current = at;
    if (path[0] == '/') {
        errno = EXDEV;
        return -1;
    }
    for (;;) {
        size_t length = strcspn(path, "/");
        const char *rest = path + length + strspn(path + length, "/");
        bool is_last = path[length] == '\0';
        int next = -1, number = 0;
        memcpy(name, path, length <= NAME_MAX ? length : 0);
        name[length <= NAME_MAX ? length : 0] = '\0';
        if (length > NAME_MAX)
            number = ENAMETOOLONG;
        else if (strcmp(name, "..") == 0)
            number = EXDEV;
        else if ((next = openat(current, name,
                                is_last ? flags | O_NOFOLLOW | O_CLOEXEC
                                        : O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
                                mode)) < 0)
            /* A link may well lead out of the folder: it is not followed to find out. */
            number = errno == ELOOP || (errno == ENOTDIR && is_link(current, name)) ? EXDEV : errno;
        if (current != at)
            close(current);
        if (next < 0) {
            errno = number;
            return -1;
        }
        if (is_last)
            return next;
        current = next;
        path = *rest ? rest : ".";
    }
}

enum how { BY_SYSTEM, STEPWISE };

static int resolve(int at, const char *path, int flags, mode_t mode, enum how how)
{
    int fd = -1;
    if (how == BY_SYSTEM)
        fd = resolve_beneath(at, path, flags, mode);
    /* EPERM: what some sandboxes say to calls they do not know */
    if (how == STEPWISE || (fd < 0 && (errno == ENOSYS || errno == EPERM)))
        fd = resolve_stepwise(at, path, flags, mode);
    return fd;
}

static int explain(int status, const char *folder, const char *path, struct tg_error *err)
{
    if (errno == EXDEV || errno == ELOOP)
        return tgi_error(err, TG_E_PATH_ESCAPE, "\"%s\" leaves the folder \"%s\"", path,
                         folder[0] ? folder : ".");
    return tgi_error_errno(err, status, errno, "cannot %s \"%s\"", status == TG_E_WRITE ? "write" : "open",
                           path);
}

static int check_regular(int fd, const char *path, struct tg_error *err)
{
    struct stat s;
    if (fstat(fd, &s) != 0)
        return tgi_error_errno(err, TG_E_OPEN, errno, "cannot open \"%s\"", path);
    if (S_ISLNK(s.st_mode)) /* only stepwise: O_PATH | O_NOFOLLOW opens the link itself */
        return tgi_error(err, TG_E_PATH_ESCAPE, "\"%s\" is a link", path);
    if (!S_ISREG(s.st_mode))
        return tgi_error(err, TG_E_OPEN, "cannot open \"%s\": not a regular file", path);
    return 0;
}

static int open_checked(const char *folder, const char *path, int flags, enum how how, int *fd_p,
                        struct tg_error *err)
{
    int at = -1, rc;
    if (!folder) {
        int fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
            return tgi_error_errno(err, TG_E_OPEN, errno, "cannot open \"%s\"", path);
        rc = check_regular(fd, path, err);
        if (rc)
            close(fd);
        else
            *fd_p = fd;
        return rc;
    }
    rc = open_folder(folder, &at, err);
    if (rc)
        return rc;
    static const int looks[2] = {1, 0};
    int fd = -1;
    for (int i = 0; i < 2 && rc == 0; i++) {
        if (fd >= 0)
            close(fd);
        fd = resolve(at, path, looks[i] ? O_PATH : flags | O_NOCTTY | O_NONBLOCK, 0, how);
        rc = fd < 0 ? explain(TG_E_OPEN, folder, path, err) : check_regular(fd, path, err);
    }
    close(at);
    if (rc == 0)
        *fd_p = fd;
    else if (fd >= 0)
        close(fd);
    return rc;
}

int tgi_path_open_beneath(const char *folder, const char *path, int flags, int *fd_p, struct tg_error *err)
{
    return open_checked(folder, path, flags, BY_SYSTEM, fd_p, err);
}

int tgi_path_open_stepwise(const char *folder, const char *path, int flags, int *fd_p, struct tg_error *err)
{
    return open_checked(folder, path, flags, STEPWISE, fd_p, err);
}

/* ---- Tidying ------------------------------------------------------------------------------*/

/* A link or a file may be there: then ".." means what the system says. */
static bool is_missing(const char *path)
{
    struct stat s;
    return lstat(path, &s) != 0 && errno == ENOENT;
}

char *tgi_path_tidy(const char *path)
{
    size_t n = 0, root = path[0] == '/';
    char *tidy = malloc(strlen(path) + 2);
    if (!tidy)
        return NULL;
    memcpy(tidy, "/", root);
    n = root;
    for (const char *p = path + strspn(path, "/"), *rest; *p; p = rest) {
        size_t length = strcspn(p, "/");
        rest = p + length + strspn(p + length, "/");
        if (length == 1 && p[0] == '.')
            continue;
        tidy[n] = '\0';
        if (length == 2 && memcmp(p, "..", 2) == 0 && n > root && is_missing(tidy)) {
            while (n > root && tidy[n - 1] != '/')
                n--;
            n -= n > root; /* the slash */
            continue;
        }
        if (n > root)
            tidy[n++] = '/';
        memcpy(tidy + n, p, length);
        n += length;
    }
    if (n == 0)
        tidy[n++] = '.';
    tidy[n] = '\0';
    return tidy;
}

/* ---- Output -------------------------------------------------------------------------------*/

static const char *last_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int open_parent(const char *folder, const char *path, int *parent_p, struct tg_error *err)
{
    size_t length = (size_t)(last_name(path) - path);
    char *above = length ? strndup(path, length) : strdup(".");
    int at = AT_FDCWD, rc = 0, parent = -1;
    if (!above)
        return tgi_error_memory(err, "an output file");
    if (folder)
        rc = open_folder(folder, &at, err);
    if (rc == 0) {
        parent = folder ? resolve(at, above, O_PATH | O_DIRECTORY, 0, BY_SYSTEM)
                        : open(above, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (parent < 0)
            rc = explain(TG_E_WRITE, folder ? folder : "", path, err);
    }
    if (at >= 0)
        close(at);
    free(above);
    if (rc == 0)
        *parent_p = parent;
    return rc;
}

int tgi_path_create_beneath(const char *folder, const char *path, struct tgi_path_output *out,
                            struct tg_error *err)
{
    const char *name = last_name(path);
    unsigned long long number;
    struct tgi_path_output o = {-1, -1, path, ""};
    if (folder && strcmp(name, "..") == 0)
        return tgi_error(err, TG_E_PATH_ESCAPE, "\"%s\" leaves the folder \"%s\"", path, folder);
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return tgi_error(err, TG_E_WRITE, "cannot write \"%s\": not the name of a file", path);
    int rc = open_parent(folder, path, &o.parent, err);
    if (rc)
        return rc;
    struct stat s;
    if (fstatat(o.parent, name, &s, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(s.st_mode))
        errno = EISDIR;
    else if (getrandom(&number, sizeof number, 0) == (ssize_t)sizeof number) {
        snprintf(o.temp, sizeof o.temp, ".tgraph-%016llx", number);
        o.fd = openat(o.parent, o.temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    }
    if (o.fd < 0) {
        rc = tgi_error_errno(err, TG_E_WRITE, errno, "cannot write \"%s\"", path);
        close(o.parent);
        return rc;
    }
    *out = o;
    return 0;
}

int tgi_path_output_write(struct tgi_path_output *out, const void *data, size_t bytes, struct tg_error *err)
{
    const char *p = data;
    while (bytes) {
        ssize_t n = write(out->fd, p, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return tgi_error_errno(err, TG_E_WRITE, errno, "cannot write \"%s\"", out->path);
        p += n;
        bytes -= (size_t)n;
    }
    return 0;
}

int tgi_path_output_finish(struct tgi_path_output *out, struct tg_error *err)
{
    int number = 0;
    if (fsync(out->fd) != 0 && errno != EINVAL && errno != EROFS) /* those: a file that cannot be synced */
        number = errno;
    if (close(out->fd) != 0 && number == 0)
        number = errno;
    out->fd = -1;
    if (number == 0 && renameat(out->parent, out->temp, out->parent, last_name(out->path)) != 0)
        number = errno;
    if (number) {
        tgi_path_output_abandon(out);
        return tgi_error_errno(err, TG_E_WRITE, number, "cannot write \"%s\"", out->path);
    }
    close(out->parent);
    out->parent = -1;
    return 0;
}

void tgi_path_output_abandon(struct tgi_path_output *out)
{
    if (out->fd >= 0)
        close(out->fd);
    if (out->parent >= 0) {
        unlinkat(out->parent, out->temp, 0);
        close(out->parent);
    }
    out->fd = out->parent = -1;
}
