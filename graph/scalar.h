/* Numbers as argument words, and what arguments that are left out stand for. */
#ifndef TGI_GRAPH_SCALAR_H
#define TGI_GRAPH_SCALAR_H

#include "graph/model.h"

/* The word of a number for a parameter; TG_E_TYPE_MISMATCH if its type cannot hold it. */
int tgi_scalar_store(const char *kernel, const struct tgi_param *p, const struct tg_arg *arg, uint64_t *word_p,
                     struct tg_error *err);
/* op->defaults of an op whose types are known. */
int tgi_defaults_make(struct tgi_space *space, struct tgi_op *op, struct tg_error *err);
/* How many of a task's words have to be stored: the rest are defaults. */
uint32_t tgi_defaults_trim(const struct tgi_op *op, const uint64_t *words);

#endif
