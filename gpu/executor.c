/* See executor.h. */
#include "gpu/executor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/bodies.h"
#include "gpu/code.h"
#include "gpu/module.h"
#include "gpu/resident/text.h"
#include "graph/environment.h"
#include "graph/error.h"
#include "graph/vec.h"
#include "kernels/resident.h"

static const char run_symbol[] = "tgk_resident_run", dynamic_symbol[] = "tgk_resident_run_dynamic", spread_symbol[] = "tgk_resident_run_spread",
                  service_symbol[] = "tgk_service_bodies", keeping_symbol[] = "tgk_service_keeping";
enum { THREADS = 32 * TGI_RESIDENT_RUN_WARPS };

/* A kernel on a device: what there is for a program beside it. */
struct kernel {
    CUmodule module;
    CUfunction run;
    struct tgi_resident_room room;
    int registers;
};

/* One for a set of bodies and an architecture. */
struct generated {
    struct generated *next;
    uint32_t *bodies, n_bodies; /* ascending */
    bool is_timed, is_dynamic, is_spread, has_blocks;
    uint32_t service_warps; /* of a block, if it is the kernel of a service; 0: it is that of clusters */
    bool can_keep;          /* then */
    int cc_major, cc_minor;
    unsigned char *image;
    char *symbol;
    struct kernel on[TGI_MAX_DEVICES];
};

struct tgi_cuda_resident {
    struct kernel embedded[TGI_MAX_DEVICES];
    struct generated *generated;
    struct {
        uint32_t *bodies, n_bodies;
        int cc_major, cc_minor;
        bool has_blocks, is_kept;
    } asked; /* whether one for these is on disk, as was seen last: a run may have a thousand clusters of the same */
    char no_compiler[200]; /* why nothing is generated; empty: nothing stands against it as far as is known */
};

/* ---- A kernel on a device -----------------------------------------------------------------*/

static int load(struct tgi_cuda *cuda, uint32_t device, const void *image, const char *symbol, struct kernel *k, struct tg_error *err)
{
    CUmodule module;
    int rc = TGI_CUDA_DO(cuda, err, cuModuleLoadData, (&module, image), "loading the resident executor on cuda:%u",
                         cuda->base.ordinal[device]);
    if (rc)
        return rc;
    CUresult answer = cuda->api->cuModuleGetFunction(&k->run, module, symbol);
    if (answer == CUDA_ERROR_NOT_FOUND)
        rc = tgi_error(err, TG_E_UNSUPPORTED, "the module of kernels has no resident executor");
    else
        rc = tgi_cuda_done(cuda, answer, "cuModuleGetFunction", err, "finding the resident executor on cuda:%u",
                           cuda->base.ordinal[device]);
    if (rc) {
        k->run = NULL;
        cuda->api->cuModuleUnload(module);
        return rc;
    }
    k->module = module;
    return 0;
}

/* A multiprocessor has one block, and all of its shared memory. */
static int measure(struct tgi_cuda *cuda, uint32_t device, struct kernel *k, struct tg_error *err)
{
    const struct tgi_cuda_device_info *info = cuda->device[device].info;
    int most = info->shared_per_block_optin, fixed = 0, n_each = 0;
    CUfunction f = k->run;
    int rc = TGI_CUDA_DO(cuda, err, cuFuncGetAttribute, (&fixed, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, f),
                         "looking at the resident executor");
    if (rc == 0)
        rc = TGI_CUDA_DO(cuda, err, cuFuncGetAttribute, (&k->registers, CU_FUNC_ATTRIBUTE_NUM_REGS, f),
                         "looking at the resident executor");
    if (rc == 0)
        rc = TGI_CUDA_DO(cuda, err, cuFuncSetAttribute, (f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, most - fixed),
                         "asking cuda:%u for %d bytes of shared memory", cuda->base.ordinal[device], most - fixed);
    if (rc == 0)
        rc = TGI_CUDA_DO(cuda, err, cuOccupancyMaxActiveBlocksPerMultiprocessor, (&n_each, f, THREADS, (size_t)(most - fixed)),
                         "asking how much of the resident executor fits on cuda:%u", cuda->base.ordinal[device]);
    if (rc)
        return rc;
    if (n_each < 1)
        return tgi_error(err, TG_E_UNSUPPORTED, "the resident executor does not fit on cuda:%u", cuda->base.ordinal[device]);
    k->room = (struct tgi_resident_room){.n_blocks = (uint32_t)info->n_sms, .n_workers_each = TGI_RESIDENT_RUN_WARPS,
                                         .shared_bytes = (uint32_t)(most - fixed)};
    return 0;
}

