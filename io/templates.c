#include "io/templates.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "graph/error.h"
#include "graph/file_text.h"

/* The files themselves are in io/templates/, where they can be read, run and tested. */
TGI_FILE_TEXT(tgi_template_hello_json, "io/templates/hello/hello.json");
TGI_FILE_TEXT(tgi_template_hello_readme, "io/templates/hello/README.md");
TGI_FILE_TEXT(tgi_template_cholesky_json, "io/templates/cholesky/cholesky.json");
TGI_FILE_TEXT(tgi_template_cholesky_readme, "io/templates/cholesky/README.md");
TGI_FILE_TEXT(tgi_template_jacobi_json, "io/templates/jacobi/jacobi.json");
TGI_FILE_TEXT(tgi_template_jacobi_readme, "io/templates/jacobi/README.md");
TGI_FILE_TEXT(tgi_template_c_api_pi, "io/templates/c-api/pi.c");
TGI_FILE_TEXT(tgi_template_c_api_makefile, "io/templates/c-api/Makefile");
TGI_FILE_TEXT(tgi_template_c_api_readme, "io/templates/c-api/README.md");

#define ENTRY(name, symbol)        \
    {                              \
        name, symbol, symbol##_end \
    }
#define MAX_FILES 8

static const struct tgi_template_file hello[] = {ENTRY("hello.json", tgi_template_hello_json),
                                                 ENTRY("README.md", tgi_template_hello_readme),
                                                 {NULL, NULL, NULL}};
static const struct tgi_template_file cholesky[] = {ENTRY("cholesky.json", tgi_template_cholesky_json),
                                                    ENTRY("README.md", tgi_template_cholesky_readme),
                                                    {NULL, NULL, NULL}};
static const struct tgi_template_file jacobi[] = {ENTRY("jacobi.json", tgi_template_jacobi_json),
                                                  ENTRY("README.md", tgi_template_jacobi_readme),
                                                  {NULL, NULL, NULL}};
static const struct tgi_template_file c_api[] = {ENTRY("pi.c", tgi_template_c_api_pi),
                                                 ENTRY("Makefile", tgi_template_c_api_makefile),
                                                 ENTRY("README.md", tgi_template_c_api_readme),
                                                 {NULL, NULL, NULL}};

const struct tgi_template tgi_templates[] = {
    {"hello", "three tasks on two vectors", "tgraph run hello.json --verify", hello},
    {"cholesky", "a tiled factorisation: loops, triangular storage, priorities",
     "tgraph run cholesky.json --verify", cholesky},
    {"jacobi", "heat on a plate until it settles: while, halo rows, a kernel in C",
     "tgraph run jacobi.json --verify", jacobi},
    {"c-api", "a C program with a Makefile", "make && ./pi", c_api},
    {NULL, NULL, NULL, NULL}};

const struct tgi_template *tgi_template_find(const char *name)
{
    for (const struct tgi_template *t = tgi_templates; t->name; t++)
        if (strcmp(t->name, name) == 0)
            return t;
    return NULL;
}

#define MAX_PATH 4096

static int path_of(char *path, const char *folder, const char *name, struct tg_error *err)
{
    int n = snprintf(path, MAX_PATH, "%s/%s", folder, name);
    return n > 0 && n < MAX_PATH ? TG_OK : tgi_error(err, TG_E_WRITE, "%s: the path is too long", folder);
}

/* Like mkdir -p. */
static int make_folder(const char *folder, struct tg_error *err)
{
    char path[MAX_PATH];
    int status = path_of(path, folder, "", err);
    for (char *p = path + 1; status == TG_OK && *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            status = tgi_error_errno(err, TG_E_WRITE, errno, "cannot make the folder %s", path);
        *p = '/';
    }
    return status;
}

/* "x": never over a file that is there, not even one that appeared a moment ago. */
static int write_file(const char *path, const struct tgi_template_file *file, struct tg_error *err)
{
    FILE *to = fopen(path, "wxe");
    if (!to && errno == EEXIST)
        return tgi_error(err, TG_E_STATE, "%s exists already; nothing is written", path);
    if (!to)
        return tgi_error_errno(err, TG_E_WRITE, errno, "cannot create %s", path);
    size_t size = (size_t)(file->end - file->text);
    bool is_written = fwrite(file->text, 1, size, to) == size;
    int number = errno;
    if (fclose(to) != 0) {
        is_written = false;
        number = errno;
    }
    if (is_written)
        return TG_OK;
    unlink(path);
    return tgi_error_errno(err, TG_E_WRITE, number, "cannot write %s", path);
}

int tgi_template_write(const struct tgi_template *t, const char *folder, struct tg_error *err)
{
    char path[MAX_PATH];
    struct stat info;
    int status = TG_OK;
    for (uint32_t i = 0; t->files[i].name && status == TG_OK; i++) {
        status = path_of(path, folder, t->files[i].name, err);
        if (status == TG_OK && lstat(path, &info) == 0)
            status = tgi_error(err, TG_E_STATE, "%s exists already; nothing is written", path);
    }
    if (status == TG_OK)
        status = make_folder(folder, err);
    uint32_t n = 0;
    for (; t->files[n].name && status == TG_OK; n++) {
        status = path_of(path, folder, t->files[n].name, err);
        if (status == TG_OK)
            status = write_file(path, &t->files[n], err);
        if (status != TG_OK)
            break;
    }
    for (uint32_t i = 0; status != TG_OK && i < n; i++)
        if (path_of(path, folder, t->files[i].name, NULL) == TG_OK)
            unlink(path);
    return status;
}
