/* What the runtime itself does to tiles in host memory: fill, reduce, collectives.  Pure functions
 * of their arguments; callers see to ordering. */
#ifndef TGI_MEM_HOSTOPS_H
#define TGI_MEM_HOSTOPS_H

#include "graph/tgraph.h"

/* `word` is the element's bit pattern in its low bytes (16-byte types: real part, imaginary 0). */
void tgi_host_fill(void *dst, uint64_t n_elems, enum tg_dtype dtype, uint64_t word);
/* The bit pattern of a number in a type, as argument words hold it.  false if it does not fit
 * (an integer type's range). */
bool tgi_host_encode_int(enum tg_dtype dtype, int64_t value, uint64_t *word_p);
bool tgi_host_encode_float(enum tg_dtype dtype, double value, uint64_t *word_p);
/* Element i as a double (complex: its real part). */
double tgi_host_load(const void *src, uint64_t i, enum tg_dtype dtype);

/* Whether some element is NaN or infinite, and which is the first.  Integers never are. */
bool tgi_host_find_not_finite(const void *src, uint64_t n_elems, enum tg_dtype dtype, uint64_t *index_p);

/* dst[i] = dst[i] op src[i].  Every dtype; min and max of complex are an error. */
int tgi_host_reduce_into(void *dst, const void *src, uint64_t n_elems, enum tg_dtype dtype, enum tg_op op,
                         struct tg_error *err);
/* Fills with the neutral element of op. */
int tgi_host_identity(void *dst, uint64_t n_elems, enum tg_dtype dtype, enum tg_op op, struct tg_error *err);

/* Performs a collective over n tiles of n_elems elements each, in rank order, so that floating
 * point results do not depend on timing.  scratch: alltoall and reducescatter need a tile's worth
 * of temporary memory per rank, which the function allocates itself.  Chunked collectives need
 * n_elems divisible by n (TG_E_COLLECTIVE). */
int tgi_host_collective(enum tg_collective what, enum tg_op op, uint32_t root, void *const *tiles, uint32_t n,
                        uint64_t n_elems, enum tg_dtype dtype, struct tg_error *err);

#endif