static int enter(struct tgi_cuda *cuda, uint32_t device, struct tg_error *err)
{
    if (!cuda->device[device].info->has_cooperative_launch)
        return tgi_error(err, TG_E_UNSUPPORTED, "cuda:%u cannot hold all blocks of a kernel at once",
                         cuda->base.ordinal[device]);
    int rc = tgi_cuda_enter(cuda, device, err);
    if (rc == 0 && !cuda->resident && !(cuda->resident = calloc(1, sizeof *cuda->resident)))
        rc = tgi_error_memory(err, "loading the resident executor");
    return rc;
}

static int open_embedded(struct tgi_cuda *cuda, uint32_t device, struct kernel **kernel_p, struct tg_error *err)
{
    const void *image;
    int rc = enter(cuda, device, err);
    if (rc)
        return rc;
    struct kernel *k = *kernel_p = &cuda->resident->embedded[device];
    if (!k->module && (rc = tgi_cuda_modules_resident(tgi_cuda_code_modules(cuda), &image, err)) == 0)
        rc = load(cuda, device, image, run_symbol, k, err);
    return rc || k->room.n_blocks ? rc : measure(cuda, device, k, err);
}

/* 1, 0, or a status. */
static int wants_embedded(struct tg_error *err)
{
    static const char *const words[] = {"generated", "embedded", NULL};
    return tgi_environment_word("TGRAPH_RESIDENT_KERNEL", words, 0, err);
}

/* Whoever asks for a kernel asks this first, so it is here that a wish that is none is told. */
int tgi_cuda_executor_room(struct tgi_cuda *cuda, uint32_t device, struct tgi_resident_room *room_p, struct tg_error *err)
{
    struct kernel *k;
    struct tg_error no_nvrtc;
    char version[32];
    int wish = wants_embedded(err), rc = wish < 0 ? wish : open_embedded(cuda, device, &k, err);
    if (rc)
        return rc;
    *room_p = k->room;
    room_p->has_blocks = !wish && !cuda->resident->no_compiler[0] && tgi_nvrtc_version(version, sizeof version, &no_nvrtc) == 0;
    return 0;
}

/* ---- The text -----------------------------------------------------------------------------*/

#define COUNT(name) +1
enum { N_NEAR = 0 TGI_BODIES_NEAR(COUNT), FIRST_POSTING = N_NEAR TGI_BODIES_APART(COUNT) };
#undef COUNT
#define NAME(name) #name,
static const char *const body_names[] = {TGI_BODIES(NAME)};
#undef NAME

/* Bodies `from` .. `to` - 1, as a list over X. */
static void put_list(FILE *f, const char *macro, const uint32_t *bodies, uint32_t n, uint32_t from, uint32_t to)
{
    fprintf(f, "#define %s(X)", macro);
    for (uint32_t i = 0; i < n; i++)
        if (bodies[i] >= from && bodies[i] < to)
            fprintf(f, " X(%s)", body_names[bodies[i]]);
    fputc('\n', f);
}

/* A source that several functions are in stands there once. */
static bool is_first_of_source(struct tgi_cuda_bodies *all, const uint32_t *bodies, uint32_t i)
{
    const struct tgi_cuda_body *b = tgi_cuda_bodies_find(all, bodies[i]);
    for (uint32_t k = 0; k < i; k++) {
        const struct tgi_cuda_body *other = bodies[k] < TGI_N_BODIES ? NULL : tgi_cuda_bodies_find(all, bodies[k]);
        if (other && strcmp(other->space, b->space) == 0)
            return false;
    }
    return true;
}

