#include "sched/backend.h"

/* Each backend exports one symbol, named here and nowhere else. */
int tgi_cuda_open(uint64_t set, struct tgi_devices **devices_p, struct tg_error *err);

const struct tgi_backend tgi_backends[TGI_N_BACKENDS] = {{"cuda", tgi_cuda_open}};
