/* Compiling, keeping and loading kernels written in C.
 *
 * The compiler runs in a private temporary folder that holds the source and tgraph.h and is removed
 * on every path.  The shared object that it writes is read into memory, put into the cache, and
 * loaded from an anonymous file, so that what is loaded is what was verified. */
#include "sched/cpu_module.h"

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "graph/error.h"
#include "sched/header_text.h"
#include "graph/kernel_cache.h"
#include "sched/process.h"
#include "graph/sha256.h"

enum { COMPILE_LIMIT_MS = 60000, MAX_WORDS = 128 };
#define MAX_OBJECT ((off_t)256 << 20)

struct tgi_cpu_module {
    void *handle;
};

/* ---- Command lines ------------------------------------------------------------------------*/

struct words {
    char *text;    /* cut into words in place */
    char *program; /* word[0] where it had to be made absolute; else NULL */
    char *word[MAX_WORDS + 1];
    uint32_t n;
};

static void words_fini(struct words *w)
{
    free(w->text);
    free(w->program);
}

static bool words_add(struct words *w, char *word)
{
    if (w->n == MAX_WORDS)
        return false;
    w->word[w->n++] = word;
    w->word[w->n] = NULL;
    return true;
}

/* Cuts at blanks; there is no quoting. */
static int words_init(struct words *w, const char *text, const char *what, struct tg_error *err)
{
    char *rest = NULL;
    w->n = 0;
    w->word[0] = NULL;
    w->program = NULL;
    w->text = strdup(text);
    if (!w->text)
        return tgi_error_memory(err, "compiling a kernel");
    for (char *p = strtok_r(w->text, " \t\n", &rest); p; p = strtok_r(NULL, " \t\n", &rest))
        if (!words_add(w, p)) {
            words_fini(w);
            return tgi_error(err, TG_E_LIMIT, "%s has more than %d words", what, MAX_WORDS);
        }
    return 0;
}

/* The compiler runs in another folder: a relative path to it must not depend on that. */
static int compiler_words(struct words *w, const char *cc, struct tg_error *err)
{
    int rc = words_init(w, cc, "CC", err);
    if (rc || w->word[0][0] == '/' || !strchr(w->word[0], '/'))
        return rc;
    w->program = realpath(w->word[0], NULL);
    if (w->program)
        w->word[0] = w->program;
    return 0;
}

static const char *compiler_text(void)
{
    const char *cc = getenv("CC");
    return cc && cc[strspn(cc, " \t\n")] ? cc : "cc";
}

/* ---- Which compiler -----------------------------------------------------------------------*/

static pthread_mutex_t version_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    char cc[256]; /* "": nothing known yet */
    unsigned char digest[TGI_SHA256_BYTES];
} version; /* guarded by version_lock: starting a compiler to ask takes milliseconds */

static int ask_version(const char *cc, unsigned char *digest, struct tg_error *err)
{
    struct words w;
    struct tgi_process p;
    int rc = compiler_words(&w, cc, err);
    if (rc)
        return rc;
    if (!words_add(&w, "--version")) {
        words_fini(&w);
        return tgi_error(err, TG_E_LIMIT, "CC has more than %d words", MAX_WORDS);
    }
    rc = tgi_process_run(w.word, NULL, COMPILE_LIMIT_MS, &p, err);
    if (rc == TG_E_OPEN)
        rc = tgi_error(err, TG_E_NO_COMPILER,
                       "compiler \"%s\" cannot be started: install one or set CC to the one to use",
                       w.word[0]);
    if (rc == 0) {
        if (p.is_timed_out || !WIFEXITED(p.wait_status) || WEXITSTATUS(p.wait_status) != 0)
            rc = tgi_error(err, TG_E_NO_COMPILER, "\"%s --version\" does not work: set CC to a C compiler",
                           cc);
        struct tgi_sha256 sha;
        tgi_sha256_init(&sha);
        tgi_sha256_add(&sha, p.output, p.n_output);
        tgi_sha256_finish(&sha, digest);
        free(p.output);
    }
    words_fini(&w);
    return rc;
}

