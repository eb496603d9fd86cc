/* Filling in struct tg_error.  Every function that decides that something is an error writes its
 * message here, once; callers pass the status on. */
#ifndef TGI_GRAPH_ERROR_H
#define TGI_GRAPH_ERROR_H

#include "graph/tgraph.h"

/* Writes status and text (err may be NULL), clears position and task; returns status. */
int tgi_error(struct tg_error *err, int status, const char *format, ...) TG_PRINTF(3, 4);
/* Out of memory while doing `what`; returns TG_E_NO_MEMORY. */
int tgi_error_memory(struct tg_error *err, const char *what);
/* Adds the text for errno value `number`; returns status. */
int tgi_error_errno(struct tg_error *err, int status, int number, const char *format, ...) TG_PRINTF(4, 5);
/* The `size` a caller has put into a specification or options struct. */
int tgi_error_check_size(struct tg_error *err, const char *what, size_t size, size_t known);
void tgi_error_set_task(struct tg_error *err, const char *task);
void tgi_error_set_position(struct tg_error *err, const char *file, uint32_t line, uint32_t column);

#endif
