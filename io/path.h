/* Files that a graph names.  Their paths are resolved beneath the graph's folder by the system
 * itself, links included, so that a graph file cannot reach anything else; only regular files are
 * opened.  folder NULL: the program names the file, any path will do. */
#ifndef TGI_IO_PATH_H
#define TGI_IO_PATH_H

#include "graph/tgraph.h"

/* Opens with open(2) flags (O_CLOEXEC is added).  TG_E_PATH_ESCAPE if the path leaves the folder,
 * TG_E_OPEN for anything else, with the system's answer. */
int tgi_path_open_beneath(const char *folder, const char *path, int flags, int *fd_p, struct tg_error *err);
/* The same without openat2(2), for systems that lack it: follows no links at all and takes no "..". */
int tgi_path_open_stepwise(const char *folder, const char *path, int flags, int *fd_p, struct tg_error *err);

/* The path without "." and without "name/.." where there is no such name, which a system would refuse and
 * mkdir -p would make; malloc'ed, NULL without memory.  "": the current folder is ".". */
char *tgi_path_tidy(const char *path);

/* A file that appears whole or not at all, beneath a folder. */
struct tgi_path_output {
    int fd;           /* to write to */
    int parent;       /* of the file */
    const char *path; /* as given, for messages; the caller keeps it alive */
    char temp[32];    /* its name in the parent until finish */
};
/* The parent folder must exist.  TG_E_PATH_ESCAPE, TG_E_WRITE. */
int tgi_path_create_beneath(const char *folder, const char *path, struct tgi_path_output *out,
                            struct tg_error *err);
/* Writes all of it, or TG_E_WRITE. */
int tgi_path_output_write(struct tgi_path_output *out, const void *data, size_t bytes, struct tg_error *err);
/* Syncs and renames; on failure nothing is left behind.  Ends `out` either way. */
int tgi_path_output_finish(struct tgi_path_output *out, struct tg_error *err);
void tgi_path_output_abandon(struct tgi_path_output *out);

#endif