/* Those that are a thread wide, or the others, as a list over X. */
static void put_functions(FILE *f, const char *macro, struct tgi_cuda_bodies *all, const uint32_t *bodies, uint32_t n, bool is_thread)
{
    fprintf(f, "#define %s(X)", macro);
    for (uint32_t i = 0; i < n; i++) {
        const struct tgi_cuda_body *b = bodies[i] < TGI_N_BODIES ? NULL : tgi_cuda_bodies_find(all, bodies[i]);
        if (b && b->is_thread == is_thread)
            fprintf(f, " X(%u, %s::%s)", b->number, b->space, b->entry);
    }
    fputc('\n', f);
}

static void put_users(FILE *f, struct tgi_cuda_bodies *all, const uint32_t *bodies, uint32_t n)
{
    for (int threads = 0; threads < 2; threads++)
        for (uint32_t i = 0; i < n; i++) {
            const struct tgi_cuda_body *b = bodies[i] < TGI_N_BODIES ? NULL : tgi_cuda_bodies_find(all, bodies[i]);
            if (!b || b->is_thread != threads || !is_first_of_source(all, bodies, i))
                continue;
            tgi_cuda_body_begin(f, b->space, b->is_thread);
            fprintf(f, "%s\n}\n", b->text);
        }
    put_functions(f, "TGI_RUN_USERS", all, bodies, n, false);
    put_functions(f, "TGI_RUN_THREADS", all, bodies, n, true);
    for (uint32_t i = 0; i < n; i++)
        if (bodies[i] >= TGI_N_BODIES) {
            const struct tgi_cuda_body *b = tgi_cuda_bodies_find(all, bodies[i]);
            fprintf(f, "namespace user { __device__ constexpr uint32_t number(tag<%s::%s>) { return %u; } }\n", b->space, b->entry, b->number);
        }
}

/* The numbers of users' bodies are not the same in every process, so they are in the text, and with it in the key. */
static char *text_of(struct tgi_cuda_bodies *all, const struct generated *g)
{
    const uint32_t *bodies = g->bodies, n = g->n_bodies;
    static const char *const files[] = {"elements", "hash", "stencil", "reduce", "rows", "spin", "moves", "dense", "sparse", "align", "attention"};
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return NULL;
    if (g->is_dynamic)
        fprintf(f, "#define TGI_SPAWNS\n");
    if (g->is_spread)
        fprintf(f, "#define TGI_PEERS\n");
    fprintf(f, "#include \"gpu/resident/user.cuh\"\n#include \"tgraph_resident.h\"\n#include \"kernels/resident.h\"\n");
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        fprintf(f, "#include \"kernels/resident/%s.cuh\"\n", files[i]);
    put_list(f, "TGI_RUN_NEAR", bodies, n, 0, N_NEAR);
    put_list(f, "TGI_RUN_APART", bodies, n, N_NEAR, FIRST_POSTING);
    put_users(f, all, bodies, n);
    for (uint32_t i = 0, has_posts = 0; i < n && !has_posts; i++)
        if ((has_posts = bodies[i] >= FIRST_POSTING && bodies[i] < TGI_N_BODIES))
            fprintf(f, "#define TGI_HAS_POSTS\n");
    if (g->has_blocks)
        fprintf(f, "#define TGI_HAS_BLOCKS\n");
    if (g->is_timed)
        fprintf(f, "#define TGI_TIMES(view) true\n");
    if (g->can_keep)
        fprintf(f, "#define TGI_KEEPS 1\n");
    if (g->service_warps)
        fprintf(f, "#define TGI_SERVICE_BLOCK_WARPS %u\n#include \"gpu/service/bodies.cuh\"\n", g->service_warps);
    else
        fprintf(f, "#include \"gpu/resident/%s.cuh\"\n", g->is_dynamic ? "run_dynamic" : g->is_spread ? "run_spread" : "run");
    if (fclose(f)) {
        free(text);
        return NULL;
    }
    return text;
}

