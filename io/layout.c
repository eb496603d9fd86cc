#include "io/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "graph/error.h"
#include "io/output.h"
#include "sched/process.h"

/* A new empty file in the folder for temporary files; the caller closes the stream and discards the
 * path.  Discarding removes the file and frees the path. */
static int make_temporary(char **path_p, FILE **file_p, struct tg_error *err)
{
    const char *folder = getenv("TMPDIR");
    if (!folder || !folder[0])
        folder = "/tmp";
    static const char name[] = "/tgraph.XXXXXX"; /* mkostemp(3) replaces the end */
    size_t size = strlen(folder) + sizeof name;
    char *path = malloc(size);
    if (!path)
        return tgi_error_memory(err, "a temporary file");
    snprintf(path, size, "%s%s", folder, name);
    int fd = mkostemp(path, O_CLOEXEC);
    FILE *file = fd >= 0 ? fdopen(fd, "w+") : NULL;
    if (!file) {
        tgi_error_errno(err, TG_E_WRITE, errno, "cannot create a temporary file in \"%s\"", folder);
        if (fd >= 0) {
            close(fd);
            unlink(path);
        }
        free(path);
        return TG_E_WRITE;
    }
    tgi_output_guard(path);
    *path_p = path;
    *file_p = file;
    return 0;
}

static void discard(char *path)
{
    unlink(path);
    tgi_output_unguard(path);
    free(path);
}

/* The first line that Graphviz said, without control characters. */
static void first_line(const char *output, char *line, size_t size)
{
    size_t n = strcspn(output ? output : "", "\n");
    snprintf(line, size, "%.*s", (int)(n < size ? n : size - 1), output ? output : "");
    for (char *p = line; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    }
}

static int run_dot(const char *dot_path, const char *type, const char *result, uint64_t limit_ns,
                   struct tg_error *err)
{
    char format[16];
    snprintf(format, sizeof(format), "-T%s", type);
    const char *const argv[] = {"dot", format, "-o", result, dot_path, NULL};
    uint64_t limit_ms = limit_ns / 1000000 + 1;
    struct tgi_process process;
    int rc = tgi_process_run((char *const *)argv, NULL,
                             limit_ms < UINT32_MAX ? (uint32_t)limit_ms : UINT32_MAX, &process, err);
    if (rc == TG_E_OPEN)
        return tgi_error(err, TG_E_NO_LIBRARY,
                         "Graphviz lays pictures out, and its program \"dot\" cannot be started; "
                         "install graphviz, or export as dot or mermaid");
    if (rc)
        return rc;
    char said[256];
    first_line(process.output, said, sizeof(said));
    free(process.output);
    if (process.is_timed_out)
        return tgi_error(err, TG_E_RUN_TIMEOUT,
                         "Graphviz did not lay the picture out within %.3g s; raise --time-limit, "
                         "or lower --max-nodes to draw a node for each kernel",
                         (double)limit_ns / 1e9);
    if (!WIFEXITED(process.wait_status) || WEXITSTATUS(process.wait_status) != 0)
        return tgi_error(err, TG_E_SYSTEM, "Graphviz failed%s%s", said[0] ? ": " : "", said);
    return 0;
}

static int copy_file(const char *path, FILE *to, struct tg_error *err)
{
    char block[65536];
    FILE *from = fopen(path, "re");
    if (!from)
        return tgi_error_errno(err, TG_E_READ, errno, "cannot read what Graphviz wrote");
    errno = 0;
    for (size_t n; (n = fread(block, 1, sizeof(block), from)) > 0;) {
        if (fwrite(block, 1, n, to) != n)
            break;
    }
    int rc = ferror(from) ? tgi_error_errno(err, TG_E_READ, errno, "cannot read what Graphviz wrote") : 0;
    fclose(from);
    return rc;
}

static int render(const char *dot_path, const char *type, uint64_t limit_ns, FILE *to, struct tg_error *err)
{
    char *path;
    FILE *file;
    int rc = make_temporary(&path, &file, err);
    if (rc)
        return rc;
    fclose(file);
    rc = run_dot(dot_path, type, path, limit_ns, err);
    if (rc == 0)
        rc = copy_file(path, to, err);
    discard(path);
    return rc;
}

int tgi_layout_write(tgi_layout_write_dot *write_dot, void *user, const char *type, uint64_t limit_ns, FILE *to,
                     struct tg_error *err)
{
    char *path;
    FILE *file;
    int rc = make_temporary(&path, &file, err);
    if (rc)
        return rc;
    rc = write_dot(user, file, err);
    if (fclose(file) != 0 && rc == 0)
        rc = tgi_error_errno(err, TG_E_WRITE, errno, "cannot write the temporary file \"%s\"", path);
    if (rc == 0)
        rc = render(path, type, limit_ns, to, err);
    discard(path);
    return rc;
}
