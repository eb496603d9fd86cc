/* See service_graph.h. */
#include "sched/service_graph.h"

#include <inttypes.h>
#include <string.h>

#include "graph/error.h"
#include "graph/vec.h"
#include "mem/store.h"

/* Of inputs and outputs, so that bodies may take 16 bytes at a time; of other tiles a line, no more, as what is kept is a message. */
enum { ALIGN_IN_MESSAGE = 16, ALIGN = 64 };

static uint64_t round_up(uint64_t bytes, uint64_t to) { return (bytes + to - 1) / to * to; }

/* What is known of a tile while accesses are gone through. */
struct tile {
    bool is_touched, is_written, is_input, begins_written; /* the last: its first access writes over all of it */
    bool begins_read;                                      /* its first access may read all of it */
};

struct making {
    struct tgi_service_graph *g;
    const struct tgi_space *space;
    struct tile *tiles;
    struct tg_error *err;
};

static const char *name_of(const struct tg_graph *g, uint32_t t, char *scratch) { return tgi_graph_task_name(g, t, scratch); }

/* ---- Accesses -----------------------------------------------------------------------------*/

static int refuse(struct making *m, uint32_t task, const char *why)
{
    char scratch[16];
    return tgi_error(m->err, TG_E_UNSUPPORTED, "task \"%s\": %s, which a service cannot execute", name_of(m->g->graph, task, scratch), why);
}

static int note_access(struct making *m, uint32_t task, uint64_t word, enum tg_access access)
{
    if (word == TGI_WORD_NULL)
        return 0;
    if (tgi_word_range(word) == TGI_WORD_ALL)
        return refuse(m, task, "it takes all tiles of a buffer at once");
    struct tile *t = &m->tiles[tgi_word_tile(word)];
    if (!t->is_touched) {
        t->begins_written = access == TG_OUT && tgi_word_range(word) == 0;
        t->begins_read = access != TG_OUT;
    }
    t->is_touched = true;
    t->is_written |= access != TG_IN;
    return 0;
}

static int note_task(struct making *m, uint32_t task)
{
    const struct tg_graph *g = m->g->graph;
    const struct tgi_op *op = tgi_graph_op(g, task);
    int rc = 0;
    if (op->kind == TGI_OP_COLLECTIVE)
        return refuse(m, task, "it is a collective");
    if (op->kind > TGI_OP_COLLECTIVE && op->kind != TGI_OP_BARRIER)
        return refuse(m, task, "it has a body of tasks");
    if (g->nodes[task].op & TGI_NODE_SHARED)
        return refuse(m, task, "it reduces or commutes with others");
    if (op->kind == TGI_OP_BARRIER) /* which touches nothing itself */
        return 0;
    /* What is read counts first, as a task may read and write the same tile. */
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; rc == 0 && i < op->n_params; i++)
            if (op->params[i].access != TG_SCALAR && (op->params[i].access == TG_OUT) == (pass == 1))
                rc = note_access(m, task, tgi_graph_word(g, task, i), op->params[i].access);
    return rc;
}

/* ---- Homes --------------------------------------------------------------------------------*/

static bool is_present(const struct tgi_buffer *b, uint32_t tile) { return !b->present || b->present[tile]; }

static int check_buffer(const struct making *m, tg_buffer_id id, const char *as)
{
    return id < m->space->n_buffers ? 0 : tgi_error(m->err, TG_E_INVALID, "buffer %" PRIu32 ", %s of a service's program, is none of the graph's", id, as);
}

static int place_input(struct making *m, tg_buffer_id id)
{
    int rc = check_buffer(m, id, "an input");
    if (rc)
        return rc;
    const struct tgi_buffer *b = &m->space->buffers[id];
    for (uint32_t i = 0; i < b->n_tiles; i++) {
        struct tile *t = &m->tiles[b->first_tile + i];
        if (t->is_input)
            return tgi_error(m->err, TG_E_INVALID, "buffer \"%s\" is an input of a service's program twice", b->name);
        if (!is_present(b, i))
            continue;
        t->is_input = true;
        m->g->home[b->first_tile + i] = TGI_HOME_SEAT;
        m->g->at[b->first_tile + i] = m->g->seat_bytes;
        m->g->seat_bytes += round_up(b->tile_bytes, ALIGN_IN_MESSAGE);
    }
    m->g->input_bytes = m->g->seat_bytes;
    return 0;
}

static void place_shared(struct making *m, uint64_t *at, uint64_t bytes)
{
    *at = m->g->shared_bytes;
    m->g->shared_bytes += round_up(bytes, ALIGN);
}

static int place_tile(struct making *m, const struct tgi_buffer *b, uint32_t i)
{
    struct tgi_service_graph *g = m->g;
    const struct tile *t = &m->tiles[b->first_tile + i];
    uint32_t tile = b->first_tile + i;
    bool has_first = b->host || b->init != TG_INIT_NONE;
    if (!t->is_touched || t->is_input)
        return 0;
    if (!has_first && t->begins_read)
        return tgi_error(m->err, TG_E_INVALID, "buffer \"%s\" is read before a task writes it: an input of the program, or an init, says what is in it",
                         b->name);
    if (!t->is_written) {
        g->home[tile] = TGI_HOME_SHARED;
        place_shared(m, &g->at[tile], b->tile_bytes);
        return 0;
    }
    g->home[tile] = TGI_HOME_SEAT;
    g->at[tile] = round_up(g->seat_bytes, ALIGN);
    g->seat_bytes = g->at[tile] + b->tile_bytes;
    if (has_first && !t->begins_written) {
        place_shared(m, &g->first_at[tile], b->tile_bytes);
        g->n_firsts++;
    }
    return 0;
}