static int compiler_version(const char *cc, unsigned char *digest, struct tg_error *err)
{
    int rc = 0;
    pthread_mutex_lock(&version_lock);
    if (version.cc[0] && strcmp(version.cc, cc) == 0) {
        memcpy(digest, version.digest, TGI_SHA256_BYTES);
    } else {
        rc = ask_version(cc, digest, err);
        if (rc == 0 && strlen(cc) < sizeof version.cc) {
            strcpy(version.cc, cc);
            memcpy(version.digest, digest, TGI_SHA256_BYTES);
        }
    }
    pthread_mutex_unlock(&version_lock);
    return rc;
}

static void key_add(struct tgi_sha256 *sha, const char *text, size_t length)
{
    uint64_t n = length; /* first, so that parts cannot run into each other */
    tgi_sha256_add(sha, &n, sizeof n);
    tgi_sha256_add(sha, text, length);
}

/* -march=native means this processor: in a cache that machines share, the others must not get it. */
static void key_add_processor(struct tgi_sha256 *sha)
{
    FILE *f = fopen("/proc/cpuinfo", "re");
    char *line = NULL;
    size_t size = 0;
    bool is_found = false;
    while (f && !is_found && getline(&line, &size, f) > 0) {
        is_found = strncmp(line, "flags", 5) == 0 || strncmp(line, "Features", 8) == 0;
        if (is_found || strncmp(line, "model name", 10) == 0)
            key_add(sha, line, strlen(line));
    }
    free(line);
    if (f)
        fclose(f);
}

static int make_key(const struct tgi_variant *v, const char *cc, unsigned char *key, struct tg_error *err)
{
    static const char scheme[] = "cpu 1 " TG_VERSION_STRING;
    unsigned char compiler[TGI_SHA256_BYTES];
    struct tgi_sha256 sha;
    int rc = compiler_version(cc, compiler, err);
    if (rc)
        return rc;
    tgi_sha256_init(&sha);
    key_add(&sha, scheme, sizeof scheme);
    key_add(&sha, cc, strlen(cc));
    key_add(&sha, (char *)compiler, sizeof compiler);
    key_add(&sha, tgi_header_text, (size_t)(tgi_header_text_end - tgi_header_text));
    key_add(&sha, v->options ? v->options : "", v->options ? strlen(v->options) : 0);
    key_add(&sha, v->text, strlen(v->text));
    if (strstr(cc, "native") || (v->options && strstr(v->options, "native")))
        key_add_processor(&sha);
    tgi_sha256_finish(&sha, key);
    return 0;
}

/* ---- The temporary folder -----------------------------------------------------------------*/

static const char source_name[] = "kernel.c", header_name[] = "tgraph.h", object_name[] = "kernel.so";

struct workplace {
    char path[PATH_MAX];
    int folder;
};