/* All of them are compiled at once, so there is one set of options. */
static int options_of(struct tgi_cuda_bodies *all, const uint32_t *bodies, uint32_t n, const char **options_p, struct tg_error *err)
{
    const struct tgi_cuda_body *first = NULL;
    *options_p = NULL;
    for (uint32_t i = 0; i < n; i++) {
        const struct tgi_cuda_body *b = bodies[i] < TGI_N_BODIES ? NULL : tgi_cuda_bodies_find(all, bodies[i]);
        if (!b)
            continue;
        if (first && strcmp(first->options ? first->options : "", b->options ? b->options : "") != 0)
            return tgi_error(err, TG_E_UNSUPPORTED,
                             "the resident functions of kernels \"%s\" and \"%s\" are compiled together and need the same options",
                             first->kernel, b->kernel);
        first = b;
        *options_p = b->options;
    }
    return 0;
}

/* ---- Generated kernels --------------------------------------------------------------------*/

/* What the cluster's tasks call, ascending, each once. */
static int bodies_of(const struct tgi_cluster *cluster, uint32_t **bodies_p, uint32_t *n_p, struct tg_error *err)
{
    const struct tgi_resident_program *p = cluster->program;
    uint8_t *is_used = calloc(UINT16_MAX + 1, 1);
    uint32_t n = 0, *bodies = NULL;
    for (uint32_t i = 0; is_used && i < p->n_slots; i++)
        if (TGI_RESIDENT_HAS_WORDS(TGI_HEAD_OP(p->tasks[i].head))) {
            n += !is_used[TGI_CALL_BODY(p->tasks[i].in[0])];
            is_used[TGI_CALL_BODY(p->tasks[i].in[0])] = 1;
        }
    bodies = is_used ? malloc((n + 1) * sizeof *bodies) : NULL;
    if (!bodies) {
        free(is_used);
        return tgi_error_memory(err, "generating a resident executor");
    }
    *n_p = 0;
    for (uint32_t i = 0; i <= UINT16_MAX; i++)
        if (is_used[i])
            bodies[(*n_p)++] = i;
    free(is_used);
    *bodies_p = bodies;
    return 0;
}

static struct generated *find(const struct tgi_cuda_resident *r, const struct generated *wanted)
{
    struct generated *g = r->generated;
    while (g && (g->is_timed != wanted->is_timed || g->is_dynamic != wanted->is_dynamic || g->is_spread != wanted->is_spread ||
                 g->has_blocks != wanted->has_blocks ||
                 g->service_warps != wanted->service_warps || g->can_keep != wanted->can_keep || g->n_bodies != wanted->n_bodies ||
                 memcmp(g->bodies, wanted->bodies, g->n_bodies * sizeof *g->bodies) || g->cc_major != wanted->cc_major ||
                 g->cc_minor != wanted->cc_minor))
        g = g->next;
    return g;
}

/* What NVRTC is given for it; the text is the caller's to free. */
static int describe_source(struct tgi_cuda *cuda, const struct generated *g, struct tgi_nvrtc_source *source_p, char **text_p,
                           struct tg_error *err)
{
    struct tgi_cuda_bodies *all = tgi_cuda_code_bodies(cuda);
    struct tgi_nvrtc_source source = {.kernel = "resident executor", .entry = g->is_dynamic ? dynamic_symbol : g->is_spread ? spread_symbol : run_symbol, .cc_major = g->cc_major,
                                      .cc_minor = g->cc_minor, .driver_version = cuda->api->version};
    if (g->service_warps) {
        source.kernel = "kernel of a service";
        source.entry = g->can_keep ? keeping_symbol : service_symbol;
    }
    int rc = options_of(all, g->bodies, g->n_bodies, &source.options, err);
    if (rc)
        return rc;
    if (!(*text_p = text_of(all, g)))
        return tgi_error_memory(err, "generating a resident executor");
    source.text = *text_p;
    source.headers = tgi_resident_headers(&source.n_headers);
    *source_p = source;
    return 0;
}

static int compile(struct tgi_cuda *cuda, struct generated *g, struct tg_error *err)
{
    struct tgi_nvrtc_source source;
    bool is_cached;
    size_t n;
    char *text;
    int rc = describe_source(cuda, g, &source, &text, err);
    if (rc)
        return rc;
    rc = tgi_nvrtc_compile(&source, &g->image, &n, &g->symbol, &is_cached, err);
    free(text);
    if (rc == 0)
        tgi_cuda_code_count(cuda, is_cached);
    return rc;
}

