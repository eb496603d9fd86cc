/* Allocation and release from a pool of device memory, beside the driver's own stream-ordered pair if there is a GPU.
 * 64 blocks are live at any time.  mixed: 13 sizes from 4 KiB to 16 MiB; any size: all different, to 16 MiB. */
#include "bench/cuda_bare.h"

#include <stdlib.h>

#include "mem/pool.h"

enum { N_LIVE = 64, N_OPS = 200000 };

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

enum mix { ONE_SIZE, MIXED, ANY_SIZE };

static uint64_t size_of(enum mix mix, uint64_t *state)
{
    if (mix == ONE_SIZE)
        return 1 << 20;
    return mix == MIXED ? (uint64_t)4096 << next_random(state) % 13 : next_random(state) % (16 << 20);
}

static int reserve(void *user, uint64_t bytes, uint64_t *address_p, struct tg_error *e)
{
    uint64_t *next = user;
    (void)e;
    *address_p = *next;
    *next += bytes;
    return 0;
}

static void unreserve(void *user, uint64_t address, uint64_t bytes) { (void)user, (void)address, (void)bytes; }

static double measure_pool(enum mix mix)
{
    uint64_t next = (uint64_t)1 << 30, live[N_LIVE] = {0}, state = 1, begin;
    const struct tgi_pool_source source = {reserve, unreserve, &next};
    const struct tgi_pool_options options = {.chunk_bytes = (uint64_t)1 << 30, .name = "bench"};
    struct tgi_pool *pool;
    must(tgi_pool_create(&source, &options, &pool, &err));
    for (uint32_t i = 0; i < N_LIVE; i++)
        must(tgi_pool_alloc(pool, size_of(mix, &state), &live[i], &err));
    begin = bench_now_ns();
    for (uint32_t i = 0; i < N_OPS; i++) {
        uint32_t k = mix == ONE_SIZE ? i % N_LIVE : (uint32_t)next_random(&state) % N_LIVE;
        tgi_pool_free(pool, live[k]);
        must(tgi_pool_alloc(pool, size_of(mix, &state), &live[k], &err));
    }
    uint64_t ns = bench_now_ns() - begin;
    for (uint32_t i = 0; i < N_LIVE; i++)
        tgi_pool_free(pool, live[i]);
    if (tgi_pool_destroy(pool))
        bench_die("the pool leaks");
    return (double)ns / N_OPS;
}

static void measure_driver(void)
{
    if (tgi_cuda_retain(&api, &err))
        return; /* no GPU: no yardstick */
    tgi_cuda_release();
    bare_open(0);
    CUdeviceptr p;
    DO(cuMemAllocAsync, (&p, 1 << 20, NULL));
    DO(cuMemFreeAsync, (p, NULL));
    uint64_t begin = bench_now_ns();
    for (uint32_t i = 0; i < 10000; i++) {
        DO(cuMemAllocAsync, (&p, 1 << 20, NULL));
        DO(cuMemFreeAsync, (p, NULL));
    }
    bench_report("pool 1 MiB", "cuMemAllocAsync", 1, "ns/pair", (double)(bench_now_ns() - begin) / 10000);
    DO(cuCtxSynchronize, ());
    bare_close(0);
}

int main(int argc, char **argv)
{
    (void)bench_parse(argc, argv);
    bench_report("pool 1 MiB", "tgraph", 1, "ns/pair", measure_pool(ONE_SIZE));
    bench_report("pool mixed", "tgraph", 1, "ns/pair", measure_pool(MIXED));
    bench_report("pool any size", "tgraph", 1, "ns/pair", measure_pool(ANY_SIZE));
    measure_driver();
    return 0;
}
