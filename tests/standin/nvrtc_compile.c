/* From source to an image: the preprocessor runs alone first, so that macros are gone when kernels are looked
 * for; what it leaves, and a table of the kernels found, becomes a shared object, which the image carries. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/standin/nvrtc_internal.h"
#include "tests/standin/object.h"

extern char **environ;

__asm__(".pushsection .rodata\n"
        "prelude:\n"
        ".incbin \"tests/standin/standin_prelude.hpp\"\n"
        ".byte 0\n"
        ".popsection\n");
extern const char prelude[] __attribute__((visibility("hidden")));

/* What stands for the kernel of resident programs, and for the built-in bodies, which the driver has by itself. */
__asm__(".pushsection .rodata\n"
        "resident:\n"
        ".incbin \"tests/standin/standin_resident.hpp\"\n"
        ".byte 0\n"
        ".popsection\n");
extern const char resident[] __attribute__((visibility("hidden")));

static const char *text_of_header(const char *name, const char *text)
{
    bool is_kernel = strcmp(name, "gpu/resident/run.cuh") == 0 || strcmp(name, "gpu/resident/run_dynamic.cuh") == 0 ||
                     strcmp(name, "gpu/resident/run_spread.cuh") == 0 || strcmp(name, "gpu/service/bodies.cuh") == 0;
    return is_kernel ? resident : strncmp(name, "kernels/", 8) == 0 ? "" : text;
}

struct work {
    nvrtcProgram program;
    char folder[64];
    struct names *kernels;
    bool has_barriers;
    FILE *log;
    unsigned n_errors;
};

/* ---- Files --------------------------------------------------------------------------------*/

static void path_of(const struct work *w, const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/%s", w->folder, name);
}

static char *file_read(const char *path, size_t *size_p)
{
    FILE *file = fopen(path, "r");
    char *text = NULL;
    size_t size = 0, room = 0, n;
    while (file) {
        if (size + 1 >= room) {
            char *more = realloc(text, room = room ? 2 * room : 1 << 16);
            if (!more) {
                free(text);
                text = NULL;
                break;
            }
            text = more;
        }
        n = fread(text + size, 1, room - size - 1, file);
        size += n;
        text[size] = '\0';
        if (n == 0)
            break;
    }
    if (file)
        fclose(file);
    *size_p = size;
    return text;
}

/* Headers may lie in folders of their own. */
static bool write_header(const struct work *w, const char *name, const char *text)
{
    char path[1024];
    if (strstr(name, "..") || name[0] == '/')
        return false;
    path_of(w, name, path, sizeof path);
    for (char *slash = strchr(path + strlen(w->folder) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    return file && (fputs(text, file) >= 0) & (fclose(file) == 0);
}

static void write_quoted(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', file);
        fputc(*text, file);
    }
    fputc('"', file);
}

static bool write_source(const struct work *w)
{
    char path[128];
    path_of(w, "standin_source.cpp", path, sizeof path);
    FILE *file = fopen(path, "w");
    if (!file)
        return false;
    fprintf(file, "#line 1 \"standin_prelude.hpp\"\n%s\n#line 1 ", prelude);
    write_quoted(file, w->program->name);
    fprintf(file, "\n%s\n", w->program->source);
    bool is_good = fclose(file) == 0;
    for (size_t i = 0; i < w->program->headers.n; i++)
        is_good &= write_header(w, w->program->include_names.text[i], text_of_header(w->program->include_names.text[i], w->program->headers.text[i]));
    return is_good;
}

static bool write_unit(struct work *w)
{
    char path[128];
    size_t size;
    path_of(w, "standin_source.ii", path, sizeof path);
    char *text = file_read(path, &size);
    char *unit = text ? source_rewrite(text, w->kernels, &w->has_barriers) : NULL;
    free(text);
    FILE *file = unit ? fopen(path, "w") : NULL;
    if (file) {
        fprintf(file,
                "%s\n# 1 \"table of kernels\"\nextern \"C\" {\nextern const unsigned standin_n_code = %zu;\n"
                "extern const int standin_has_barriers = %d;\n"
                "extern const standin_code_entry standin_code[] = {\n",
                unit, w->kernels->n, w->has_barriers);
        for (size_t i = 0; i < w->kernels->n; i++) {
            const char *name = w->kernels->text[i], *function = strchr(name, '='); /* of a body */
            if (function)
                fprintf(file, "standin_resident<&%s>::entry(\"%.*s\"),\n", function + 1, (int)(function - name), name);
            else {
                fprintf(file, "standin_kernel<&%s>::entry(", name);
                write_quoted(file, name);
                fprintf(file, "),\n");
            }
        }
        fprintf(file, "{}};\n}\n");
    }
    free(unit);
    return file && fclose(file) == 0;
}

/* ---- The compiler -------------------------------------------------------------------------*/

/* "a.cu:3:5: error: text" becomes "a.cu(3): error: text"; what is not of this form is context. */
static void translate(struct work *w, const char *line, size_t length)
{
    static const struct {
        const char *theirs, *ours;
        bool is_error;
    } kinds[] = {{": fatal error: ", "catastrophic error", true},
                 {": error: ", "error", true},
                 {": warning: ", "warning", false},
                 {": note: ", "note", false}};
    char text[2048];
    snprintf(text, sizeof text, "%.*s", (int)length, line);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        char *kind = strstr(text, kinds[k].theirs), *column, *number;
        if (!kind)
            continue;
        const char *message = kind + strlen(kinds[k].theirs);
        *kind = '\0';
        w->n_errors += kinds[k].is_error;
        column = strrchr(text, ':');
        number = column ? (*column = '\0', strrchr(text, ':')) : NULL;
        if (number)
            *number++ = '\0';
        if (number)
            fprintf(w->log, "%s(%s): %s: %s\n\n", text, number, kinds[k].ours, message);
        else
            fprintf(w->log, "%s: %s\n\n", kinds[k].ours, message);
        return;
    }
}

