/* histogram: adds to h[b] the number of x[i] in bin b of `bins` equal bins over [lo, hi].  A value
 * equal to hi counts in the last bin; values outside and NaN count nowhere. */
#include "kernels/kernel.h"
#include "kernels/launch.h"

#define HISTOGRAM(name, T)                                                                     \
    TGI_CPU_KERNEL(name)                                                                       \
    {                                                                                          \
        int64_t n = TGI_INT(0), bins = TGI_INT(1);                                             \
        T lo = TGI_NUM(T, 2), hi = TGI_NUM(T, 3);                                              \
        const T *x = TGI_TILE(const T, 4);                                                     \
        uint64_t *h = TGI_TILE(uint64_t, 5);                                                   \
        if (bins <= 0 || !(lo < hi))                                                           \
            TGI_FAIL(ctx, "histogram needs bins > 0 and lo < hi, got %lld bins over [%g, %g]", \
                     (long long)bins, (double)lo, (double)hi);                                 \
        double scale = (double)bins / ((double)hi - (double)lo);                               \
        for (int64_t i = 0; i < n; i++) {                                                      \
            if (!(x[i] >= lo && x[i] <= hi))                                                   \
                continue;                                                                      \
            int64_t b = (int64_t)(((double)x[i] - (double)lo) * scale);                        \
            h[b < bins ? b : bins - 1]++;                                                      \
        }                                                                                      \
        return 0;                                                                              \
    }
HISTOGRAM(histogram_f32, float)
HISTOGRAM(histogram_f64, double)
HISTOGRAM(histogram_i32, int32_t)
HISTOGRAM(histogram_i64, int64_t)

static const struct tgi_builtin_param histogram_params[] = {
    TGI_P_INT("n"),  TGI_P_INT("bins"),           TGI_P_NUM("lo"),
    TGI_P_NUM("hi"), TGI_P_TILE("x", TG_IN, "n"), TGI_P_REDUCE(TG_U64, "h", TG_SUM, "bins"),
};
const struct tgi_builtin tgi_builtin_histogram = {
    .name = "histogram",
    .brief = "h[b] += how many x[i] lie in bin b of [lo, hi] (reduce)",
    TGI_PARAMS(histogram_params),
    .flops = "3*n",
    .bytes = "n*sizeof(T)+16*bins",
    .cpu = {[TG_F32] = histogram_f32,
            [TG_F64] = histogram_f64,
            [TG_I32] = histogram_i32,
            [TG_I64] = histogram_i64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_histogram",
        .can_fail = true,
        .grid = "min(528,max(1,ceildiv(n,8192)))",
        .block = "512",
    },
};
