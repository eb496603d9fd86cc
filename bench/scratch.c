#include "bench/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/sample.h"

enum { MOST_PATHS = 16 };

static char folder[4096];
static char *paths[MOST_PATHS];
static int n_paths;

static void remove_all(void)
{
    DIR *d = opendir(folder);
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d))
        unlinkat(dirfd(d), e->d_name, 0); /* not the two that are folders */
    if (d)
        closedir(d);
    rmdir(folder);
    for (int i = 0; i < n_paths; i++)
        free(paths[i]);
}

static void make_folder(void)
{
    const char *in = getenv("TMPDIR");
    int n = snprintf(folder, sizeof folder, "%s/tgraph-bench-XXXXXX", in && *in ? in : "/tmp"); /* mkdtemp(3) replaces the end */
    if (n < 0 || (size_t)n >= sizeof folder || !mkdtemp(folder))
        bench_die("cannot make %s: %s", folder, strerror(errno));
    atexit(remove_all);
}

const char *bench_scratch_path(const char *name)
{
    char *path;
    if (!folder[0])
        make_folder();
    for (int i = 0; i < n_paths; i++)
        if (strcmp(strrchr(paths[i], '/') + 1, name) == 0)
            return paths[i];
    if (n_paths == MOST_PATHS || asprintf(&path, "%s/%s", folder, name) < 0)
        bench_die("no room for the path of %s", name);
    return paths[n_paths++] = path;
}

const char *bench_scratch_file(const char *name, const char *text)
{
    const char *path = bench_scratch_path(name);
    FILE *f = fopen(path, "w");
    bool is_written = f && fputs(text, f) >= 0;
    if (!f || fclose(f) || !is_written)
        bench_die("cannot write %s: %s", path, strerror(errno));
    return path;
}
