/* See nvrtc.h.  The library's interface is declared here; its types are pointers and ints. */
#include "gpu/nvrtc.h"

#include <assert.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "graph/kernel_cache.h"

typedef struct nvrtc_program *program;

#define NVRTC_CALLS(X) \
    X(Version, (int *major, int *minor)) \
    X(CreateProgram, (program * p, const char *text, const char *name, int n, const char *const *headers, const char *const *names)) \
    X(DestroyProgram, (program * p)) \
    X(CompileProgram, (program p, int n, const char *const *options)) \
    X(GetProgramLogSize, (program p, size_t *bytes)) \
    X(GetProgramLog, (program p, char *log)) \
    X(GetCUBINSize, (program p, size_t *bytes)) \
    X(GetCUBIN, (program p, char *image)) \
    X(AddNameExpression, (program p, const char *name)) \
    X(GetLoweredName, (program p, const char *name, const char **lowered))

static struct {
    void *handle;
    int major, minor;
    const char *(*GetErrorString)(int rc);
#define POINTER_X(name, params) int(*name) params;
    NVRTC_CALLS(POINTER_X)
#undef POINTER_X
} nvrtc;
static pthread_mutex_t load_lock = PTHREAD_MUTEX_INITIALIZER;

enum { MAX_OPTIONS = 32, MAX_HEADERS = 64, MAX_IMAGE = 256 << 20 };

/* ---- The library --------------------------------------------------------------------------*/

static void *find(const char *name)
{
    char symbol[64];
    snprintf(symbol, sizeof symbol, "nvrtc%s", name);
    return dlsym(nvrtc.handle, symbol);
}

static int load_locked(struct tg_error *err)
{
    static const char *const names[] = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"};
    const char *wanted = getenv("TGRAPH_NVRTC");
    if (nvrtc.handle)
        return 0;
    if (wanted && *wanted)
        nvrtc.handle = dlopen(wanted, RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; !nvrtc.handle && !(wanted && *wanted) && i < sizeof names / sizeof *names; i++)
        nvrtc.handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!nvrtc.handle) {
        const char *why = dlerror();
        return tgi_error(err, TG_E_NO_LIBRARY, "compiling CUDA source needs NVRTC: %s", why ? why : "libnvrtc.so");
    }
    void *address = find("GetErrorString");
    memcpy(&nvrtc.GetErrorString, &address, sizeof address);
    bool ok = address != NULL;
#define FIND_X(name, params) \
    address = find(#name); \
    memcpy(&nvrtc.name, &address, sizeof address); \
    ok = ok && address;
    NVRTC_CALLS(FIND_X)
#undef FIND_X
    if (!ok || nvrtc.Version(&nvrtc.major, &nvrtc.minor)) {
        dlclose(nvrtc.handle);
        nvrtc.handle = NULL;
        return tgi_error(err, TG_E_NO_LIBRARY, "NVRTC lacks an entry point that version 11.2 and later have");
    }
    return 0;
}

static int load(struct tg_error *err)
{
    pthread_mutex_lock(&load_lock);
    int rc = load_locked(err);
    pthread_mutex_unlock(&load_lock);
    return rc;
}

int tgi_nvrtc_version(char *text, size_t size, struct tg_error *err)
{
    int rc = load(err);
    if (rc == 0)
        snprintf(text, size, "%d.%d", nvrtc.major, nvrtc.minor);
    return rc;
}

static int check(int rc, const char *call, const char *kernel, struct tg_error *err)
{
    return rc ? tgi_error(err, TG_E_COMPILE, "kernel \"%s\": nvrtc%s: %s", kernel, call, nvrtc.GetErrorString(rc)) : 0;
}

/* ---- Options ------------------------------------------------------------------------------*/

struct options {
    char text[2048], arch[48];
    const char *list[MAX_OPTIONS];
    int n;
};

static bool has_option(const struct options *o, const char *prefix)
{
    for (int i = 0; i < o->n; i++)
        if (strncmp(o->list[i], prefix, strlen(prefix)) == 0)
            return true;
    return false;
}

