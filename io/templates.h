/* Small projects to start from, part of the binary. */
#ifndef TGI_IO_TEMPLATES_H
#define TGI_IO_TEMPLATES_H

#include "graph/tgraph.h"

struct tgi_template_file {
    const char *name;
    const char *text, *end;
};
struct tgi_template {
    const char *name, *brief;
    const char *next;                      /* what to type in the new folder */
    const struct tgi_template_file *files; /* ends with an entry without name */
};

/* Ends with an entry without name. */
extern const struct tgi_template tgi_templates[];
/* NULL: none. */
const struct tgi_template *tgi_template_find(const char *name);

/* Writes the template's files into the folder, which is made if it is not there.  A file that exists
 * is TG_E_STATE, and then nothing is written; after any other error what was written is removed. */
int tgi_template_write(const struct tgi_template *t, const char *folder, struct tg_error *err);

#endif