static void generated_destroy(struct generated *g)
{
    free(g->bodies);
    free(g->image);
    free(g->symbol);
    free(g);
}

/* What is wanted: bodies, which this takes, and what kernel has them. */
static int generate(struct tgi_cuda *cuda, uint32_t device, const struct generated *wanted, struct generated **generated_p, struct tg_error *err)
{
    struct generated sought = *wanted;
    sought.cc_major = cuda->device[device].info->cc_major;
    sought.cc_minor = cuda->device[device].info->cc_minor;
    struct generated *g = find(cuda->resident, &sought);
    if (g) {
        free(wanted->bodies);
        *generated_p = g;
        return 0;
    }
    if (!(g = calloc(1, sizeof *g))) {
        free(wanted->bodies);
        return tgi_error_memory(err, "generating a resident executor");
    }
    *g = sought;
    int rc = compile(cuda, g, err);
    if (rc) {
        generated_destroy(g);
        return rc;
    }
    g->next = cuda->resident->generated;
    cuda->resident->generated = *generated_p = g;
    return 0;
}

/* Loaded; takes the list of bodies. */
static int open_generated(struct tgi_cuda *cuda, uint32_t device, const struct generated *wanted, struct kernel **kernel_p, struct tg_error *err)
{
    struct generated *g = NULL;
    int rc = generate(cuda, device, wanted, &g, err);
    if (rc)
        return rc;
    struct kernel *k = *kernel_p = &g->on[device];
    return k->module ? 0 : load(cuda, device, g->image, g->symbol, k, err);
}

int tgi_cuda_executor_stay(struct tgi_cuda *cuda, uint32_t device, const struct tgi_stay_shape *shape, CUfunction *function_p, struct tg_error *err)
{
    struct generated wanted = {.n_bodies = shape->n_bodies, .service_warps = shape->n_warps, .can_keep = shape->can_keep};
    struct kernel *k;
    int rc = enter(cuda, device, err);
    if (rc == 0 && !(wanted.bodies = malloc((shape->n_bodies + 1ul) * sizeof *shape->bodies)))
        rc = tgi_error_memory(err, "generating the kernel of a service");
    if (rc)
        return rc;
    memcpy(wanted.bodies, shape->bodies, shape->n_bodies * sizeof *shape->bodies);
    rc = open_generated(cuda, device, &wanted, &k, err);
    if (rc == 0)
        *function_p = k->run;
    return rc;
}

/* ---- Which one ----------------------------------------------------------------------------*/

/* More than half of a multiprocessor's shared memory leaves no room for a second block, however few registers there are. */
static void describe(const struct tgi_cuda *cuda, uint32_t device, const struct kernel *k, struct tgi_cuda_executor *e)
{
    uint32_t half = (uint32_t)cuda->device[device].info->shared_per_block_optin / 2 + 1024;
    e->run = k->run;
    e->least_shared_bytes = half < k->room.shared_bytes ? half : k->room.shared_bytes;
}

/* Behind what is said already. */
static void name_devices(struct tgi_cluster *cluster)
{
    size_t n = strlen(cluster->kernel);
    if (cluster->n_devices > 1)
        snprintf(cluster->kernel + n, sizeof cluster->kernel - n, ", on %u devices at once", cluster->n_devices);
}
static void name_posts(struct tgi_cluster *cluster)
{
    size_t n = strlen(cluster->kernel);
    if (cluster->program->n_posts)
        snprintf(cluster->kernel + n, sizeof cluster->kernel - n, "; %u task%s for single elements", cluster->program->n_posts,
                 cluster->program->n_posts == 1 ? " waits" : "s wait");
}

