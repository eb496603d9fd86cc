/* A graph as a file that tg_graph_load() reads back as the same graph: every loop unrolled, every
 * name and number evaluated.  tg_graph_save() is made of this. */
#ifndef TGI_IO_WRITE_JSON_H
#define TGI_IO_WRITE_JSON_H

#include <stdio.h>

#include "graph/model.h"

enum tgi_json_form { TGI_JSON_DOCUMENT, TGI_JSON_LINES };

/* TG_E_UNSUPPORTED for what a file cannot hold: C functions and memory of the program. */
int tgi_graph_write_json(const struct tg_graph *g, enum tgi_json_form form, FILE *to, struct tg_error *err);

#endif
