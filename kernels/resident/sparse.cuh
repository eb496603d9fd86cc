/* trsv_rows, as the warp that is launched for it does it. */
#include "kernels/resident/warp.cuh"
#include "kernels/trsv.cuh"

#define TRSV_ROWS(type, T)                                                     \
    TGI_BODY_APART body_trsv_rows_##type(const uint64_t *a)                    \
    {                                                                          \
        return (uint32_t)trsv::solve<T>(a, warp::lane()).row;                  \
    }
TGK_FLOATS(TRSV_ROWS)
#undef TRSV_ROWS
