/* CUDA C++ to machine code, by NVRTC, loaded when first needed: $TGRAPH_NVRTC, else libnvrtc.so.13 or .12.
 *
 * What has been compiled is kept on disk (graph/kernel_cache.h), keyed by source, options, architecture and the
 * versions of compiler and driver. */
#ifndef TGI_GPU_NVRTC_H
#define TGI_GPU_NVRTC_H

#include "graph/tgraph.h"

/* What a text may include, by the name between the quotes or brackets. */
struct tgi_nvrtc_header {
    const char *name, *text;
};

struct tgi_nvrtc_source {
    const char *kernel;  /* the graph's name of it, for messages */
    const char *text;
    const char *options; /* separated by blanks; NULL: none */
    const char *entry;   /* as written in the source, extern "C" or a C++ name */
    int cc_major, cc_minor;
    int driver_version;
    const struct tgi_nvrtc_header *headers; /* n_headers of them; they belong to the key */
    int n_headers;
};

/* An image for cuModuleLoadData() and the name the kernel has in it; the caller frees both.  TG_E_NO_LIBRARY;
 * TG_E_COMPILE: err->text holds the compiler's first error, err->line its line within the text (0: unknown).
 * is_cached_p: it came from the disk.  Any thread. */
int tgi_nvrtc_compile(const struct tgi_nvrtc_source *source, unsigned char **image_p, size_t *bytes_p, char **symbol_p,
                      bool *is_cached_p, struct tg_error *err);

/* Whether that need not compile anything, as far as can be seen without reading it all.  Any thread. */
bool tgi_nvrtc_is_kept(const struct tgi_nvrtc_source *source);

/* The library's version ("13.0"); TG_E_NO_LIBRARY.  Any thread. */
int tgi_nvrtc_version(char *text, size_t size, struct tg_error *err);

#endif
