/* The checksum of our binary files: records of runs, checkpoints. */
#ifndef TGI_IO_CHECKSUM_H
#define TGI_IO_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Goes on from `sum`, 0 at first; parts but the last are multiples of 8 bytes.  A change within 8 bytes is always noticed. */
uint64_t tgi_checksum(uint64_t sum, const void *data, size_t bytes);

#endif
