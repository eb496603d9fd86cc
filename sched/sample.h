/* What repeated measurements of one thing come to: outliers are set aside, the rest has a median and a spread.
 *
 * An outlier is a value farther from the quartiles than one and a half times their distance (Tukey), which is taken to
 * be at least a hundredth of the median, so that values that are all but equal do not make outliers of each other. */
#ifndef TGI_SCHED_SAMPLE_H
#define TGI_SCHED_SAMPLE_H

#include <stdint.h>

struct tgi_sample {
    uint32_t n, n_outliers;         /* n: the outliers included */
    double median, lower, upper;    /* of those that are none: quartiles */
    double least, most;             /* of all */
};

/* Sorts the values.  Of none, all is 0. */
void tgi_sample_of(double *values, uint32_t n, struct tgi_sample *sample_p);

static inline double tgi_sample_spread(const struct tgi_sample *s) { return s->upper - s->lower; }

#endif
