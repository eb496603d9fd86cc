/* See bodies.h. */
#include "gpu/bodies.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/resident/text.h"
#include "graph/dtype.h"
#include "graph/error.h"
#include "graph/sha256.h"
#include "graph/vec.h"
#include "kernels/resident.h"
#include "mem/resident_program.h"

enum { MAX_NUMBER = 0xffff, UNKNOWN_NS = 1000 };

struct entry {
    struct tgi_cuda_body body;
    char space[24];
    char strings[]; /* kernel, text, options, entry */
};

struct tgi_cuda_bodies {
    pthread_mutex_t lock; /* everything here; what an entry holds never changes */
    struct entry **all;
    uint32_t n, cap;
};

struct tgi_cuda_bodies *tgi_cuda_bodies_new(void)
{
    struct tgi_cuda_bodies *b = calloc(1, sizeof *b);
    if (b)
        pthread_mutex_init(&b->lock, NULL);
    return b;
}

void tgi_cuda_bodies_destroy(struct tgi_cuda_bodies *b)
{
    if (!b)
        return;
    for (uint32_t i = 0; i < b->n; i++)
        free(b->all[i]);
    free(b->all);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

/* ---- Compiling one by itself --------------------------------------------------------------*/

static void name_space(const struct tgi_variant *v, char space[24])
{
    unsigned char key[TGI_SHA256_BYTES];
    struct tgi_sha256 sha;
    uint64_t word;
    tgi_sha256_init(&sha);
    tgi_sha256_add(&sha, v->text, strlen(v->text) + 1);
    if (v->options)
        tgi_sha256_add(&sha, v->options, strlen(v->options));
    if (tgi_variant_has_width(v, "thread")) /* in which names stand for something else */
        tgi_sha256_add(&sha, "", 1);
    tgi_sha256_finish(&sha, key);
    memcpy(&word, key, sizeof word);
    snprintf(space, 24, "tg_%016" PRIx64, word);
}

void tgi_cuda_body_begin(FILE *f, const char *space, bool is_thread)
{
    fprintf(f, "%snamespace %s {\n", is_thread ? "#undef TGI_THREAD_WIDE\n#define TGI_THREAD_WIDE\n#include \"tgraph_resident.h\"\n" : "", space);
}

/* The lines are counted as the user counts them, in a file that has the name of kernels' sources; what is ours is in another. */
static char *text_of_check(const struct tgi_op *op, const struct tgi_variant *v, const char *space, const char *entry)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return NULL;
    fprintf(f, "#include \"gpu/resident/user.cuh\"\n#include \"tgraph_resident.h\"\n");
    tgi_cuda_body_begin(f, space, tgi_variant_has_width(v, "thread"));
    fprintf(f, "#line 1 \"kernel.cu\"\n%s\n", v->text);
    fprintf(f, "#line 1 \"signature\"\n}\nstatic_assert(user::takes<%s::%s", space, entry);
    for (uint32_t i = 0; i < op->n_params; i++)
        fprintf(f, ", %zu", op->params[i].access == TG_SCALAR ? tg_dtype_size((enum tg_dtype)op->params[i].dtype) : sizeof(uint64_t));
    fprintf(f, ">(), \"\");\nextern \"C\" __global__ void tgk_resident_check(const uint64_t *words, uint32_t *code) { *code = user::call<%s::%s>(words); }\n",
            space, entry);
    if (fclose(f)) {
        free(text);
        return NULL;
    }
    return text;
}

static const char *entry_of(const struct tgi_op *op, const struct tgi_variant *v) { return v->entry ? v->entry : op->name; }

int tgi_cuda_body_check(const struct tgi_op *op, const struct tgi_variant *v, struct tgi_nvrtc_source *target, bool *is_cached_p,
                        struct tg_error *err)
{
    unsigned char *image;
    char *symbol, space[24];
    size_t n;
    name_space(v, space);
    char *text = text_of_check(op, v, space, entry_of(op, v));
    if (!text)
        return tgi_error_memory(err, "compiling a resident function");
    target->kernel = op->name;
    target->text = text;
    target->options = v->options;
    target->entry = "tgk_resident_check";
    target->headers = tgi_resident_headers(&target->n_headers);
    int rc = tgi_nvrtc_compile(target, &image, &n, &symbol, is_cached_p, err);
    free(text);
    if (rc == 0) {
        free(image);
        free(symbol);
    }
    return rc;
}

