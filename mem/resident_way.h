/* The shortest way through a worker for a task, by its descriptor: decided by the planner, which puts it into the head, proved
 * by the check, followed by gpu/resident/worker.h.  A task could always go the long way. */
#ifndef TGI_MEM_RESIDENT_WAY_H
#define TGI_MEM_RESIDENT_WAY_H

#include "mem/resident_program.h"

static inline uint32_t tgi_resident_is_cell_word(uint32_t word)
{
    return TGI_OUT_KIND(word) == TGI_OUT_CELL || TGI_OUT_KIND(word) == TGI_OUT_SHARED_CELL;
}

/* Whether all successors wait for cells. */
static inline uint32_t tgi_resident_tells_cells(const struct tgi_resident_task *t, const uint32_t *outs)
{
    uint32_t is_list = TGI_HEAD_N_OUT(t->head) == TGI_HEAD_LIST, n = is_list ? t->out[1] : TGI_HEAD_N_OUT(t->head);
    const uint32_t *word = is_list ? &outs[t->out[0]] : t->out;
    for (uint32_t k = 0; k < n; k++)
        if (!tgi_resident_is_cell_word(word[k]))
            return 0;
    return 1;
}

/* `outs`: the program's. */
static inline enum tgi_resident_way tgi_resident_way(const struct tgi_resident_task *t, const uint32_t *outs)
{
    uint32_t op = TGI_HEAD_OP(t->head), wait = TGI_HEAD_WAIT(t->head), n_in = TGI_HEAD_N_IN(t->head);
    uint32_t n_out = TGI_HEAD_N_OUT(t->head), has_cells = wait >= TGI_WAIT_CELLS, is_word = op <= TGI_RESIDENT_HASH;
    uint32_t is_sum = op == TGI_RESIDENT_ADD || op == TGI_RESIDENT_HASH;
    if (t->head & (TGI_HEAD_WAITS_FAR | TGI_HEAD_TELLS_FAR))
        return TGI_WAY_FAR;
    if (t->head & TGI_HEAD_BLOCK)
        return TGI_WAY_BLOCK;
    if (op == TGI_RESIDENT_CALL)
        return TGI_WAY_CALL;
    if (op == TGI_RESIDENT_POST)
        return TGI_WAY_POST;
    if (is_word && !wait && !n_out && !n_in)
        return TGI_WAY_PLAIN;
    if (has_cells && (is_sum || op == TGI_RESIDENT_SPIN) && tgi_resident_tells_cells(t, outs)) {
        if (is_sum && !n_in && t->n_wait <= 2 && n_out != TGI_HEAD_LIST)
            return TGI_WAY_RELAY;
        if (n_in != TGI_HEAD_LIST)
            return TGI_WAY_GATHER;
    }
    if (is_word && !n_in && n_out != TGI_HEAD_LIST && t->n_wait <= 2 && (!wait || has_cells))
        return TGI_WAY_SHORT;
    if (TGI_RESIDENT_IS_ARITHMETIC(op) && !n_in && n_out != TGI_HEAD_LIST && t->n_wait <= 2 && (!wait || has_cells) &&
        tgi_resident_tells_cells(t, outs))
        return TGI_WAY_ARITHMETIC;
    if (TGI_RESIDENT_HAS_LINE(op) && n_in != TGI_HEAD_LIST && n_out != TGI_HEAD_LIST && wait && !has_cells)
        return TGI_WAY_LINE;
    return TGI_WAY_LONG;
}

#endif
