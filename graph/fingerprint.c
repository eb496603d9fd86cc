/* Names of tasks and places in files do not count, nor does what is printed or verified.  Texts go in with their terminating NUL and
 * lists with their length, so that no two graphs give the same bytes by running into each other. */
#include "graph/fingerprint.h"

#include <string.h>

static void add(struct tgi_sha256 *sha, const void *data, size_t bytes)
{
    if (bytes)
        tgi_sha256_add(sha, data, bytes);
}

static void add_number(struct tgi_sha256 *sha, uint64_t number) { tgi_sha256_add(sha, &number, sizeof number); }

static void add_text(struct tgi_sha256 *sha, const char *text)
{
    add_number(sha, text ? strlen(text) + 1 : 0);
    add(sha, text, text ? strlen(text) : 0);
}

static void add_buffer(struct tgi_sha256 *sha, const struct tgi_buffer *b)
{
    uint64_t value;
    memcpy(&value, &b->init_value, sizeof value);
    add_text(sha, b->name);
    add_number(sha, b->dtype);
    add_number(sha, b->n_dims);
    add(sha, b->shape, b->n_dims * sizeof *b->shape);
    add_number(sha, b->n_tile_dims);
    add(sha, b->tiles, b->n_tile_dims * sizeof *b->tiles);
    add_number(sha, b->present ? b->n_tiles : 0);
    add(sha, b->present, b->present ? b->n_tiles : 0);
    add_number(sha, b->init);
    add_number(sha, value);
    add_number(sha, b->init_seed);
    add_text(sha, b->init_text);
}

static void add_variant(struct tgi_sha256 *sha, const struct tgi_variant *v)
{
    add_number(sha, v->on);
    add_number(sha, v->form);
    add_text(sha, v->builtin ? v->builtin->name : NULL);
    add_text(sha, v->text);
    add_text(sha, v->path);
    add_text(sha, v->entry);
    add_text(sha, v->options);
}

static void add_op(struct tgi_sha256 *sha, const struct tgi_op *op)
{
    add_number(sha, op->kind);
    add_text(sha, op->name);
    add_number(sha, op->n_params);
    for (uint32_t i = 0; i < op->n_params; i++) {
        add_number(sha, op->params[i].access);
        add_number(sha, op->params[i].op);
        add_number(sha, (uint64_t)op->params[i].dtype);
    }
    for (uint32_t i = 0; op->defaults && i < op->n_params; i++) {
        add_number(sha, op->defaults[i].kind);
        add_number(sha, op->defaults[i].kind == TGI_DEFAULT_COPY ? op->defaults[i].from : 0);
        add_number(sha, op->defaults[i].kind == TGI_DEFAULT_WORD ? op->defaults[i].word : 0);
    }
    add_number(sha, op->n_variants);
    for (uint32_t i = 0; i < op->n_variants; i++)
        add_variant(sha, &op->variants[i]);
    add_number(sha, op->collective);
    add_number(sha, op->reduce_op);
    add_number(sha, op->root);
}

void tgi_graph_fingerprint(const struct tg_graph *g, unsigned char digest[TGI_SHA256_BYTES])
{
    const struct tgi_space *space = g->space;
    struct tgi_sha256 sha;
    tgi_sha256_init(&sha);
    add_number(&sha, space->n_buffers);
    for (uint32_t i = 0; i < space->n_buffers; i++)
        add_buffer(&sha, &space->buffers[i]);
    add_number(&sha, space->n_ops);
    for (uint32_t i = 0; i < space->n_ops; i++)
        add_op(&sha, &space->ops[i]);
    add_number(&sha, space->n_ranges);
    add(&sha, space->ranges, space->n_ranges * sizeof *space->ranges);
    add_number(&sha, g->n_tasks);
    add(&sha, g->nodes, g->n_tasks * sizeof *g->nodes);
    add_number(&sha, g->n_args);
    add(&sha, g->args, g->n_args * sizeof *g->args);
    add_number(&sha, g->n_edges);
    add(&sha, g->succ, g->n_edges * sizeof *g->succ);
    tgi_sha256_finish(&sha, digest);
}