static bool spawn(struct work *w, const char *const *argv)
{
    char errors[128];
    size_t size;
    pid_t child;
    int status = -1;
    posix_spawn_file_actions_t actions;
    path_of(w, "errors.txt", errors, sizeof errors);
    size_t n_env = 0;
    while (environ[n_env])
        n_env++;
    const char **env = calloc(n_env + 2, sizeof *env);
    if (!env || posix_spawn_file_actions_init(&actions)) {
        free(env);
        return false;
    }
    env[0] = "LC_ALL=C"; /* plain quotes */
    for (size_t i = 0, n = 1; i < n_env; i++)
        if (strncmp(environ[i], "LC_ALL=", 7) != 0 && strncmp(environ[i], "LD_PRELOAD=", 11) != 0)
            env[n++] = environ[i];
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    int rc = posix_spawnp(&child, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv,
                          (char *const *)(uintptr_t)env);
    posix_spawn_file_actions_destroy(&actions);
    free(env);
    if (rc) {
        fprintf(w->log, "%s: %s\n", argv[0], strerror(rc));
        return false;
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    char *text = file_read(errors, &size);
    for (const char *line = text; line && *line;) {
        size_t n = strcspn(line, "\n");
        translate(w, line, n);
        line += n + (line[n] == '\n');
    }
    free(text);
    return status == 0;
}

static bool compiler(struct work *w, const struct names *options, const char *const *fixed, size_t n_fixed)
{
    const char *cxx = getenv("TGRAPH_STANDIN_CXX");
    const char **argv = calloc(options->n + n_fixed + 2, sizeof *argv);
    size_t n = 0;
    if (!argv)
        return false;
    argv[n++] = cxx && *cxx ? cxx : "g++";
    for (size_t i = 0; i < n_fixed; i++)
        argv[n++] = fixed[i];
    for (size_t i = 0; i < options->n; i++)
        argv[n++] = options->text[i];
    bool is_good = spawn(w, argv);
    free(argv);
    return is_good;
}
#define COMPILER(w, options, ...)                                \
    compiler((w), (options), (const char *const[]){__VA_ARGS__}, \
             sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

/* ---- The image ----------------------------------------------------------------------------*/

static void write_base64(FILE *file, const char *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        unsigned word = 0;
        for (size_t k = 0; k < 3; k++)
            word = word << 8 | (i + k < size ? (unsigned char)bytes[i + k] : 0);
        for (int k = 3; k >= 0; k--)
            fputc(digits[word >> 6 * k & 63], file);
    }
}

/* The names that the object exports its kernels under. */
static bool find_lowered(struct work *w, void *handle)
{
    const struct standin_code *code = dlsym(handle, "standin_code");
    bool is_good = code != NULL;
    for (size_t i = 0; is_good && i < w->kernels->n; i++) {
        Dl_info info;
        bool is_named = !strchr(w->kernels->text[i], '=') && dladdr(code[i].address, &info) && info.dli_saddr == code[i].address && info.dli_sname;
        const char *name = is_named ? info.dli_sname : code[i].expression;
        is_good = names_add(&w->program->lowered, name, strlen(name));
    }
    return is_good;
}

static bool make_image(struct work *w, const char *object)
{
    size_t size, image_size;
    void *handle = dlopen(object, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        fprintf(w->log, "%s\n", dlerror());
        return false;
    }
    bool is_good = find_lowered(w, handle);
    dlclose(handle);
    char *bytes = file_read(object, &size);
    FILE *image = is_good && bytes ? open_memstream(&w->program->image, &image_size) : NULL;
    if (image) {
        fprintf(image, "standin 1\n# compiled from %s\ncode ", w->program->name);
        write_base64(image, bytes, size);
        fputc('\n', image);
        for (size_t i = 0; i < w->program->lowered.n; i++)
            fprintf(image, "kernel %s\n", w->program->lowered.text[i]);
        if (w->program->driver_kernel)
            fprintf(image, "kernel %s registers=64 threads=%d\n", w->program->driver_kernel, strncmp(w->program->driver_kernel, "tgk_resident_run", 16) ? 512 : 256);
    }
    free(bytes);
    return image && fclose(image) == 0;
}

static nvrtcResult compile(struct work *w, const struct names *options)
{
    char source[128], unit[128], object[128];
    path_of(w, "standin_source.cpp", source, sizeof source);
    path_of(w, "standin_source.ii", unit, sizeof unit);
    path_of(w, "standin_object.so", object, sizeof object);
    if (!write_source(w))
        return NVRTC_ERROR_INTERNAL_ERROR;
    if (!COMPILER(w, options, "-E", "-nostdinc", "-nostdinc++", "-w", "-I", w->folder, "-o", unit, source))
        return NVRTC_ERROR_COMPILATION;
    if (!write_unit(w))
        return NVRTC_ERROR_OUT_OF_MEMORY;
    if (!COMPILER(w, &(struct names){0}, "-std=gnu++17", "-O1", "-w", "-fPIC", "-shared", "-fno-exceptions",
                  "-fno-strict-aliasing", "-ffp-contract=off", "-fno-diagnostics-show-caret",
                  "-fno-diagnostics-show-option", "-fdiagnostics-color=never", "-Wl,-s", "-o", object, unit,
                  "-lm"))
        return NVRTC_ERROR_COMPILATION;
    return make_image(w, object) ? NVRTC_SUCCESS : NVRTC_ERROR_INTERNAL_ERROR;
}

static void remove_folder(const char *folder)
{
    pid_t child;
    const char *argv[] = {"rm", "-rf", folder, NULL};
    if (posix_spawnp(&child, argv[0], NULL, NULL, (char *const *)(uintptr_t)argv, environ) == 0)
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            continue;
}

nvrtcResult program_compile(nvrtcProgram program, const struct names *options)
{
    struct work w = {.program = program, .folder = "/tmp/standin-nvrtc-XXXXXX", .kernels = &program->kernels};
    size_t size;
    w.log = open_memstream(&program->log, &size);
    if (!w.log)
        return NVRTC_ERROR_OUT_OF_MEMORY;
    nvrtcResult rc = mkdtemp(w.folder) ? compile(&w, options) : NVRTC_ERROR_INTERNAL_ERROR;
    remove_folder(w.folder);
    if (w.n_errors)
        fprintf(w.log, "%u error%s detected in the compilation of \"%s\".\n", w.n_errors,
                w.n_errors == 1 ? "" : "s", program->name);
    fclose(w.log);
    return rc;
}