static int write_file(int folder, const char *name, const char *text, size_t length, struct tg_error *err)
{
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return tgi_error_errno(err, TG_E_WRITE, errno, "cannot write %s for the compiler", name);
    int rc = 0;
    while (length && rc == 0) {
        ssize_t n = write(fd, text, length);
        if (n > 0) {
            text += n;
            length -= (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            rc = tgi_error_errno(err, TG_E_WRITE, errno, "cannot write %s for the compiler", name);
        }
    }
    close(fd);
    return rc;
}

/* Also what the compiler may have left; it makes no folders. */
static void workplace_remove(struct workplace *w)
{
    static const char *const names[] = {source_name, header_name, object_name};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlinkat(w->folder, names[i], 0);
    close(w->folder);
    rmdir(w->path);
}

static int workplace_create(struct workplace *w, const char *source, struct tg_error *err)
{
    const char *base = getenv("TMPDIR");
    int n = snprintf(w->path, sizeof w->path, "%s/tgraph-XXXXXX", base && base[0] == '/' ? base : "/tmp"); /* mkdtemp(3) replaces the end */
    if (n < 0 || (size_t)n >= sizeof w->path)
        return tgi_error(err, TG_E_SYSTEM, "the path in TMPDIR is too long");
    if (!mkdtemp(w->path)) /* mode 0700 */
        return tgi_error_errno(err, TG_E_WRITE, errno, "cannot make a temporary folder %s", w->path);
    w->folder = open(w->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (w->folder < 0) {
        int rc = tgi_error_errno(err, TG_E_OPEN, errno, "cannot open the temporary folder %s", w->path);
        rmdir(w->path);
        return rc;
    }
    int rc = write_file(w->folder, source_name, source, strlen(source), err);
    if (rc == 0)
        rc = write_file(w->folder, header_name, tgi_header_text,
                        (size_t)(tgi_header_text_end - tgi_header_text), err);
    if (rc)
        workplace_remove(w);
    return rc;
}

static int read_object(const struct workplace *w, const char *kernel, unsigned char **data_p, size_t *bytes_p,
                       struct tg_error *err)
{
    struct stat s;
    int fd = openat(w->folder, object_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &s) != 0 || !S_ISREG(s.st_mode) || s.st_size <= 0 || s.st_size > MAX_OBJECT) {
        if (fd >= 0)
            close(fd);
        return tgi_error(err, TG_E_COMPILE, "kernel \"%s\": the compiler succeeded but left no usable object",
                         kernel);
    }
    size_t total = (size_t)s.st_size, done = 0;
    unsigned char *data = malloc(total);
    int rc = data ? 0 : tgi_error_memory(err, "loading a kernel");
    while (rc == 0 && done < total) {
        ssize_t n = read(fd, data + done, total - done);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            rc = tgi_error_errno(err, TG_E_READ, errno, "kernel \"%s\": cannot read what the compiler wrote",
                                 kernel);
    }
    close(fd);
    if (rc) {
        free(data);
        return rc;
    }
    *data_p = data;
    *bytes_p = total;
    return 0;
}

/* ---- Compiling ----------------------------------------------------------------------------*/

/* Reads "kernel.c:3:17: error: text" or "...: fatal error: text"; NULL if the line is none. */
static const char *parse_error_line(const char *line, uint32_t *line_p, uint32_t *column_p)
{
    unsigned long number[2] = {0, 0};
    const char *p = line;
    if (strncmp(p, source_name, sizeof source_name - 1) == 0 && p[sizeof source_name - 1] == ':') {
        p += sizeof source_name;
        for (int i = 0; i < 2 && isdigit((unsigned char)*p); i++) {
            char *end;
            number[i] = strtoul(p, &end, 10);
            p = end + (*end == ':');
        }
        p += *p == ' ';
    } else {
        p = strstr(line, "error: ");
        const char *end = strchr(line, '\n');
        if (!p || (end && p > end))
            return NULL;
    }
    if (strncmp(p, "fatal ", 6) == 0)
        p += 6;
    if (strncmp(p, "error: ", 7) != 0)
        return NULL;
    *line_p = (uint32_t)number[0];
    *column_p = (uint32_t)number[1];
    return p + 7;
}

static int compile_error(const char *kernel, const struct tgi_variant *v, const struct tgi_process *p,
                         struct tg_error *err)
{
    uint32_t line = 0, column = 0;
    const char *text = NULL;
    for (const char *at = p->output; at && *at && !text; at = strchr(at, '\n'), at = at ? at + 1 : NULL)
        text = parse_error_line(at, &line, &column);
    if (p->is_timed_out)
        return tgi_error(err, TG_E_COMPILE, "kernel \"%s\": the compiler was stopped after %d s", kernel,
                         COMPILE_LIMIT_MS / 1000);
    if (!text)
        text = p->output + strspn(p->output, " \t\n");
    int length = (int)strcspn(text, "\n");
    if (length)
        tgi_error(err, TG_E_COMPILE, "kernel \"%s\" does not compile: %.*s", kernel, length, text);
    else if (WIFSIGNALED(p->wait_status))
        tgi_error(err, TG_E_COMPILE, "kernel \"%s\": the compiler was killed by signal %d", kernel,
                  WTERMSIG(p->wait_status));
    else
        tgi_error(err, TG_E_COMPILE, "kernel \"%s\": the compiler ended with status %d and no message",
                  kernel, WEXITSTATUS(p->wait_status));
    if (line)
        tgi_error_set_position(err, v->path, line, column);
    return TG_E_COMPILE;
}

static int run_compiler(const char *kernel, const struct tgi_variant *v, const char *cc,
                        const struct workplace *w, char **log_p, struct tg_error *err)
{
    static const char *const fixed[] = {"-O2", "-fPIC", "-shared", "-I.", "-o", "kernel.so", "kernel.c"};
    struct words command, options;
    struct tgi_process p;
    bool fits = true;
    int rc = compiler_words(&command, cc, err);
    if (rc)
        return rc;
    rc = words_init(&options, v->options ? v->options : "", "the option list of a kernel", err);
    if (rc) {
        words_fini(&command);
        return rc;
    }
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        fits = fits && words_add(&command, (char *)fixed[i]);
    for (uint32_t i = 0; i < options.n; i++) /* after ours, so that they win */
        fits = fits && words_add(&command, options.word[i]);
    fits = fits && words_add(&command, "-lm");
    if (!fits)
        rc = tgi_error(err, TG_E_LIMIT, "kernel \"%s\": compiler and options have more than %d words", kernel,
                       MAX_WORDS);
    else
        rc = tgi_process_run(command.word, w->path, COMPILE_LIMIT_MS, &p, err);
    words_fini(&options);
    words_fini(&command);
    if (rc)
        return rc;
    if (p.is_timed_out || !WIFEXITED(p.wait_status) || WEXITSTATUS(p.wait_status) != 0)
        rc = compile_error(kernel, v, &p, err);
    if (log_p && rc)
        *log_p = p.output;
    else
        free(p.output);
    return rc;
}

static int compile(const char *kernel, const struct tgi_variant *v, const char *cc, unsigned char **data_p,
                   size_t *bytes_p, char **log_p, struct tg_error *err)
{
    struct workplace w;
    int rc = workplace_create(&w, v->text, err);
    if (rc)
        return rc;
    rc = run_compiler(kernel, v, cc, &w, log_p, err);
    if (rc == 0)
        rc = read_object(&w, kernel, data_p, bytes_p, err);
    workplace_remove(&w);
    return rc;
}

/* ---- Loading ------------------------------------------------------------------------------*/

/* What dlerror() says, without the path in front that means nothing to the user. */
static const char *loader_text(void)
{
    const char *text = dlerror();
    if (!text)
        return "the loader gives no reason";
    const char *colon = text[0] == '/' ? strstr(text, ": ") : NULL;
    return colon ? colon + 2 : text;
}

/* The loader takes two equal paths for the same object, and numbers of descriptors come back: a
 * counter makes every path different, its bits written as "./" and ".//". */
static void unique_path(int fd, char path[160])
{
    static atomic_uint counter; /* relaxed: only the numbers have to differ */
    unsigned number = atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed);
    char *p = stpcpy(path, "/proc/self/fd/");
    for (; number; number >>= 1)
        p = stpcpy(p, number & 1 ? ".//" : "./");
    sprintf(p, "%d", fd);
}