/* From 9.0 on there is code for exactly one architecture, with all that it can ("sm_90a"). */
static int make_options(const struct tgi_nvrtc_source *s, struct options *o, struct tg_error *err)
{
    memset(o, 0, sizeof *o);
    if (s->options && strlen(s->options) >= sizeof o->text)
        return tgi_error(err, TG_E_LIMIT, "kernel \"%s\": its compiler options are longer than %zu bytes", s->kernel,
                         sizeof o->text - 1);
    strcpy(o->text, s->options ? s->options : "");
    char *save = NULL;
    for (char *word = strtok_r(o->text, " \t\n", &save); word; word = strtok_r(NULL, " \t\n", &save)) {
        if (o->n >= MAX_OPTIONS - 4)
            return tgi_error(err, TG_E_LIMIT, "kernel \"%s\": more than %d compiler options", s->kernel, MAX_OPTIONS - 4);
        o->list[o->n++] = word;
    }
    snprintf(o->arch, sizeof o->arch, "--gpu-architecture=sm_%d%d%s", s->cc_major, s->cc_minor, s->cc_major >= 9 ? "a" : "");
    if (!has_option(o, "-arch") && !has_option(o, "--gpu-architecture"))
        o->list[o->n++] = o->arch;
    if (!has_option(o, "-std") && !has_option(o, "--std"))
        o->list[o->n++] = "--std=c++17";
    o->list[o->n++] = "-default-device";
    return 0;
}

/* ---- The cache ----------------------------------------------------------------------------*/

static void add_text(struct tgi_sha256 *sha, const char *text)
{
    tgi_sha256_add(sha, text, strlen(text) + 1);
}

static void make_key(const struct tgi_nvrtc_source *s, const struct options *o, unsigned char key[TGI_SHA256_BYTES])
{
    char versions[96];
    struct tgi_sha256 sha;
    snprintf(versions, sizeof versions, "cuda 1 nvrtc %d.%d driver %d", nvrtc.major, nvrtc.minor, s->driver_version);
    tgi_sha256_init(&sha);
    add_text(&sha, versions);
    add_text(&sha, s->entry);
    add_text(&sha, s->text);
    for (int i = 0; i < s->n_headers; i++) {
        add_text(&sha, s->headers[i].name);
        add_text(&sha, s->headers[i].text);
    }
    for (int i = 0; i < o->n; i++)
        add_text(&sha, o->list[i]);
    tgi_sha256_finish(&sha, key);
}

/* An entry is the kernel's name in the image, a NUL, and the image. */
static bool unpack(unsigned char *entry, size_t bytes, unsigned char **image_p, size_t *bytes_p, char **symbol_p)
{
    size_t n = strnlen((char *)entry, bytes);
    if (n + 1 >= bytes)
        return false;
    char *symbol = strdup((char *)entry);
    if (!symbol)
        return false;
    memmove(entry, entry + n + 1, bytes - n - 1);
    *image_p = entry;
    *bytes_p = bytes - n - 1;
    *symbol_p = symbol;
    return true;
}

static void keep(const struct tgi_kernel_cache *cache, const unsigned char *key, const char *symbol,
                 const unsigned char *image, size_t bytes)
{
    size_t n = strlen(symbol) + 1;
    unsigned char *entry = malloc(n + bytes);
    if (!entry)
        return; /* compiled again next time */
    memcpy(entry, symbol, n);
    memcpy(entry + n, image, bytes);
    tgi_kernel_cache_put(cache, key, entry, n + bytes);
    free(entry);
}

/* ---- Compiling ----------------------------------------------------------------------------*/

/* NVRTC writes `kernel.cu(12): error: ...`. */
static int report_log(const struct tgi_nvrtc_source *s, program p, int answer, struct tg_error *err)
{
    size_t bytes = 0;
    char *log = nvrtc.GetProgramLogSize(p, &bytes) == 0 && bytes < MAX_IMAGE ? calloc(bytes + 1, 1) : NULL;
    unsigned line = 0;
    const char *text = NULL;
    if (log && nvrtc.GetProgramLog(p, log) == 0) {
        char *error = strstr(log, "error");
        if (error) {
            char *begin = error, *end;
            while (begin > log && begin[-1] != '\n')
                begin--;
            sscanf(begin, "kernel.cu(%u)", &line);
            text = strstr(error, ": ") ? strstr(error, ": ") + 2 : error;
            end = strchr(text, '\n');
            if (end)
                *end = '\0';
        }
    }
    int rc = text ? tgi_error(err, TG_E_COMPILE, "kernel \"%s\": %s", s->kernel, text)
                  : check(answer, "CompileProgram", s->kernel, err);
    if (err)
        err->line = line;
    free(log);
    return rc;
}

