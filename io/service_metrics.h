/* What a service has counted, for people and for Prometheus. */
#ifndef TGI_IO_SERVICE_METRICS_H
#define TGI_IO_SERVICE_METRICS_H

#include <stdio.h>

#include "graph/tgraph_service.h"

/* The latency that a fraction of all answers did not exceed, to the precision of the buckets: the upper end of the one
 * it is in.  0: there were no answers. */
uint64_t tgi_service_quantile_ns(const struct tg_service_metrics *m, double fraction);

void tgi_service_metrics_print(FILE *to, const struct tg_service_metrics *m);
/* In Prometheus' text format, version 0.0.4. */
void tgi_service_metrics_prometheus(FILE *to, const struct tg_service_metrics *m);

#endif
