/* Which devices a command uses: what -D or a preference asks for, else what is here and of use. */
#ifndef TGI_IO_CLI_DEVICE_CHOICE_H
#define TGI_IO_CLI_DEVICE_CHOICE_H

#include "graph/model.h"
#include "io/cli/cli.h"

/* "cpu", "cpu:8", "cuda", "cuda:0,1", and a "+" between one of each. */
struct tgi_device_choice {
    bool is_given;      /* false: nobody has asked for anything */
    bool has_cuda, has_cpu; /* has_cpu: CPUs were named, which are there in any case */
    uint64_t cuda;      /* bit i: cuda:i; 0: all there are */
    uint32_t n_workers; /* 0: one for each core */
};

/* Prints what is wrong and returns an exit code. */
int tgi_device_choice_read(const struct tgi_cli *cli, struct tgi_device_choice *choice_p);
/* "cuda", "cuda:0,1", "cuda+cpu", as tg_runtime_options takes it; CPUs are in it unless devices alone were asked for. */
void tgi_device_choice_format(const struct tgi_device_choice *choice, char *text, size_t size);
/* What ndev('cuda') gives: devices that are named count whether or not they are here.  A driver that refuses to count is warned of. */
uint32_t tgi_device_choice_count(const struct tgi_cli *cli, const struct tgi_device_choice *choice);

/* CUDA devices of this machine.  On failure, which is a status, err says why there are none. */
int tgi_cuda_count(uint32_t *n_p, struct tg_error *err);
/* Whether such a failure is how most machines are: without a driver, or with one and no device. */
bool tgi_cuda_is_absent(int rc);

enum tgi_cuda_use {
    TGI_CUDA_USELESS, /* no task can run on one */
    TGI_CUDA_USEFUL,
    TGI_CUDA_NEEDED   /* some task cannot run anywhere else, or the graph "requires" them */
};
/* why: for a graph that needs one, the reason ("kernel \"k\" has no variant for CPUs"). */
enum tgi_cuda_use tgi_cuda_use_of(const struct tg_graph *g, char *why, size_t size);

#endif
