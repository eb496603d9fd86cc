/* What a process lets others see of a service at one moment, and its form in a file: a line for each figure. */
#ifndef TGI_IO_SERVICE_SIGN_H
#define TGI_IO_SERVICE_SIGN_H

#include <stdio.h>

#include "graph/tgraph_service.h"

struct tgi_service_sign {
    char name[64];
    uint64_t pid, device, state, is_resident, n_blocks, queue_capacity;
    uint64_t began_ns, shown_ns; /* CLOCK_MONOTONIC, which all processes share: since when it is shown, of this moment */
    struct tg_service_metrics metrics;
};

/* An error of the stream stays with the stream. */
void tgi_service_sign_write(FILE *to, const struct tgi_service_sign *sign);
/* false: it is no sign, or not all of one; *sign_p is then unspecified. */
bool tgi_service_sign_read(FILE *from, struct tgi_service_sign *sign_p);

#endif