static int load_object(const char *kernel, const unsigned char *data, size_t bytes, void **handle_p,
                       struct tg_error *err)
{
    char path[160];
    int fd = memfd_create("tgraph-kernel", MFD_CLOEXEC);
    if (fd < 0)
        return tgi_error_errno(err, TG_E_SYSTEM, errno, "kernel \"%s\": cannot make a file in memory",
                               kernel);
    for (size_t done = 0; done < bytes;) {
        ssize_t n = write(fd, data + done, bytes - done);
        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            int rc = tgi_error_errno(err, TG_E_SYSTEM, errno, "kernel \"%s\": cannot write a file in memory",
                                     kernel);
            close(fd);
            return rc;
        }
    }
    unique_path(fd, path);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    int rc = handle ? 0
                    : tgi_error(err, TG_E_COMPILE, "kernel \"%s\": its code cannot be loaded: %s", kernel,
                                loader_text());
    close(fd);
    if (handle)
        *handle_p = handle;
    return rc;
}

static int find_entry(const char *kernel, const struct tgi_variant *v, void *handle, int status,
                      tg_cpu_fn *fn_p, struct tg_error *err)
{
    const char *entry = v->entry ? v->entry : kernel;
    void *symbol = dlsym(handle, entry);
    if (!symbol)
        return tgi_error(err, status, "kernel \"%s\": %s defines no function \"%s\" that is not static%s",
                         kernel, v->form == TGI_VARIANT_SOURCE ? "its source" : v->path, entry,
                         v->entry ? "" : "; if it has another name than the kernel, give that as \"entry\"");
    memcpy(fn_p, &symbol, sizeof symbol); /* ISO C has no conversion between the two pointers */
    return 0;
}

