/* Checking the arguments of a task and turning them into argument words. */
#ifndef TGI_GRAPH_ARGS_H
#define TGI_GRAPH_ARGS_H

#include "graph/model.h"

/* The op and the words of a task that is no control task; words has room for TG_MAX_PARAMS, and for
 * spec->n_args of a collective. */
int tgi_args_store(struct tg_graph *g, const struct tg_task_spec *spec, uint32_t *op_p, uint64_t *words,
                   struct tg_error *err);
/* One reference to a tile, rows or all tiles; kernel and param are for messages. */
int tgi_args_store_tile(struct tgi_space *space, const char *kernel, const char *param, const struct tg_arg *arg,
                        uint64_t *word_p, const struct tgi_buffer **buffer_p, struct tg_error *err);
/* The op of a control task and the words of everything that its bodies touch (malloc'ed). */
int tgi_args_make_control(struct tg_graph *g, const struct tg_task_spec *spec, uint32_t *op_p, uint64_t **words_p,
                          uint32_t *n_words_p, struct tg_error *err);

#endif
