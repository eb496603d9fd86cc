/* Operations: what tasks do.  A kernel is one operation for all its tasks; copy, fill and barrier
 * are one each; every collective and control task has an operation of its own. */
#ifndef TGI_GRAPH_OP_H
#define TGI_GRAPH_OP_H

#include "graph/model.h"

/* Appends an op whose strings are in the arena already. */
int tgi_op_add(struct tgi_space *space, const struct tgi_op *op, uint32_t *id_p, struct tg_error *err);
/* The op of kind COPY, FILL or BARRIER, made on first use. */
int tgi_op_singleton(struct tgi_space *space, enum tgi_op_kind kind, uint32_t *id_p, struct tg_error *err);
/* The instance of a generic kernel for an element type, made on first use. */
int tgi_op_instance(struct tgi_space *space, uint32_t generic, enum tg_dtype t, uint32_t *id_p, struct tg_error *err);
/* The kernel of that name, or TG_NONE. */
tg_kernel_id tgi_space_find_kernel(const struct tgi_space *space, const char *name);

#endif