static void name_widths(struct tgi_cluster *cluster)
{
    size_t n = strlen(cluster->kernel);
    if (cluster->n_batches)
        n += (size_t)snprintf(cluster->kernel + n, sizeof cluster->kernel - n, "; what is a thread wide is in %u batch%s", cluster->n_batches,
                              cluster->n_batches == 1 ? "" : "es");
    if (cluster->program->n_block_tasks && n < sizeof cluster->kernel)
        snprintf(cluster->kernel + n, sizeof cluster->kernel - n, "; %u task%s a block wide", cluster->program->n_block_tasks,
                 cluster->program->n_block_tasks == 1 ? " is" : "s are");
}

int tgi_cuda_executor_find(struct tgi_cuda *cuda, uint32_t device, struct tgi_cluster *cluster, struct tgi_cuda_executor *e,
                           struct tg_error *err)
{
    uint32_t *bodies = NULL, n = 0;
    struct kernel *k;
    struct tg_error why;
    int is_embedded = wants_embedded(err), rc = is_embedded < 0 ? is_embedded : enter(cuda, device, err);
    if (rc == 0)
        rc = bodies_of(cluster, &bodies, &n, err);
    if (rc)
        return rc;
    /* What the embedded kernel has not. */
    bool is_dynamic = cluster->program->roots != NULL, is_spread = cluster->n_devices > 1, has_users = n && bodies[n - 1] >= TGI_N_BODIES;
    bool has_blocks = cluster->program->n_block_tasks > 0;
    bool must_generate = has_users || cluster->is_timed || is_dynamic || is_spread || has_blocks;
    if (is_dynamic && cluster->is_timed) {
        free(bodies);
        return tgi_error(err, TG_E_UNSUPPORTED, "tasks of a dynamic resident program note no times");
    }
    char *no_compiler = cuda->resident->no_compiler;
    if (must_generate || (!is_embedded && !no_compiler[0])) {
        struct generated wanted = {.bodies = bodies, .n_bodies = n, .is_timed = cluster->is_timed, .is_dynamic = is_dynamic, .is_spread = is_spread,
                                   .has_blocks = has_blocks};
        rc = open_generated(cuda, device, &wanted, &k, &why);
        if (rc == 0 && !k->room.n_blocks)
            rc = measure(cuda, device, k, &why);
        if (rc == 0) {
            snprintf(cluster->kernel, sizeof cluster->kernel, "generated for %u bod%s%s%s, %d registers", n, n == 1 ? "y" : "ies",
                     cluster->is_timed ? " and times" : "", is_dynamic ? ", dynamic" : "", k->registers);
            name_devices(cluster);
            name_posts(cluster);
            name_widths(cluster);
            describe(cuda, device, k, e);
            return 0;
        }
        /* A compiler that is not there, or too old for the sources, is no loss where the embedded kernel has all the bodies. */
        bool lacks_compiler = rc == TG_E_NO_LIBRARY || (rc == TG_E_COMPILE && !has_users);
        if (lacks_compiler && has_blocks && !has_users) /* the next plan has none */
            snprintf(no_compiler, sizeof cuda->resident->no_compiler, "%.199s", why.text);
        if (lacks_compiler && must_generate)
            return tgi_error(err, TG_E_UNSUPPORTED, "%s%.400s",
                             has_users    ? ""
                             : is_dynamic ? "the embedded resident kernel executes static programs: "
                             : is_spread  ? "the embedded resident kernel is for one device: "
                             : has_blocks ? "the embedded resident kernel has no tasks a block wide: "
                                          : "the embedded resident kernel notes no times: ",
                             why.text);
        if (!lacks_compiler)
            return tgi_error(err, rc, "%s", why.text);
        snprintf(no_compiler, sizeof cuda->resident->no_compiler, "%.199s", why.text);
    } else
        free(bodies);
    rc = open_embedded(cuda, device, &k, err);
    if (rc)
        return rc;
    snprintf(cluster->kernel, sizeof cluster->kernel, "embedded, %d registers: %s", k->registers,
             is_embedded ? "TGRAPH_RESIDENT_KERNEL says so" : no_compiler);
    name_posts(cluster);
    describe(cuda, device, k, e);
    return 0;
}

