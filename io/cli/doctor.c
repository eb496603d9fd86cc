/* tgraph doctor: each thing that tgraph relies on is tried, not looked up. */
#include "io/cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gpu/blas.h"
#include "gpu/collective.h"
#include "gpu/module.h"
#include "gpu/nvrtc.h"
#include "graph/model.h"
#include "io/cli/device_choice.h"
#include "io/cli/document.h"
#include "io/units.h"
#include "kernels/blas.h"
#include "graph/kernel_cache.h"
#include "sched/cpu_module.h"
#include "sched/process.h"
#include "sched/topology.h"

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL };
static const char *const verdict_names[] = {"ok", "warn", "fail"};

struct finding {
    const char *subject;
    enum verdict verdict;
    char text[512];   /* what was found */
    const char *todo; /* NULL: nothing to do */
};

static void found(struct finding *f, enum verdict verdict, const char *todo, const char *format, ...)
    TG_PRINTF(4, 5);
static void found(struct finding *f, enum verdict verdict, const char *todo, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(f->text, sizeof(f->text), format, args);
    va_end(args);
    f->verdict = verdict;
    f->todo = todo;
}

/* ---- The trials ---------------------------------------------------------------------------*/

static void try_processors(struct finding *f)
{
    struct tgi_topology *t;
    struct tg_error err;
    if (tgi_topology_open(NULL, &t, &err)) {
        found(f, VERDICT_FAIL, "check the cpuset of this process (taskset -p $$)", "%s", err.text);
        return;
    }
    found(f, VERDICT_OK, NULL, "%u hardware thread%s on %u core%s, %u NUMA node%s", t->n_cpus,
          t->n_cpus == 1 ? "" : "s", t->n_cores, t->n_cores == 1 ? "" : "s",
          t->n_numa, t->n_numa == 1 ? "" : "s");
    tgi_topology_close(t);
}

