/* How a kernel on a GPU says that it failed.  It has no return value and must not trap, which would
 * end the process's use of the GPU, so it leaves a record in the module's global `tgk_fault`.  The host
 * reads the record when a batch of launches has finished, finds the task by the tile's address, and
 * clears it.  Of several failures at once the first to arrive is kept.  Read by C and by nvcc. */
#ifndef TGI_KERNELS_FAULT_H
#define TGI_KERNELS_FAULT_H

#include <stdint.h>

enum tgi_fault_kind {
    TGI_FAULT_NONE,
    TGI_FAULT_NOT_POSITIVE, /* potrf_lower: pivot a of b is x */
    TGI_FAULT_NO_LU,        /* getrf_nopiv: pivot a of b is x */
    TGI_FAULT_HISTOGRAM,    /* bins <= 0 or not lo < hi: a bins over [x, y] */
    TGI_FAULT_FFT_SIZE,     /* a is not a power of two */
    TGI_FAULT_TWIDDLE,      /* total a is not positive */
    TGI_FAULT_BUTTERFLY,    /* len a is not positive */
    TGI_FAULT_TRSV_DIAGONAL, /* trsv_rows: the diagonal of row a of b is x */
    TGI_FAULT_TRSV_ENTRIES  /* trsv_rows: entries of row a of b name no element of the task */
};

struct tgi_fault {
    int32_t kind;  /* enum tgi_fault_kind; -1 while the record is being written */
    uint32_t n;    /* failures since the host last cleared the record */
    uint64_t tile; /* device address of the tile that is written */
    int64_t a, b;
    double x, y;
};

#endif
