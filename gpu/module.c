/* See module.h. */
#include "gpu/module.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/decide.h"
#include "gpu/resident/module.h"
#include "graph/error.h"
#include "graph/sha256.h"
#include "kernels/launch.h"

enum { MAX_UNUSED = 64 };

struct tgi_cuda_image {
    struct tgi_cuda_image *next;
    unsigned char key[TGI_SHA256_BYTES];
    unsigned char *bytes;
    uint32_t n_refs;
    uint64_t used; /* the clock when it was last released */
    CUmodule module[TGI_MAX_DEVICES];
};

struct tgi_cuda_modules {
    pthread_mutex_t lock; /* everything here */
    void *file;           /* of $TGRAPH_CUDA_KERNELS; NULL: not read */
    CUmodule builtin[TGI_MAX_DEVICES];
    CUdeviceptr fault[TGI_MAX_DEVICES];
    CUmodule graphs[TGI_MAX_DEVICES]; /* decide.cu */
    struct tgi_cuda_image *images;
    uint64_t clock;
};

int tgi_cuda_modules_create(struct tgi_cuda *cuda, struct tgi_cuda_modules **modules_p, struct tg_error *err)
{
    struct tgi_cuda_modules *m = calloc(1, sizeof *m);
    (void)cuda;
    if (!m)
        return tgi_error_memory(err, "keeping modules");
    pthread_mutex_init(&m->lock, NULL);
    *modules_p = m;
    return 0;
}

static void unload(struct tgi_cuda *cuda, uint32_t device, CUmodule module)
{
    /* Fails only once the devices are lost: the module goes with the process then. */
    if (!module)
        return;
    tgi_cuda_try_enter(cuda, device);
    cuda->api->cuModuleUnload(module);
}

static void image_destroy(struct tgi_cuda *cuda, struct tgi_cuda_image *image)
{
    for (uint32_t i = 0; i < TGI_MAX_DEVICES; i++)
        unload(cuda, i, image->module[i]);
    free(image->bytes);
    free(image);
}

void tgi_cuda_modules_destroy(struct tgi_cuda *cuda, struct tgi_cuda_modules *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; i < TGI_MAX_DEVICES; i++) {
        unload(cuda, i, m->builtin[i]);
        unload(cuda, i, m->graphs[i]);
    }
    while (m->images) {
        struct tgi_cuda_image *next = m->images->next;
        image_destroy(cuda, m->images);
        m->images = next;
    }
    pthread_mutex_destroy(&m->lock);
    free(m->file);
    free(m);
}

/* ---- Built-in kernels ---------------------------------------------------------------------*/

static int read_file(const char *path, void **bytes_p, struct tg_error *err)
{
    FILE *f = fopen(path, "rbe");
    long n = -1;
    char *bytes = NULL;
    if (f && fseek(f, 0, SEEK_END) == 0 && (n = ftell(f)) >= 0 && fseek(f, 0, SEEK_SET) == 0)
        bytes = malloc((size_t)n + 1);
    bool ok = bytes && fread(bytes, 1, (size_t)n, f) == (size_t)n;
    int why = errno;
    if (f)
        fclose(f);
    if (!ok) {
        free(bytes);
        return tgi_error_errno(err, TG_E_READ, why, "reading the kernels that TGRAPH_CUDA_KERNELS names, %s", path);
    }
    bytes[n] = '\0'; /* PTX is text */
    *bytes_p = bytes;
    return 0;
}

/* What $TGRAPH_CUDA_KERNELS names, else what is embedded. */
static int find_image_of(struct tgi_cuda_modules *m, const void *(*embedded)(size_t *length_p), const void **image_p,
                         struct tg_error *err)
{
    const char *path = getenv("TGRAPH_CUDA_KERNELS");
    size_t length;
    if (path && *path) {
        int rc = m->file ? 0 : read_file(path, &m->file, err);
        *image_p = m->file;
        return rc;
    }
    *image_p = embedded(&length);
    return *image_p ? 0 : tgi_error(err, TG_E_NO_VARIANT, "this build has no kernels for GPUs (it was made without nvcc)");
}

int tgi_cuda_modules_resident(struct tgi_cuda_modules *m, const void **image_p, struct tg_error *err)
{
    pthread_mutex_lock(&m->lock);
    int rc = find_image_of(m, tgi_resident_run_fatbin, image_p, err);
    pthread_mutex_unlock(&m->lock);
    return rc == TG_E_NO_VARIANT
               ? tgi_error(err, TG_E_UNSUPPORTED, "this build has no resident executor (it was made without nvcc)")
               : rc;
}

bool tgi_cuda_modules_has_builtin(void)
{
    const char *path = getenv("TGRAPH_CUDA_KERNELS");
    size_t length;
    return (path && *path) || tgi_kernels_fatbin(&length);
}

static int load_builtin_locked(struct tgi_cuda *cuda, struct tgi_cuda_modules *m, uint32_t device, struct tg_error *err)
{
    const void *image;
    CUmodule module = NULL;
    size_t bytes;
    int rc = find_image_of(m, tgi_kernels_fatbin, &image, err);
    if (rc == 0)
        rc = tgi_cuda_enter(cuda, device, err);
    if (rc == 0)
        rc = TGI_CUDA_DO(cuda, err, cuModuleLoadData, (&module, image), "loading the built-in kernels on cuda:%u",
                         cuda->base.ordinal[device]);
    if (rc)
        return rc;
    rc = TGI_CUDA_DO(cuda, err, cuModuleGetGlobal, (&m->fault[device], &bytes, module, "tgk_fault"),
                     "finding the record of faults on cuda:%u", cuda->base.ordinal[device]);
    if (rc) {
        cuda->api->cuModuleUnload(module);
        return rc;
    }
    m->builtin[device] = module;
    return 0;
}