static int build(const struct tgi_nvrtc_source *s, const struct options *o, program p, unsigned char **image_p,
                 size_t *bytes_p, char **symbol_p, struct tg_error *err)
{
    const char *lowered = s->entry;
    /* A name with extern "C" is its own lowered name; in other cases this is how it is known. */
    int rc = check(nvrtc.AddNameExpression(p, s->entry), "AddNameExpression", s->kernel, err);
    if (rc)
        return rc;
    int answer = nvrtc.CompileProgram(p, o->n, o->list);
    if (answer)
        return report_log(s, p, answer, err);
    if (nvrtc.GetLoweredName(p, s->entry, &lowered))
        lowered = s->entry;
    rc = check(nvrtc.GetCUBINSize(p, bytes_p), "GetCUBINSize", s->kernel, err);
    if (rc)
        return rc;
    *image_p = malloc(*bytes_p + 1);
    *symbol_p = strdup(lowered);
    rc = *image_p && *symbol_p ? check(nvrtc.GetCUBIN(p, (char *)*image_p), "GetCUBIN", s->kernel, err)
                               : tgi_error_memory(err, "compiling a kernel");
    if (rc) {
        free(*image_p);
        free(*symbol_p);
        *image_p = NULL;
        *symbol_p = NULL;
    }
    return rc;
}

static int compile(const struct tgi_nvrtc_source *s, const struct options *o, unsigned char **image_p, size_t *bytes_p,
                   char **symbol_p, struct tg_error *err)
{
    program p = NULL;
    const char *texts[MAX_HEADERS], *names[MAX_HEADERS];
    assert(s->n_headers <= MAX_HEADERS);
    for (int i = 0; i < s->n_headers; i++) {
        texts[i] = s->headers[i].text;
        names[i] = s->headers[i].name;
    }
    int rc = check(nvrtc.CreateProgram(&p, s->text, "kernel.cu", s->n_headers, texts, names), "CreateProgram", s->kernel, err);
    if (rc)
        return rc;
    rc = build(s, o, p, image_p, bytes_p, symbol_p, err);
    nvrtc.DestroyProgram(&p);
    return rc;
}

bool tgi_nvrtc_is_kept(const struct tgi_nvrtc_source *s)
{
    struct options o;
    struct tgi_kernel_cache cache;
    unsigned char key[TGI_SHA256_BYTES];
    if (load(NULL) || make_options(s, &o, NULL))
        return false;
    make_key(s, &o, key);
    tgi_kernel_cache_open(&cache, "cuda");
    bool is_kept = tgi_kernel_cache_has(&cache, key);
    tgi_kernel_cache_close(&cache);
    return is_kept;
}

int tgi_nvrtc_compile(const struct tgi_nvrtc_source *s, unsigned char **image_p, size_t *bytes_p, char **symbol_p,
                      bool *is_cached_p, struct tg_error *err)
{
    struct options o;
    struct tgi_kernel_cache cache;
    unsigned char key[TGI_SHA256_BYTES];
    int rc = load(err);
    if (rc == 0)
        rc = make_options(s, &o, err);
    if (rc)
        return rc;
    make_key(s, &o, key);
    tgi_kernel_cache_open(&cache, "cuda");
    size_t bytes = 0;
    unsigned char *entry = tgi_kernel_cache_get(&cache, key, &bytes);
    *is_cached_p = entry && unpack(entry, bytes, image_p, bytes_p, symbol_p);
    if (!*is_cached_p) {
        free(entry);
        rc = compile(s, &o, image_p, bytes_p, symbol_p, err);
        if (rc == 0)
            keep(&cache, key, *symbol_p, *image_p, *bytes_p);
    }
    tgi_kernel_cache_close(&cache);
    return rc;
}
