/* Memory and compiled expressions that live as long as one task template, or as one load.  Resetting
 * keeps the first chunk, so that a file of a million lines allocates nothing per line. */
#ifndef TGI_IO_JSON_POOL_H
#define TGI_IO_JSON_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "graph/expr.h"

/* Zero-initialised is empty. */
struct tgi_json_pool {
    struct tgi_json_pool_chunk *chunks; /* the current one first */
    struct tgi_expr **exprs;
    uint32_t n_exprs, cap_exprs;
};

/* Zeroed, 16-byte aligned; NULL without memory. */
void *tgi_json_pool_alloc(struct tgi_json_pool *pool, size_t bytes);
char *tgi_json_pool_strndup(struct tgi_json_pool *pool, const char *text, size_t length);
/* Takes the expression over; false without memory, and then it is destroyed. */
bool tgi_json_pool_own(struct tgi_json_pool *pool, struct tgi_expr *expr);
void tgi_json_pool_reset(struct tgi_json_pool *pool);
void tgi_json_pool_fini(struct tgi_json_pool *pool);

#endif
