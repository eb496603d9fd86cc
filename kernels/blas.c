/* Finding a BLAS.  See blas.h for what is looked for. */
#include "kernels/blas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
/* Written by load() alone, which pthread_once() orders before every reader. */
static struct tgi_blas table;
static int is_loaded;
static char name[128] = "own";
/* Written by tests between runs; relaxed, because nothing else is published through it. */
static _Atomic int use = TGI_BLAS_BY_SIZE;

/* POSIX lets a function's address travel through void *. */
static int bind_symbol(void *library, const char *symbol, void *slot_p)
{
    void *address = dlsym(library, symbol);
    memcpy(slot_p, &address, sizeof address);
    return address != NULL;
}

static int bind_table(void *library, struct tgi_blas *t)
{
    int has_blas = bind_symbol(library, "sgemm_", &t->sgemm) && bind_symbol(library, "dgemm_", &t->dgemm) &&
                   bind_symbol(library, "ssyrk_", &t->ssyrk) && bind_symbol(library, "dsyrk_", &t->dsyrk) &&
                   bind_symbol(library, "strsm_", &t->strsm) && bind_symbol(library, "dtrsm_", &t->dtrsm);
    bind_symbol(library, "spotrf_", &t->spotrf);
    bind_symbol(library, "dpotrf_", &t->dpotrf);
    return has_blas;
}

/* Opens `path`; takes it if it has the routines and, unless `any`, is known to be a fast one.  The
 * library stays open: kernels may run until the process ends. */
static int open_library(const char *path, int any)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return 0;
    void (*set_threads)(int);
    char *(*config)(void);
    int is_openblas = bind_symbol(library, "openblas_set_num_threads", &set_threads);
    struct tgi_blas found;
    if ((!is_openblas && !any) || !bind_table(library, &found)) {
        dlclose(library);
        return 0;
    }
    const char *file = strrchr(path, '/');
    file = file ? file + 1 : path;
    if (is_openblas)
        set_threads(1);
    if (is_openblas && bind_symbol(library, "openblas_get_config", &config)) {
        /* "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ..": the first two words. */
        const char *text = config();
        size_t n = strcspn(text, " ");
        n += text[n] == ' ' ? 1 + strcspn(text + n + 1, " ") : 0;
        snprintf(name, sizeof name, "%.*s (%s)", (int)n, text, file);
    } else {
        snprintf(name, sizeof name, "BLAS (%s)", file);
    }
    table = found;
    return 1;
}

static void load(void)
{
    static const char *const candidates[] = {"libopenblas.so.0", "libopenblas.so", "libblas.so.3"};
    const char *wish = getenv("TGRAPH_BLAS");
    if (wish && strcmp(wish, "off") == 0)
        return;
    if (wish && *wish) {
        is_loaded = open_library(wish, 1);
        if (!is_loaded)
            snprintf(name, sizeof name, "own (TGRAPH_BLAS=%s is not a BLAS that can be loaded)", wish);
        return;
    }
    for (size_t i = 0; i < sizeof candidates / sizeof candidates[0] && !is_loaded; i++)
        is_loaded = open_library(candidates[i], 0);
}

const struct tgi_blas *tgi_blas(void)
{
    pthread_once(&once, load);
    return is_loaded ? &table : NULL;
}

const char *tgi_blas_name(void)
{
    pthread_once(&once, load);
    return name;
}

void tgi_blas_set_use(enum tgi_blas_use wish) { atomic_store_explicit(&use, wish, memory_order_relaxed); }
enum tgi_blas_use tgi_blas_use(void)
{
    return (enum tgi_blas_use)atomic_load_explicit(&use, memory_order_relaxed);
}
