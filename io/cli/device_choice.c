#include "io/cli/device_choice.h"

#include <stdlib.h>
#include <string.h>

#include "gpu/code.h"
#include "gpu/driver.h"

#define MOST_CUDA 32 /* as places in graphs: cuda:0 to cuda:31 */

/* ---- What is asked for --------------------------------------------------------------------*/

struct reading {
    const struct tgi_cli *cli;
    const char *source, *text; /* "-D", and what it says; NULL: nothing */
    struct tgi_device_choice choice;
};

static int malformed(const struct reading *r, const char *part, size_t length)
{
    return tgi_cli_usage(r->cli, "%s %s: \"%.*s\" is none of cpu, cpu:N with N from 1 to 4096, cuda, cuda:I,J,.. with numbers"
                         " from 0 to %d", r->source, r->text, (int)length, part, MOST_CUDA - 1);
}

static int repeated(const struct reading *r, const char *part, size_t length)
{
    return tgi_cli_usage(r->cli, "%s %s: %.*s is named twice", r->source, r->text, (int)length, part);
}

/* Digits only, so neither sign nor blank; false: no number up to `most`. */
static bool read_number(const char *text, size_t length, uint32_t most, uint32_t *number_p)
{
    uint32_t n = 0;
    if (length == 0 || length > 4 || strspn(text, "0123456789") < length)
        return false;
    for (size_t i = 0; i < length; i++)
        n = 10 * n + (uint32_t)(text[i] - '0');
    *number_p = n;
    return n <= most;
}

static int read_cpu(struct reading *r, const char *part, size_t length)
{
    if (r->choice.has_cpu)
        return repeated(r, "cpu", 3);
    r->choice.has_cpu = true;
    if (length == 3)
        return 0;
    if (!read_number(part + 4, length - 4, 4096, &r->choice.n_workers) || r->choice.n_workers == 0)
        return malformed(r, part, length);
    return 0;
}

static int read_cuda(struct reading *r, const char *part, size_t length)
{
    if (r->choice.has_cuda)
        return repeated(r, "cuda", 4);
    r->choice.has_cuda = true;
    for (size_t at = 5; length > 4; at++) {
        size_t n = strcspn(part + at, "+,");
        uint32_t i;
        if (!read_number(part + at, n, MOST_CUDA - 1, &i))
            return malformed(r, part, length);
        if (r->choice.cuda >> i & 1)
            return repeated(r, part + at, n);
        r->choice.cuda |= (uint64_t)1 << i;
        at += n;
        if (at >= length)
            break;
    }
    return 0;
}

static int read_part(struct reading *r, const char *part, size_t length)
{
    bool has_colon = memchr(part, ':', length) != NULL;
    size_t kind = has_colon ? strcspn(part, ":") : length;
    if (kind == 3 && strncmp(part, "cpu", 3) == 0)
        return read_cpu(r, part, length);
    if (kind == 4 && strncmp(part, "cuda", 4) == 0)
        return read_cuda(r, part, length);
    return malformed(r, part, length);
}

int tgi_device_choice_read(const struct tgi_cli *cli, struct tgi_device_choice *choice_p)
{
    struct reading r = {.cli = cli, .source = tgi_cli_source(cli, "devices", "-D"), .text = tgi_cli_text(cli, "devices", NULL)};
    if (r.text) {
        r.choice.is_given = true;
        for (const char *part = r.text;; part++) {
            size_t length = strcspn(part, "+");
            int rc = read_part(&r, part, length);
            if (rc)
                return rc;
            part += length;
            if (!*part)
                break;
        }
    }
    *choice_p = r.choice;
    return 0;
}

void tgi_device_choice_format(const struct tgi_device_choice *choice, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "cuda");
    for (uint32_t i = 0, n = 0; i < MOST_CUDA && used < size; i++)
        if (choice->cuda >> i & 1)
            used += (size_t)snprintf(text + used, size - used, "%c%u", n++ ? ',' : ':', i);
    if (used < size && (choice->has_cpu || !choice->is_given))
        snprintf(text + used, size - used, "+cpu");
}