static int add_output(struct making *m, tg_buffer_id id)
{
    struct tgi_service_graph *g = m->g;
    int rc = check_buffer(m, id, "an output");
    const struct tgi_buffer *b = rc ? NULL : &m->space->buffers[id];
    for (uint32_t i = 0; rc == 0 && i < b->n_tiles; i++) {
        uint32_t tile = b->first_tile + i;
        uint64_t first = g->at[tile] / 8, n = round_up(b->tile_bytes, ALIGN_IN_MESSAGE) / 8;
        if (!is_present(b, i))
            continue;
        if (g->home[tile] != TGI_HOME_SEAT)
            rc = tgi_error(m->err, TG_E_INVALID, "buffer \"%s\" is an output of a service's program, and no task writes all of its tiles", b->name);
        else if (first + n > UINT32_MAX / 2)
            rc = tgi_error(m->err, TG_E_LIMIT, "buffer \"%s\" is an output of a service's program and lies beyond 16 GiB of an instance's tiles",
                           b->name);
        else if (!tgi_vec_reserve(&g->outputs, &g->cap_outputs, g->n_outputs + n, sizeof *g->outputs))
            rc = tgi_error_memory(m->err, "making a service's program");
        for (uint64_t k = 0; rc == 0 && k < n; k++)
            g->outputs[g->n_outputs++] = (uint32_t)(first + k);
    }
    return rc;
}

/* ---- All ----------------------------------------------------------------------------------*/

static int make(struct making *m, const tg_buffer_id *inputs, uint32_t n_inputs, const tg_buffer_id *outputs, uint32_t n_outputs)
{
    const struct tg_graph *g = m->g->graph;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < g->n_tasks; i++)
        rc = note_task(m, g->topo ? g->topo[i] : i);
    for (uint32_t i = 0; rc == 0 && i < n_inputs; i++)
        rc = place_input(m, inputs[i]);
    for (uint32_t k = 0; rc == 0 && k < m->space->n_buffers; k++)
        for (uint32_t i = 0; rc == 0 && i < m->space->buffers[k].n_tiles; i++)
            rc = place_tile(m, &m->space->buffers[k], i);
    m->g->seat_bytes = round_up(m->g->seat_bytes, ALIGN); /* the last words of outputs are there */
    for (uint32_t i = 0; rc == 0 && i < n_outputs; i++)
        rc = add_output(m, outputs[i]);
    return rc;
}

int tgi_service_graph_create(const struct tg_graph *graph, const tg_buffer_id *inputs, uint32_t n_inputs, const tg_buffer_id *outputs,
                             uint32_t n_outputs, struct tgi_service_graph **graph_p, struct tg_error *err)
{
    if (!graph->is_frozen)
        return tgi_error(err, TG_E_STATE, "making a service's program of a graph that is not frozen");
    if (graph->n_tasks == 0)
        return tgi_error(err, TG_E_INVALID, "making a service's program of a graph without tasks");
    size_t n = graph->space->n_tiles + 1ul;
    struct tgi_service_graph *g = calloc(1, sizeof *g);
    struct making m = {g, graph->space, calloc(n, sizeof *m.tiles), err};
    int rc = g && m.tiles ? 0 : tgi_error_memory(err, "making a service's program");
    if (rc == 0) {
        g->graph = graph;
        g->home = calloc(n, sizeof *g->home);
        g->at = calloc(n, sizeof *g->at);
        g->first_at = malloc(n * sizeof *g->first_at);
        rc = g->home && g->at && g->first_at ? 0 : tgi_error_memory(err, "making a service's program");
    }
    if (rc == 0) {
        memset(g->first_at, 0xff, n * sizeof *g->first_at);
        rc = make(&m, inputs, n_inputs, outputs, n_outputs);
    }
    free(m.tiles);
    if (rc)
        tgi_service_graph_destroy(g);
    else
        *graph_p = g;
    return rc;
}

void tgi_service_graph_destroy(struct tgi_service_graph *g)
{
    if (!g)
        return;
    free(g->home);
    free(g->at);
    free(g->first_at);
    free(g->outputs);
    free(g);
}

/* ---- What all share -----------------------------------------------------------------------*/

static int fill_tile(const struct tgi_buffer *b, uint32_t i, uint32_t n_before, unsigned char *to, struct tg_error *err)
{
    if (!b->host)
        return tgi_store_generate(b, i, to, err);
    memcpy(to, (const unsigned char *)b->host + n_before * b->tile_bytes, b->tile_bytes);
    return 0;
}

int tgi_service_graph_fill(const struct tgi_service_graph *g, unsigned char *shared, struct tg_error *err)
{
    const struct tgi_space *space = g->graph->space;
    int rc = 0;
    for (uint32_t k = 0; rc == 0 && k < space->n_buffers; k++) {
        const struct tgi_buffer *b = &space->buffers[k];
        for (uint32_t i = 0, n_before = 0; rc == 0 && i < b->n_tiles; i++) {
            uint32_t tile = b->first_tile + i;
            if (g->home[tile] == TGI_HOME_SHARED)
                rc = fill_tile(b, i, n_before, shared + g->at[tile], err);
            if (rc == 0 && g->first_at[tile] != UINT64_MAX)
                rc = fill_tile(b, i, n_before, shared + g->first_at[tile], err);
            n_before += is_present(b, i);
        }
    }
    return rc;
}
