/* Which colour stands for which kernel, the same in every picture of a graph. */
#ifndef TGI_IO_PALETTE_H
#define TGI_IO_PALETTE_H

#include "graph/model.h"

#define TGI_PALETTE_SIZE 16
#define TGI_PALETTE_CRITICAL "#c8102e" /* the critical path; no fill comes near it */
#define TGI_PALETTE_RUNTIME "#dddddd"  /* what is no kernel: copies, fills, barriers, collectives, control */

struct tgi_palette {
    uint32_t *kind_of; /* by op: which kind of task it is, from 0 */
    uint32_t *op_of;   /* by kind: the op that names it */
    uint32_t n_kinds;
};

/* A kind is a kernel with all its instances, or one of "copy", "allreduce", .. */
int tgi_palette_create(const struct tgi_space *space, struct tgi_palette *palette, struct tg_error *err);
void tgi_palette_fini(struct tgi_palette *palette);
const char *tgi_palette_name(const struct tgi_space *space, const struct tgi_palette *palette, uint32_t kind);
/* "#rrggbb".  Fills that dark text can be read on; told apart with any colour vision. */
const char *tgi_palette_fill(const struct tgi_space *space, const struct tgi_palette *palette, uint32_t kind);

/* The fill of the nth kernel of a graph, from 0. */
const char *tgi_palette_colour(uint32_t n);

static inline uint32_t tgi_palette_kind(const struct tg_graph *g, const struct tgi_palette *palette,
                                        uint32_t task)
{
    return palette->kind_of[g->nodes[task].op & TGI_NODE_OP];
}

#endif
