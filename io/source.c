#include "io/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"

/* A file that grows while it is read, or a pipe, has no size to ask for: room is doubled instead. */
static int read_all(struct tgi_source *source, FILE *from, const char *path, size_t max_bytes,
                    struct tg_error *err)
{
    size_t cap = 0;
    for (;;) {
        if (cap - source->size < 2) {
            cap = cap ? cap * 2 : 65536;
            char *text = realloc(source->text, cap);
            if (!text)
                return tgi_error_memory(err, "reading a file");
            source->text = text;
        }
        size_t n = fread(source->text + source->size, 1, cap - source->size - 1, from);
        source->size += n;
        source->text[source->size] = '\0';
        if (source->size > max_bytes)
            return tgi_error(err, TG_E_LIMIT, "%s is larger than %zu MiB", path, max_bytes >> 20);
        if (n == 0)
            break;
    }
    return ferror(from) ? tgi_error_errno(err, TG_E_READ, errno, "cannot read %s", path) : TG_OK;
}

int tgi_source_read(struct tgi_source *source, const char *path, size_t max_bytes, struct tg_error *err)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *from = is_stdin ? stdin : fopen(path, "rbe");
    if (!from)
        return tgi_error_errno(err, TG_E_OPEN, errno, "cannot open %s", path);
    *source = (struct tgi_source){0};
    int status = read_all(source, from, path, max_bytes, err);
    if (!is_stdin)
        fclose(from);
    if (status != TG_OK)
        tgi_source_fini(source);
    return status;
}

void tgi_source_fini(struct tgi_source *source)
{
    free(source->text);
    *source = (struct tgi_source){0};
}
