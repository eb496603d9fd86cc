/* Index of task names: open addressing over task ids; the names stay in the graph. */
#ifndef TGI_GRAPH_NAMES_H
#define TGI_GRAPH_NAMES_H

#include "graph/model.h"

/* The task called `name`, or TG_NONE. */
uint32_t tgi_names_find(const struct tg_graph *g, const char *name, size_t length);
/* Enters a task whose name is in the graph already and in no other task.  false without memory. */
bool tgi_names_insert(struct tg_graph *g, uint32_t task);
void tgi_names_destroy(struct tgi_names *names);
size_t tgi_names_bytes(const struct tgi_names *names);

#endif