int tgi_cuda_modules_builtin(struct tgi_cuda *cuda, struct tgi_cuda_modules *m, uint32_t device, CUmodule *module_p,
                             struct tg_error *err)
{
    pthread_mutex_lock(&m->lock);
    int rc = m->builtin[device] ? 0 : load_builtin_locked(cuda, m, device, err);
    *module_p = m->builtin[device];
    pthread_mutex_unlock(&m->lock);
    return rc;
}

static int load_graphs_locked(struct tgi_cuda *cuda, struct tgi_cuda_modules *m, uint32_t device, struct tg_error *err)
{
    const void *image;
    int rc = find_image_of(m, tgi_decide_fatbin, &image, err);
    if (rc == TG_E_NO_VARIANT)
        return tgi_error(err, TG_E_UNSUPPORTED, "this build has no kernels of our own for graphs (it was made without nvcc)");
    if (rc == 0)
        rc = tgi_cuda_enter(cuda, device, err);
    return rc ? rc
              : TGI_CUDA_DO(cuda, err, cuModuleLoadData, (&m->graphs[device], image),
                            "loading the kernels of our own for graphs on cuda:%u", cuda->base.ordinal[device]);
}

int tgi_cuda_modules_in_graphs(struct tgi_cuda *cuda, struct tgi_cuda_modules *m, uint32_t device, const char *kernel,
                               CUfunction *function_p, struct tg_error *err)
{
    if (!cuda->api->cuGraphConditionalHandleCreate || !cuda->api->cuGraphAddNode)
        return tgi_error(err, TG_E_UNSUPPORTED, "this driver is older than CUDA 12.3, whose graphs cannot have kernels of our own");
    pthread_mutex_lock(&m->lock);
    int rc = m->graphs[device] ? 0 : load_graphs_locked(cuda, m, device, err);
    CUmodule module = m->graphs[device];
    pthread_mutex_unlock(&m->lock);
    return rc ? rc : TGI_CUDA_DO(cuda, err, cuModuleGetFunction, (function_p, module, kernel), "finding kernel \"%s\"", kernel);
}

CUdeviceptr tgi_cuda_modules_fault(const struct tgi_cuda_modules *m, uint32_t device) { return m->fault[device]; }

/* ---- Users' images ------------------------------------------------------------------------*/

static struct tgi_cuda_image *find_image(struct tgi_cuda_modules *m, const unsigned char *key)
{
    struct tgi_cuda_image *image = m->images;
    while (image && memcmp(image->key, key, sizeof image->key))
        image = image->next;
    return image;
}

static struct tgi_cuda_image *image_create(const void *bytes, size_t n, const unsigned char *key)
{
    struct tgi_cuda_image *image = calloc(1, sizeof *image);
    if (!image)
        return NULL;
    memcpy(image->key, key, sizeof image->key);
    image->bytes = malloc(n + 1);
    if (!image->bytes) {
        free(image);
        return NULL;
    }
    memcpy(image->bytes, bytes, n);
    image->bytes[n] = '\0';
    return image;
}

int tgi_cuda_image_retain(struct tgi_cuda_modules *m, const void *bytes, size_t n_bytes, struct tgi_cuda_image **image_p,
                          struct tg_error *err)
{
    unsigned char key[TGI_SHA256_BYTES];
    struct tgi_sha256 sha;
    tgi_sha256_init(&sha);
    tgi_sha256_add(&sha, bytes, n_bytes);
    tgi_sha256_finish(&sha, key);
    pthread_mutex_lock(&m->lock);
    struct tgi_cuda_image *image = find_image(m, key);
    if (!image && (image = image_create(bytes, n_bytes, key))) {
        image->next = m->images;
        m->images = image;
    }
    if (image)
        image->n_refs++;
    pthread_mutex_unlock(&m->lock);
    if (!image)
        return tgi_error_memory(err, "keeping a module");
    *image_p = image;
    return 0;
}

/* The least recently used goes if there are too many that nobody refers to. */
static void evict_locked(struct tgi_cuda *cuda, struct tgi_cuda_modules *m)
{
    struct tgi_cuda_image **oldest = NULL;
    uint32_t n = 0;
    for (struct tgi_cuda_image **at = &m->images; *at; at = &(*at)->next) {
        if ((*at)->n_refs)
            continue;
        n++;
        if (!oldest || (*at)->used < (*oldest)->used)
            oldest = at;
    }
    if (n <= MAX_UNUSED)
        return;
    struct tgi_cuda_image *gone = *oldest;
    *oldest = gone->next;
    image_destroy(cuda, gone);
}

void tgi_cuda_image_release(struct tgi_cuda *cuda, struct tgi_cuda_modules *m, struct tgi_cuda_image *image)
{
    pthread_mutex_lock(&m->lock);
    image->used = ++m->clock;
    if (--image->n_refs == 0)
        evict_locked(cuda, m);
    pthread_mutex_unlock(&m->lock);
}

int tgi_cuda_image_load(struct tgi_cuda *cuda, struct tgi_cuda_modules *m, struct tgi_cuda_image *image, uint32_t device, const char *kernel,
                        CUmodule *module_p, struct tg_error *err)
{
    int rc = tgi_cuda_enter(cuda, device, err);
    pthread_mutex_lock(&m->lock);
    if (rc == 0 && !image->module[device])
        rc = TGI_CUDA_DO(cuda, err, cuModuleLoadData, (&image->module[device], image->bytes),
                         "loading kernel \"%s\" on cuda:%u", kernel, cuda->base.ordinal[device]);
    *module_p = image->module[device];
    pthread_mutex_unlock(&m->lock);
    return rc;
}
