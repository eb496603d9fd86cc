/* Arrays in files: .npy as NumPy writes it (versions 1 to 3), and raw bytes. */
#ifndef TGI_IO_NPY_H
#define TGI_IO_NPY_H

#include "graph/tgraph.h"

#define TGI_NPY_MAX_DIMS   32
#define TGI_NPY_MAX_HEADER 1024 /* of the ones written here */

struct tgi_npy {
    enum tg_dtype dtype; /* bool is read as u8; two bytes without a type ("V2") as bf16 */
    bool is_swapped;     /* big-endian */
    uint32_t n_dims;
    int64_t shape[TGI_NPY_MAX_DIMS];
    uint64_t n_elems, data_bytes;
    uint64_t data_offset; /* in the file */
};

/* Reads the header of the array that begins at `offset`; leaves the file position alone.  `name` is
 * for messages.  TG_E_NPY for what is no array of numbers or in Fortran order, TG_E_DATA_SIZE for a
 * file that ends before the data does, TG_E_READ. */
int tgi_npy_read_header(int fd, const char *name, uint64_t offset, struct tgi_npy *npy_p,
                        struct tg_error *err);
/* Reads n_elems elements from `first` on, in this machine's byte order.  Any thread. */
int tgi_npy_read_elems(int fd, const char *name, const struct tgi_npy *npy, uint64_t first, uint64_t n_elems,
                       void *data, struct tg_error *err);
/* Writes a header (version 1, a multiple of 64 bytes) and returns its length.  bf16, which NumPy does
 * not have, becomes "<u2": view it with ml_dtypes.bfloat16 or shift it into the high half of a
 * float32.  n_dims at most 2 * TG_MAX_DIMS. */
size_t tgi_npy_format_header(enum tg_dtype dtype, uint32_t n_dims, const int64_t *shape,
                             char header[TGI_NPY_MAX_HEADER]);

/* ---- Contents of a buffer from a file -----------------------------------------------------
 *
 * A path ending in .npy is an array, anything else raw bytes of the buffer's own type.  The file holds
 * either the whole buffer, shape [tiles.., shape..], all tiles of the index space in order, absent
 * ones too; or one tile, shape [shape..], which every tile then begins as.  Raw files must have
 * exactly the size of one or the other after `offset` (TG_E_DATA_SIZE).  Types must be equal, except
 * that bf16 also takes u16 (TG_E_TYPE_MISMATCH). */
struct tgi_file_init;

/* Looks at the file at once, reads it when tiles are initialised.  spec: shape, tiles and dtype
 * count.  folder as in tgi_path_open_beneath(). */
int tgi_file_init_create(const char *folder, const char *path, uint64_t offset,
                         const struct tg_buffer_spec *spec, struct tgi_file_init **init_p,
                         struct tg_error *err);
void tgi_file_init_destroy(void *init);
/* A tg_init_fn; user is the struct tgi_file_init. */
int tgi_file_init_tile(void *user, uint32_t tile, void *data, size_t size_bytes, struct tg_error *err);

/* Reads a whole array file, for comparisons: as doubles (complex: two each).  The caller frees it. */
int tgi_npy_read_doubles(const char *folder, const char *path, struct tgi_npy *npy_p, double **values_p,
                         struct tg_error *err);

#endif
