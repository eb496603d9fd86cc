/* The checks of a graph, evaluated on a finished run. */
#ifndef TGI_IO_VERIFY_H
#define TGI_IO_VERIFY_H

#include "graph/model.h"

/* Evaluates every check, in order, and tells on_result (may be NULL) about each: text says what was
 * found ("y: all 1048576 elements >= 2"), or where and what is wrong ("y element (17): expected 2,
 * found 3; 5 elements differ").  TG_E_VERIFY if one failed, with the first one's text; another status
 * if a check cannot be evaluated, which counts as failed.
 *
 * equals, close: one value for all, or one per element of the tile or of all tiles of the index space
 * in order; a file has the shape of a tile or [tiles.., shape..].  close is |found - expected| <= atol
 * + rtol |expected|.  min and max refuse NaN.  Absent tiles are left out everywhere.
 *
 * residual: with A what the buffer was initialised with (for "cholesky" its lower triangle, mirrored)
 * and x random, the largest over two x of |A x - L (L^T x)| / |A x| for "cholesky" and
 * |A x - L (U x)| / |A x| for "lu" (unit L below the diagonal, U on and above it), in double. */
int tgi_verify(const struct tg_graph *graph, const struct tg_run *run,
               void (*on_result)(void *user, const struct tgi_check *check, bool passed, const char *text),
               void *user, struct tg_error *err);

/* Checksum of a tile, or of all tiles that exist in order (tile TG_NONE): FNV-1a (offset basis
 * 0xcbf29ce484222325, prime 0x100000001b3) taken over each tile in little-endian words of 8 bytes, the
 * last one filled up with zeros. */
int tgi_verify_checksum(const struct tg_graph *graph, const struct tg_run *run, tg_buffer_id buffer, uint32_t tile,
                        uint64_t *sum_p, struct tg_error *err);

#endif
