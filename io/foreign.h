/* Libraries that are loaded when first needed, and their functions. */
#ifndef TGI_IO_FOREIGN_H
#define TGI_IO_FOREIGN_H

#include "graph/tgraph.h"

/* Where the address of a function goes; the list ends with an entry without name. */
struct tgi_foreign_function {
    const char *name;
    void **address_p;
};
/* Loads the library and finds the functions, once a call; what is loaded stays.  TG_E_NO_LIBRARY says
 * which Debian package `package` brings it. */
int tgi_foreign_load(const char *soname, const char *package, const struct tgi_foreign_function *functions,
                     struct tg_error *err);

#endif
