/* What a run leaves: buffers written to files, and two runs compared. */
#ifndef TGI_IO_RESULTS_H
#define TGI_IO_RESULTS_H

#include "graph/model.h"

/* Writes every buffer that has `save`, beneath `folder` (NULL: any path), each file through a
 * temporary one.  A pattern with {i}, {j}, {k}, {l}, {m}, {n}, {o}, {p}, the indices of a tile,
 * gives a file per tile that exists, of shape [shape..]; one without gives a single file of shape
 * [tiles.., shape..] ([shape..] for a buffer without an index space), absent tiles as zeros.
 * on_saved (may be NULL) hears of every file.  TG_E_BAD_VALUE for a pattern under which two tiles
 * would get the same file. */
int tgi_results_save(const struct tg_graph *graph, const struct tg_run *run, const char *folder,
                     void (*on_saved)(void *user, const struct tgi_buffer *buffer, const char *path),
                     void *user, struct tg_error *err);

/* Whether that can begin: creates and removes a file beside the first one of each such buffer.  What changes
 * afterwards, and a disk that fills up, are found by saving. */
int tgi_results_check(const struct tg_graph *graph, const char *folder, struct tg_error *err);

/* Compares all tiles of all buffers that are not temporary, element by element: equal bits, or
 * |a - b| <= atol + rtol * |b| (either NaN in both).  TG_E_DIFFERS names the first element that
 * differs and how many do. */
int tgi_results_compare(const struct tg_graph *graph, const struct tg_run *a, const struct tg_run *b,
                        double rtol, double atol, struct tg_error *err);

/* The same for runs on devices of another kind, whose kernels round elsewhere: elements of floating-point buffers
 * may differ by what rounding can come to in their type, relative to the largest element of the buffer, and by a
 * tenth of that relative to the largest one of all buffers, which may have cancelled out. */
int tgi_results_compare_rounded(const struct tg_graph *graph, const struct tg_run *a, const struct tg_run *b,
                                struct tg_error *err);

/* Whether tasks may reduce into, or commute on, the same data in an order that varies from run to run. */
bool tgi_results_may_reorder(const struct tg_graph *graph);
/* What a run left and what sequential execution on CPUs did: equal bits, and *is_exact_p; else up to the rounding of sums in another order if
 * they may_reorder, or of a device's kernels if the run was on one.  TG_E_DIFFERS as above. */
int tgi_results_compare_sequential(const struct tg_graph *graph, const struct tg_run *run, const struct tg_run *sequential,
                                   bool *is_exact_p, struct tg_error *err);

/* "A[3,2] element (4,5)", for messages. */
void tgi_results_format_element(const struct tgi_buffer *buffer, uint32_t tile, uint64_t element, char *text,
                                size_t size);

#endif