/* Takes the list of bodies. */
static bool is_kept(struct tgi_cuda *cuda, const struct generated *g)
{
    struct tgi_cuda_resident *r = cuda->resident;
    struct tgi_nvrtc_source source;
    struct tg_error err;
    char *text;
    if (r->asked.bodies && r->asked.n_bodies == g->n_bodies && r->asked.has_blocks == g->has_blocks &&
        r->asked.cc_major == g->cc_major && r->asked.cc_minor == g->cc_minor &&
        memcmp(r->asked.bodies, g->bodies, g->n_bodies * sizeof *g->bodies) == 0) {
        free(g->bodies);
        return r->asked.is_kept;
    }
    free(r->asked.bodies);
    r->asked.bodies = g->bodies;
    r->asked.n_bodies = g->n_bodies;
    r->asked.has_blocks = g->has_blocks;
    r->asked.cc_major = g->cc_major;
    r->asked.cc_minor = g->cc_minor;
    r->asked.is_kept = false;
    if (describe_source(cuda, g, &source, &text, &err) == 0) {
        r->asked.is_kept = tgi_nvrtc_is_kept(&source);
        free(text);
    }
    return r->asked.is_kept;
}

/* How far words reach between devices, and additions to them, is the link's; PCIe has no additions. */
bool tgi_cuda_executor_spreads(struct tgi_cuda *cuda, const uint32_t *devices, uint32_t n, const char **why_p)
{
    struct tg_error ignored;
    char version[32];
    *why_p = wants_embedded(NULL) > 0                                          ? "TGRAPH_RESIDENT_KERNEL asks for the embedded kernel, which is for one device"
             : tgi_nvrtc_version(version, sizeof version, &ignored)            ? "its kernel has to be compiled, and there is no NVRTC"
                                                                               : NULL;
    for (uint32_t i = 0; !*why_p && i < n * n; i++) {
        int from = cuda->base.ordinal[devices[i / n]], to = cuda->base.ordinal[devices[i % n]];
        if (i / n != i % n && cuda->machine.link[from * cuda->machine.n_devices + to] != TGI_CUDA_LINK_NVLINK)
            *why_p = "one of its devices cannot reach another's memory by NVLink";
    }
    return !*why_p;
}

/* Of runs that may choose, whose clusters note no times. */
bool tgi_cuda_executor_is_compiled(struct tgi_cuda *cuda, uint32_t device, const struct tgi_cluster *cluster)
{
    struct generated g = {.cc_major = cuda->device[device].info->cc_major, .cc_minor = cuda->device[device].info->cc_minor,
                          .has_blocks = cluster->program->n_block_tasks > 0};
    struct tg_error err;
    char version[32];
    int wish = wants_embedded(&err);
    if (wish < 0 || cluster->is_timed || enter(cuda, device, &err) || bodies_of(cluster, &g.bodies, &g.n_bodies, &err))
        return false;
    bool has_users = g.n_bodies && g.bodies[g.n_bodies - 1] >= TGI_N_BODIES;
    bool is_embedded = !has_users && !g.has_blocks && (wish || cuda->resident->no_compiler[0] || tgi_nvrtc_version(version, sizeof version, &err));
    if (!is_embedded && !find(cuda->resident, &g))
        return is_kept(cuda, &g);
    free(g.bodies);
    return true;
}

static void unload(struct tgi_cuda *cuda, uint32_t device, struct kernel *k)
{
    if (!k->module)
        return;
    tgi_cuda_try_enter(cuda, device);
    /* Fails only once the devices are lost: the module goes with the process then. */
    cuda->api->cuModuleUnload(k->module);
}

void tgi_cuda_executor_close(struct tgi_cuda *cuda)
{
    struct tgi_cuda_resident *r = cuda->resident;
    if (!r)
        return;
    for (uint32_t i = 0; i < cuda->base.n_devices; i++)
        unload(cuda, i, &r->embedded[i]);
    while (r->generated) {
        struct generated *g = r->generated;
        r->generated = g->next;
        for (uint32_t i = 0; i < cuda->base.n_devices; i++)
            unload(cuda, i, &g->on[i]);
        generated_destroy(g);
    }
    free(r->asked.bodies);
    free(r);
    cuda->resident = NULL;
}