/* ---- The list -----------------------------------------------------------------------------*/

static struct entry *entry_new(const char *kernel, const struct tgi_variant *v, const char *space, const char *name)
{
    const char *options = v->options ? v->options : "";
    size_t sizes[] = {strlen(kernel) + 1, strlen(v->text) + 1, strlen(options) + 1, strlen(name) + 1};
    struct entry *e = malloc(sizeof *e + sizes[0] + sizes[1] + sizes[2] + sizes[3]);
    if (!e)
        return NULL;
    char *at = e->strings;
    strcpy(e->space, space);
    e->body = (struct tgi_cuda_body){.space = e->space, .is_thread = tgi_variant_has_width(v, "thread")};
    e->body.kernel = memcpy(at, kernel, sizes[0]);
    e->body.text = memcpy(at += sizes[0], v->text, sizes[1]);
    e->body.options = memcpy(at += sizes[1], options, sizes[2]);
    e->body.entry = memcpy(at += sizes[2], name, sizes[3]);
    if (!v->options)
        e->body.options = NULL;
    return e;
}

static int add_locked(struct tgi_cuda_bodies *b, const char *kernel, const struct tgi_variant *v, const char *space, const char *name,
                      uint32_t *number_p, struct tg_error *err)
{
    for (uint32_t i = 0; i < b->n; i++)
        if (strcmp(b->all[i]->space, space) == 0 && strcmp(b->all[i]->body.entry, name) == 0) {
            *number_p = b->all[i]->body.number;
            return 0;
        }
    if (TGI_N_BODIES + b->n > MAX_NUMBER)
        return tgi_error(err, TG_E_LIMIT, "kernel \"%s\": more than %d resident functions", kernel, MAX_NUMBER - TGI_N_BODIES + 1);
    struct entry *e = tgi_vec_reserve(&b->all, &b->cap, (uint64_t)b->n + 1, sizeof *b->all) ? entry_new(kernel, v, space, name) : NULL;
    if (!e)
        return tgi_error_memory(err, "keeping a resident function");
    *number_p = e->body.number = TGI_N_BODIES + b->n;
    b->all[b->n++] = e;
    return 0;
}

int tgi_cuda_bodies_add(struct tgi_cuda_bodies *b, const struct tgi_op *op, const struct tgi_variant *v, struct tgi_nvrtc_source *target,
                        uint32_t *number_p, bool *is_cached_p, struct tg_error *err)
{
    char space[24];
    int rc = tgi_cuda_body_check(op, v, target, is_cached_p, err);
    if (rc)
        return rc;
    name_space(v, space);
    pthread_mutex_lock(&b->lock);
    rc = add_locked(b, op->name, v, space, entry_of(op, v), number_p, err);
    pthread_mutex_unlock(&b->lock);
    return rc;
}

const struct tgi_cuda_body *tgi_cuda_bodies_find(struct tgi_cuda_bodies *b, uint32_t number)
{
    pthread_mutex_lock(&b->lock);
    const struct tgi_cuda_body *body = number >= TGI_N_BODIES && number - TGI_N_BODIES < b->n ? &b->all[number - TGI_N_BODIES]->body : NULL;
    pthread_mutex_unlock(&b->lock);
    return body;
}

/* By the same rough rates as the built-in bodies (kernels/resident.c): 5 bytes and 20 operations in a nanosecond, and a lane's part of that. */
float tgi_cuda_body_cost(const struct tgi_op *op, const uint64_t *words, bool is_thread)
{
    struct tgi_cost cost = tgi_op_cost(op, words);
    if (cost.us >= 0)
        return (float)(cost.us * 1000);
    if (!(cost.bytes >= 0) && !(cost.flops >= 0))
        return UNKNOWN_NS;
    double ns = fmax(cost.bytes >= 0 ? cost.bytes / 5 : 0, cost.flops >= 0 ? cost.flops / 20 : 0);
    return (float)(100 + (is_thread ? TGI_CALL_MOST_TASKS * ns : ns));
}