uint32_t tgi_device_choice_count(const struct tgi_cli *cli, const struct tgi_device_choice *choice)
{
    uint32_t n = (uint32_t)__builtin_popcountll(choice->cuda);
    struct tg_error err;
    bool wants_all = choice->has_cuda ? n == 0 : !choice->is_given;
    int rc = wants_all ? tgi_cuda_count(&n, &err) : 0;
    if (rc && !tgi_cuda_is_absent(rc))
        tgi_cli_warn(cli, "ndev('cuda') is 0: %s", err.text);
    return rc ? 0 : n;
}

/* ---- What is here -------------------------------------------------------------------------*/

int tgi_cuda_count(uint32_t *n_p, struct tg_error *err)
{
    const struct tgi_cuda_api *api;
    int n = 0, rc = tgi_cuda_retain(&api, err);
    if (rc)
        return rc;
    rc = TGI_CUDA_CHECK(api, err, cuDeviceGetCount, (&n), "counting the devices");
    tgi_cuda_release();
    if (rc == 0)
        *n_p = (uint32_t)n;
    return rc;
}

bool tgi_cuda_is_absent(int rc) { return (rc == TG_E_NO_LIBRARY || rc == TG_E_NO_DEVICE) && !tgi_cuda_has_refused(); }

/* ---- What is of use -----------------------------------------------------------------------*/

static bool runs_on_cpus(const struct tgi_space *space, const struct tgi_op *op)
{
    const struct tgi_op *owner = op->generic == TG_NONE ? op : &space->ops[op->generic];
    for (uint32_t i = 0; i < owner->n_variants; i++)
        if (owner->variants[i].on == TGI_DEVICE_CPU)
            return true;
    return false;
}

struct use {
    enum tgi_cuda_use use;
    char *why;
    size_t size;
};

static void look_at_task(const struct tg_graph *g, uint32_t task, struct use *u)
{
    const struct tgi_attr *attr = tgi_graph_attr(g, task);
    const struct tgi_op *op = tgi_graph_op(g, task);
    const tgi_place cpus = TGI_PLACE_CPUS;
    char scratch[16], place[64];
    bool is_kernel = op->kind == TGI_OP_KERNEL, may_cpu = !attr || !attr->on || attr->on & cpus;
    if (!may_cpu) {
        u->use = TGI_CUDA_NEEDED;
        tgi_place_format(attr->on, place, sizeof(place));
        snprintf(u->why, u->size, "task \"%s\" may run on %s only", tgi_graph_task_name(g, task, scratch), place);
    } else if (is_kernel && tgi_cuda_has_variant(g->space, op)) {
        bool may_cuda = !attr || !attr->on || attr->on & ~cpus;
        u->use = may_cuda && u->use == TGI_CUDA_USELESS ? TGI_CUDA_USEFUL : u->use;
        if (!runs_on_cpus(g->space, op)) {
            u->use = TGI_CUDA_NEEDED;
            snprintf(u->why, u->size, "kernel \"%s\" has no variant for CPUs", op->name);
        }
    }
}

/* Tasks of the same op are alike, but for those with attributes. */
static void look_at_graph(const struct tg_graph *g, uint8_t *is_seen, struct use *u)
{
    for (uint32_t t = 0; t < g->n_tasks && u->use != TGI_CUDA_NEEDED; t++) {
        uint32_t id = g->nodes[t].op & TGI_NODE_OP;
        bool has_attr = g->nodes[t].op & TGI_NODE_ATTR;
        if (is_seen[id] && !has_attr)
            continue;
        look_at_task(g, t, u);
        is_seen[id] |= !has_attr;
    }
}

enum tgi_cuda_use tgi_cuda_use_of(const struct tg_graph *g, char *why, size_t size)
{
    const struct tgi_space *space = g->space;
    struct use u = {TGI_CUDA_USELESS, why, size};
    if (space->requires_cuda) {
        snprintf(why, size, "the graph requires %u CUDA device%s", space->requires_cuda, space->requires_cuda > 1 ? "s" : "");
        return TGI_CUDA_NEEDED;
    }
    uint8_t *is_seen = calloc((size_t)space->n_ops + 1, 1);
    if (!is_seen)
        return TGI_CUDA_USELESS; /* whatever comes next reports it */
    look_at_graph(g, is_seen, &u);
    for (uint32_t i = 0; i < space->n_ops; i++) {
        if (space->ops[i].body)
            look_at_graph(space->ops[i].body, is_seen, &u);
        if (space->ops[i].body_else)
            look_at_graph(space->ops[i].body_else, is_seen, &u);
    }
    free(is_seen);
    return u.use;
}
