/* User kernels for the CPU: C source compiled once with the system compiler and cached, and shared
 * objects.  Loaded code stays loaded until tgi_cpu_module_close(). */
#ifndef TGI_SCHED_CPU_MODULE_H
#define TGI_SCHED_CPU_MODULE_H

#include "graph/model.h"

struct tgi_cpu_module;

/* Compiles variant->text (form SOURCE, on CPU), or takes the result from the cache, and finds
 * `entry`.  The compiler is $CC if set, else cc, run without a shell; the headers that "tgraph.h"
 * needs are provided.  The cache is a folder of mode 0700 with one file per entry, whose name is a
 * hash of source, options, compiler and version, whose contents carry a checksum that is verified
 * before loading, and which appears by rename, so that a torn, flipped or planted file is rebuilt
 * and never loaded.  On a compile error TG_E_COMPILE: err->text holds the compiler's first error,
 * err->line its line within the text (1-based; 0: unknown), and log_p, if not NULL, the whole
 * output, to be freed by the caller.  TG_E_NO_COMPILER if there is none.  Nothing is left behind.
 * Any thread. */
int tgi_cpu_module_compile(const char *kernel, const struct tgi_variant *variant, struct tgi_cpu_module **module_p,
                           tg_cpu_fn *fn_p, char **log_p, struct tg_error *err);
/* Loads variant->path (form BINARY), a shared object; relative to `folder` if not NULL. */
int tgi_cpu_module_load(const char *kernel, const struct tgi_variant *variant, const char *folder,
                        struct tgi_cpu_module **module_p, tg_cpu_fn *fn_p, struct tg_error *err);
void tgi_cpu_module_close(struct tgi_cpu_module *module);

#endif