/* Takes over the handle, also on failure. */
static int finish(const char *kernel, const struct tgi_variant *v, void *handle, int status,
                  struct tgi_cpu_module **module_p, tg_cpu_fn *fn_p, struct tg_error *err)
{
    tg_cpu_fn fn = NULL;
    int rc = find_entry(kernel, v, handle, status, &fn, err);
    struct tgi_cpu_module *module = rc == 0 ? malloc(sizeof *module) : NULL;
    if (rc == 0 && !module)
        rc = tgi_error_memory(err, "loading a kernel");
    if (rc) {
        dlclose(handle);
        return rc;
    }
    module->handle = handle;
    *module_p = module;
    *fn_p = fn;
    return 0;
}

int tgi_cpu_module_compile(const char *kernel, const struct tgi_variant *variant,
                           struct tgi_cpu_module **module_p, tg_cpu_fn *fn_p, char **log_p,
                           struct tg_error *err)
{
    const char *cc = compiler_text();
    unsigned char key[TGI_SHA256_BYTES], *data = NULL;
    struct tgi_kernel_cache cache;
    size_t bytes = 0;
    void *handle = NULL;
    if (log_p)
        *log_p = NULL;
    int rc = make_key(variant, cc, key, err);
    if (rc)
        return rc;
    tgi_kernel_cache_open(&cache, "cpu");
    data = tgi_kernel_cache_get(&cache, key, &bytes);
    if (!data) {
        rc = compile(kernel, variant, cc, &data, &bytes, log_p, err);
        if (rc == 0) /* without a cache the next run compiles again, nothing else */
            (void)tgi_kernel_cache_put(&cache, key, data, bytes);
    }
    tgi_kernel_cache_close(&cache);
    if (rc == 0)
        rc = load_object(kernel, data, bytes, &handle, err);
    free(data);
    return rc ? rc : finish(kernel, variant, handle, TG_E_COMPILE, module_p, fn_p, err);
}

/* Beneath the folder by its text: whoever allows plugins trusts what they do, the rule is for typos
 * and surprises. */
static int check_plugin_path(const char *kernel, const char *path, struct tg_error *err)
{
    bool leaves = path[0] == '/';
    for (const char *p = path; *p && !leaves; p += strcspn(p, "/"), p += *p == '/')
        leaves = strncmp(p, "..", 2) == 0 && (p[2] == '/' || p[2] == '\0');
    return leaves ? tgi_error(err, TG_E_PATH_ESCAPE, "kernel \"%s\": \"%s\" leaves the folder of the graph",
                              kernel, path)
                  : 0;
}

int tgi_cpu_module_load(const char *kernel, const struct tgi_variant *variant, const char *folder,
                        struct tgi_cpu_module **module_p, tg_cpu_fn *fn_p, struct tg_error *err)
{
    char path[PATH_MAX];
    struct stat s;
    int rc = folder ? check_plugin_path(kernel, variant->path, err) : 0;
    if (rc)
        return rc;
    /* always with a slash: a bare name would be searched for in the system's libraries */
    int n = snprintf(path, sizeof path, "%s/%s", folder && folder[0] ? folder : ".", variant->path);
    if (!folder && variant->path[0] == '/')
        n = snprintf(path, sizeof path, "%s", variant->path);
    if (n < 0 || (size_t)n >= sizeof path)
        return tgi_error(err, TG_E_PLUGIN_LOAD, "kernel \"%s\": the path of its shared object is too long",
                         kernel);
    if (stat(path, &s) != 0)
        return tgi_error_errno(err, TG_E_PLUGIN_LOAD, errno, "kernel \"%s\": %s", kernel, path);
    if (!S_ISREG(s.st_mode))
        return tgi_error(err, TG_E_PLUGIN_LOAD, "kernel \"%s\": %s is not a regular file", kernel, path);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return tgi_error(err, TG_E_PLUGIN_LOAD, "kernel \"%s\": %s: %s", kernel, path, loader_text());
    return finish(kernel, variant, handle, TG_E_PLUGIN_LOAD, module_p, fn_p, err);
}

void tgi_cpu_module_close(struct tgi_cpu_module *module)
{
    if (!module)
        return;
    dlclose(module->handle);
    free(module);
}
