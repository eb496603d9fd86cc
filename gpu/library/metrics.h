/* Metrics: counters that workers raise and the host adds up, while they run or afterwards.
 *
 * Each worker has its own copy on lines of its own, so raising one is a load and a store that nobody else waits for.
 *
 *     host:    image = zeroed memory of tgd_metrics_bytes(n_workers, n_counters); tgd_metrics_init(..); copied, aligned to 128
 *     bodies:  tgd_metric_add(metrics, worker, counter, n): the worker whose number it is, all lanes alike or the first */
#ifndef TGD_METRICS_H
#define TGD_METRICS_H

#include "gpu/library/status.h"
#include "gpu/library/word.h"

/* Counters follow, by worker. */
struct tgd_metrics {
    uint32_t n_workers, n_counters;
    uint32_t pad[30];
};

TGI_FN uint64_t *tgi_metric(const struct tgd_metrics *m, uint32_t worker, uint32_t counter)
{
    return (uint64_t *)(m + 1) + (uint64_t)worker * ((m->n_counters + 15) / 16 * 16) + counter;
}
TGI_FN uint64_t tgd_metrics_bytes(uint32_t n_workers, uint32_t n_counters)
{
    return sizeof(struct tgd_metrics) + (uint64_t)n_workers * ((n_counters + 15) / 16 * 16) * 8;
}
/* image: zeroed. */
TGI_FN int tgd_metrics_init(struct tgd_metrics *m, uint32_t n_workers, uint32_t n_counters)
{
    if (n_workers == 0 || n_counters == 0)
        return TGD_E_INVALID;
    m->n_workers = n_workers;
    m->n_counters = n_counters;
    return TGD_OK;
}

/* relaxed: a figure for whoever watches; nobody else writes it, so a load and a store are enough.  A counter that there is not is not
 * counted. */
TGI_FN void tgd_metric_add(struct tgd_metrics *m, uint32_t worker, uint32_t counter, uint64_t n)
{
    if (tgi_lane() != 0 || worker >= m->n_workers || counter >= m->n_counters)
        return;
    uint64_t *x = tgi_metric(m, worker, counter), was = tgi_wide_load_relaxed(x);
    tgi_wide_store_relaxed(x, was + n);
}
/* A high-water mark instead: for a counter that is read with tgd_metric_most(). */
TGI_FN void tgd_metric_raise(struct tgd_metrics *m, uint32_t worker, uint32_t counter, uint64_t to)
{
    if (tgi_lane() != 0 || worker >= m->n_workers || counter >= m->n_counters)
        return;
    uint64_t *x = tgi_metric(m, worker, counter), was = tgi_wide_load_relaxed(x);
    if (to > was)
        tgi_wide_store_relaxed(x, to);
}

TGI_FN uint64_t tgd_metric_sum(const struct tgd_metrics *m, uint32_t counter)
{
    uint64_t sum = 0;
    for (uint32_t w = 0; w < m->n_workers; w++)
        sum += tgi_wide_load_relaxed(tgi_metric(m, w, counter));
    return sum;
}
TGI_FN uint64_t tgd_metric_most(const struct tgd_metrics *m, uint32_t counter)
{
    uint64_t most = 0;
    for (uint32_t w = 0; w < m->n_workers; w++) {
        uint64_t x = tgi_wide_load_relaxed(tgi_metric(m, w, counter));
        most = x > most ? x : most;
    }
    return most;
}

#endif
