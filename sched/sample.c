#include "sched/sample.h"

#include <stdlib.h>

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

/* Of sorted values, between two of them if need be. */
static double quantile(const double *values, uint32_t n, double part)
{
    double at = part * (n - 1);
    uint32_t i = (uint32_t)at;
    return i + 1 < n ? values[i] + (at - i) * (values[i + 1] - values[i]) : values[i];
}

void tgi_sample_of(double *values, uint32_t n, struct tgi_sample *s)
{
    uint32_t first = 0, end = n;
    *s = (struct tgi_sample){.n = n};
    if (n == 0)
        return;
    qsort(values, n, sizeof *values, compare);
    double lower = quantile(values, n, 0.25), upper = quantile(values, n, 0.75), reach = upper - lower;
    double least_reach = quantile(values, n, 0.5) / 100;
    reach = 1.5 * (reach > least_reach ? reach : least_reach);
    while (values[first] < lower - reach)
        first++;
    while (values[end - 1] > upper + reach)
        end--;
    s->n_outliers = n - (end - first);
    s->least = values[0];
    s->most = values[n - 1];
    s->lower = quantile(values + first, end - first, 0.25);
    s->median = quantile(values + first, end - first, 0.5);
    s->upper = quantile(values + first, end - first, 0.75);
}
