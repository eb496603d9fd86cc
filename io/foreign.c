#include "io/foreign.h"

#include <dlfcn.h>

#include "graph/error.h"

int tgi_foreign_load(const char *soname, const char *package, const struct tgi_foreign_function *functions,
                     struct tg_error *err)
{
    void *library = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return tgi_error(err, TG_E_NO_LIBRARY, "cannot load %s (Debian package %s): %s", soname, package,
                         dlerror());
    for (const struct tgi_foreign_function *f = functions; f->name; f++) {
        *f->address_p = dlsym(library, f->name);
        if (!*f->address_p) {
            dlclose(library);
            return tgi_error(err, TG_E_NO_LIBRARY, "%s has no function %s", soname, f->name);
        }
    }
    return TG_OK;
}