/* In a child: a thread that has been bound stays so. */
static void try_binding(struct finding *f)
{
    pid_t child = fork();
    if (child == 0) {
        struct tgi_topology *t;
        struct tg_error err;
        if (tgi_topology_open(NULL, &t, &err) == 0)
            _exit(tgi_topology_bind(t, t->n_cpus - 1, &err) == 0 ? 0 : 1);
        _exit(2);
    }
    int status = -1;
    if (child < 0 || waitpid(child, &status, 0) != child) {
        found(f, VERDICT_WARN, NULL, "cannot be tried: %s", strerror(errno));
        return;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        found(f, VERDICT_OK, NULL, "threads can be bound to cores");
    else
        found(f, VERDICT_WARN, "runs work, with times that vary more; ask for permission to set CPU affinity",
              "the system does not let threads be bound to cores");
}

static void try_memory(struct finding *f)
{
    long pages = sysconf(_SC_AVPHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    char text[TGI_UNITS_SIZE];
    double bytes = (double)pages * (double)page_bytes;
    if (pages <= 0 || page_bytes <= 0)
        found(f, VERDICT_WARN, NULL, "the system does not tell how much is free");
    else
        found(f, bytes < 0x1p30 ? VERDICT_WARN : VERDICT_OK,
              bytes < 0x1p30 ? "large graphs may not fit" : NULL, "%s free",
              tgi_format_bytes(bytes, text, sizeof(text)));
}

static void try_compiler(struct finding *f)
{
    struct tgi_variant variant = {.on = TGI_DEVICE_CPU,
                                  .form = TGI_VARIANT_SOURCE,
                                  .entry = "probe",
                                  .site = TG_NONE,
                                  .text = "#include \"tgraph.h\"\n"
                                          "int probe(void **args, const struct tg_context *ctx)\n"
                                          "{ (void)args; (void)ctx; return 7; }\n"};
    struct tgi_cpu_module *module;
    struct tg_error err;
    tg_cpu_fn fn;
    char *log = NULL;
    const char *compiler = getenv("CC"), *folder = getenv("TGRAPH_CACHE_DIR");
    char *before = folder ? strdup(folder) : NULL;
    /* Without a cache that could answer, or keep the probe. */
    setenv("TGRAPH_CACHE_DIR", "/dev/null", 1);
    int rc = tgi_cpu_module_compile("probe", &variant, &module, &fn, &log, &err);
    if (before)
        setenv("TGRAPH_CACHE_DIR", before, 1);
    else
        unsetenv("TGRAPH_CACHE_DIR");
    free(before);
    if (rc) {
        found(f, VERDICT_WARN, "needed for kernels given as C source only; install gcc or clang, or set CC",
              "%s", err.text);
        free(log);
        return;
    }
    bool works = fn(NULL, NULL) == 7;
    found(f, works ? VERDICT_OK : VERDICT_FAIL,
          works ? NULL : "the compiler makes code that does not work here; set CC", "%s compiles kernels",
          compiler && compiler[0] ? compiler : "cc");
    tgi_cpu_module_close(module);
    free(log);
}

/* The nearest folder above that exists must let us write. */
static void try_cache(struct finding *f)
{
    char path[4096], probe[4096];
    struct tg_error err;
    struct stat info;
    if (tgi_cache_folder(path, sizeof(path), &err)) {
        found(f, VERDICT_WARN, "set HOME or TGRAPH_CACHE_DIR", "%s", err.text);
        return;
    }
    snprintf(probe, sizeof(probe), "%s", path);
    while (stat(probe, &info) != 0) {
        char *slash = strrchr(probe, '/');
        if (!slash || slash == probe)
            break;
        *slash = '\0';
    }
    if (access(probe, W_OK | X_OK) != 0)
        found(f, VERDICT_WARN,
              "kernels are compiled anew in every run; set TGRAPH_CACHE_DIR to a folder of your own",
              "%s cannot be written: %s", path, strerror(errno));
    else if (strcmp(probe, path) == 0 && (info.st_mode & 077))
        found(f, VERDICT_WARN, "chmod 700 makes it usable", "%s may be entered by others", path);
    else
        found(f, VERDICT_OK, NULL, "%s", path);
}

static void try_blas(struct finding *f)
{
    const char *name = tgi_blas_name();
    if (strncmp(name, "own", 3) == 0)
        found(f, VERDICT_WARN, "matrix kernels run several times slower; install libopenblas0", "none: %s",
              name);
    else
        found(f, VERDICT_OK, NULL, "%s", name);
}

static void try_graphviz(struct finding *f)
{
    char *const argv[] = {"dot", "-V", NULL};
    struct tgi_process process;
    struct tg_error err;
    if (tgi_process_run(argv, NULL, 10000, &process, &err)) {
        found(f, VERDICT_WARN, "needed for pictures only; install graphviz", "%s", "dot cannot be started");
        return;
    }
    if (process.output)
        process.output[strcspn(process.output, "\n")] = '\0';
    found(f, process.wait_status == 0 ? VERDICT_OK : VERDICT_WARN, NULL, "%s",
          process.output ? process.output : "");
    free(process.output);
}

/* ---- GPUs ---------------------------------------------------------------------------------*/

/* Opening them is what runs do first. */
static void try_driver(struct finding *f)
{
    const struct tgi_cuda_api *api;
    struct tgi_devices *devices;
    struct tg_error err;
    int rc = tgi_cuda_retain(&api, &err);
    if (tgi_cuda_is_absent(rc)) {
        found(f, VERDICT_OK, "graphs run on CPUs; what follows about GPUs does not matter then", "none: %s", err.text);
        return;
    }
    if (rc) {
        found(f, VERDICT_WARN, "graphs run on CPUs; a driver for CUDA 12.0 or later has to start", "%s", err.text);
        return;
    }
    int version = api->version;
    rc = tgi_cuda_open(0, &devices, &err);
    if (rc) {
        found(f, VERDICT_WARN, "graphs run on CPUs; see whether another program has the devices (nvidia-smi)", "%s", err.text);
    } else {
        uint32_t n = devices->n_devices;
        found(f, VERDICT_OK, NULL, "for CUDA %d.%d; %u device%s can be opened, the first one is %s", version / 1000,
              version % 1000 / 10, n, n == 1 ? "" : "s", devices->info[0].name);
        devices->ops->close(devices);
    }
    tgi_cuda_release();
}

/* What is missing only matters where there is a device. */
static void found_library(struct finding *f, int (*tell)(char *text, size_t size, struct tg_error *err), const char *todo)
{
    const struct tgi_cuda_api *api;
    struct tg_error err;
    char text[64];
    if (tell(text, sizeof(text), &err) == 0) {
        found(f, VERDICT_OK, NULL, "%s", text);
        return;
    }
    bool has_device = tgi_cuda_retain(&api, NULL) == 0;
    if (has_device)
        tgi_cuda_release();
    found(f, has_device ? VERDICT_WARN : VERDICT_OK, has_device ? todo : NULL, "none: %s", err.text);
}

static int tell_kernels(char *text, size_t size, struct tg_error *err)
{
    const char *path = getenv("TGRAPH_CUDA_KERNELS");
    bool has_path = path && *path;
    snprintf(text, size, "%s", has_path ? "those that TGRAPH_CUDA_KERNELS names" : "part of this build");
    if (tgi_cuda_modules_has_builtin())
        return 0;
    snprintf(err->text, sizeof(err->text), "this build was made without nvcc");
    return TG_E_NO_VARIANT;
}

static void try_kernels(struct finding *f)
{
    found_library(f, tell_kernels, "built-in kernels run on CPUs; build with nvcc in PATH, or CUDA=1");
}

static void try_nvrtc(struct finding *f)
{
    found_library(f, tgi_nvrtc_version, "kernels given as CUDA source cannot be compiled; install libnvrtc, or set TGRAPH_NVRTC");
}

static void try_cublas(struct finding *f)
{
    found_library(f, tgi_cublas_version, "matrix kernels on GPUs run slower; install libcublas, or set TGRAPH_CUBLAS");
}

static void try_cusolver(struct finding *f)
{
    found_library(f, tgi_cusolver_version,
                  "factorisations of tiles on GPUs run slower; install libcusolver, or set TGRAPH_CUSOLVER");
}

static void try_nccl(struct finding *f)
{
    found_library(f, tgi_nccl_version, "the host performs collectives between GPUs; install libnccl2, or set TGRAPH_NCCL");
}

/* ---- The report ---------------------------------------------------------------------------*/

static void print_text(const struct tgi_cli *cli, const struct finding *f)
{
    static const char *const colors[] = {"\033[32m", "\033[33m", "\033[31m"};
    printf("%s%-4s%s  %-11s  %s\n", cli->color_out ? colors[f->verdict] : "", verdict_names[f->verdict],
           cli->color_out ? "\033[0m" : "", f->subject, f->text);
    if (f->todo)
        printf("                   %s\n", f->todo);
}

int tgi_cli_doctor(struct tgi_cli *cli)
{
    static const struct {
        const char *subject;
        void (*try)(struct finding *f);
    } trials[] = {{"processors", try_processors}, {"binding", try_binding}, {"memory", try_memory},
                  {"compiler", try_compiler},     {"cache", try_cache},     {"BLAS", try_blas},
                  {"Graphviz", try_graphviz},
                  {"CUDA driver", try_driver},    {"GPU kernels", try_kernels}, {"NVRTC", try_nvrtc},
                  {"cuBLAS", try_cublas},         {"cuSOLVER", try_cusolver}, {"NCCL", try_nccl}};
    struct tgi_json json = tgi_json_begin(stdout, TGI_JSON_PRETTY);
    bool wants_json = cli->format == TGI_FORMAT_JSON;
    enum verdict worst = VERDICT_OK;
    if (wants_json) {
        json = tgi_cli_document(stdout, TGI_REPORT_SCHEMA, "doctor");
        tgi_json_array(&json, "findings");
    }
    for (size_t i = 0; i < sizeof(trials) / sizeof(*trials); i++) {
        struct finding f = {.subject = trials[i].subject};
        fflush(stdout);
        trials[i].try(&f);
        worst = f.verdict > worst ? f.verdict : worst;
        if (!wants_json) {
            print_text(cli, &f);
            continue;
        }
        tgi_json_flat_object(&json, NULL);
        tgi_json_string(&json, "subject", f.subject);
        tgi_json_string(&json, "verdict", verdict_names[f.verdict]);
        tgi_json_string(&json, "found", f.text);
        tgi_json_string(&json, "todo", f.todo);
        tgi_json_end(&json);
    }
    if (wants_json) {
        tgi_json_end(&json);
        tgi_json_string(&json, "verdict", verdict_names[worst]);
        tgi_json_end(&json);
    }
    return worst == VERDICT_FAIL ? TGI_EXIT_ENVIRONMENT : TGI_EXIT_OK;
}
