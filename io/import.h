/* Reading the graphs of other tools. */
#ifndef TGI_IO_IMPORT_H
#define TGI_IO_IMPORT_H

#include "io/source.h"
#include "io/workflow.h"

enum tgi_import_format {
    TGI_IMPORT_AUTO,
    TGI_IMPORT_WFFORMAT,
    TGI_IMPORT_DOT,
    TGI_IMPORT_STG,
    TGI_IMPORT_DAX,
    TGI_IMPORT_MTX /* a matrix, no workflow: io/sparse.h reads it */
};

/* "auto", "wfformat", "dot", "stg", "dax", "mtx"; -1: something else. */
int tgi_import_format_of(const char *name);

/* Reads the file ("-": standard input).  AUTO becomes what the file looks like, or TG_E_IMPORT_FORMAT. */
int tgi_import_open(const char *path, enum tgi_import_format *format_p, struct tgi_source *source, struct tg_error *err);
/* Its text into an initialised workflow.  Errors in the file are TG_E_IMPORT_SYNTAX (or TG_E_JSON_SYNTAX) with its line. */
int tgi_import_workflow(struct tgi_workflow *w, const struct tgi_source *source, enum tgi_import_format format, struct tg_error *err);
/* Both. */
int tgi_import_read(struct tgi_workflow *w, const char *path, enum tgi_import_format format,
                    struct tg_error *err);

/* The formats; the text is terminated. */
int tgi_import_wfformat(struct tgi_workflow *w, const char *text, size_t size, struct tg_error *err);
int tgi_import_dot(struct tgi_workflow *w, const char *text, size_t size, struct tg_error *err);
int tgi_import_stg(struct tgi_workflow *w, const char *text, size_t size, struct tg_error *err);
int tgi_import_dax(struct tgi_workflow *w, const char *text, size_t size, struct tg_error *err);

#endif
