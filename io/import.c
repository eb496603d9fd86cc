#include "io/import.h"

#include <ctype.h>
#include <string.h>

#include "graph/error.h"

#define MAX_BYTES ((size_t)1 << 30)

static const char *const names[] = {"auto", "wfformat", "dot", "stg", "dax", "mtx"};

int tgi_import_format_of(const char *name)
{
    for (int i = 0; i < 6; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

/* Skips what several formats may start with: space and comments of DOT and STG. */
static const char *first_token(const char *p)
{
    for (;;) {
        while (isspace((unsigned char)*p))
            p++;
        if (*p == '#' || (p[0] == '/' && p[1] == '/')) {
            p += strcspn(p, "\n");
        } else if (p[0] == '/' && p[1] == '*') {
            const char *end = strstr(p + 2, "*/");
            if (!end)
                return p;
            p = end + 2;
        } else {
            return p;
        }
    }
}

static enum tgi_import_format detect(const struct tgi_source *source)
{
    const char *p = source->text;
    if (source->size >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
        p += 3;
    if (strncasecmp(p, "%%MatrixMarket", 14) == 0)
        return TGI_IMPORT_MTX;
    p = first_token(p);
    if (*p == '{')
        return TGI_IMPORT_WFFORMAT;
    if (*p == '<')
        return TGI_IMPORT_DAX;
    if (isdigit((unsigned char)*p))
        return TGI_IMPORT_STG;
    if (strncasecmp(p, "digraph", 7) == 0 || strncasecmp(p, "strict", 6) == 0 ||
        strncasecmp(p, "graph", 5) == 0)
        return TGI_IMPORT_DOT;
    return TGI_IMPORT_AUTO;
}

int tgi_import_open(const char *path, enum tgi_import_format *format_p, struct tgi_source *source, struct tg_error *err)
{
    int status = tgi_source_read(source, path, MAX_BYTES, err);
    if (status != TG_OK || *format_p != TGI_IMPORT_AUTO)
        return status;
    enum tgi_import_format format = detect(source);
    if (format == TGI_IMPORT_AUTO) {
        tgi_source_fini(source);
        return tgi_error(err, TG_E_IMPORT_FORMAT, "%s is neither WfFormat, DOT, STG, DAX nor Matrix Market; name the format by --from",
                         path);
    }
    *format_p = format;
    return TG_OK;
}

int tgi_import_workflow(struct tgi_workflow *w, const struct tgi_source *source, enum tgi_import_format format, struct tg_error *err)
{
    switch (format) {
    case TGI_IMPORT_WFFORMAT:
        return tgi_import_wfformat(w, source->text, source->size, err);
    case TGI_IMPORT_DOT:
        return tgi_import_dot(w, source->text, source->size, err);
    case TGI_IMPORT_STG:
        return tgi_import_stg(w, source->text, source->size, err);
    case TGI_IMPORT_DAX:
        return tgi_import_dax(w, source->text, source->size, err);
    default:
        return tgi_error(err, TG_E_IMPORT_FORMAT, "%s is a matrix and no workflow", w->path);
    }
}

int tgi_import_read(struct tgi_workflow *w, const char *path, enum tgi_import_format format,
                    struct tg_error *err)
{
    struct tgi_source source;
    int status = tgi_import_open(path, &format, &source, err);
    if (status != TG_OK)
        return status;
    status = tgi_import_workflow(w, &source, format, err);
    tgi_source_fini(&source);
    return status;
}
