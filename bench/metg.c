#include "bench/metg.h"

#include <math.h>
#include <pthread.h>

#include "bench/sample.h"

enum { MAX_THREADS = 256, PEAK_ITERATIONS = 4000000, PEAK_RUNS = 5 };

/* Eight independent chains keep the floating-point units busy all the time: a single chain would leave
 * them idle, and a scheduler would seem to cost nothing because the core runs it in the gaps. */
void bench_work(uint32_t iterations)
{
    typedef double pair __attribute__((vector_size(16)));
    const pair m = {0.999, 0.999}, s = {0.001, 0.001};
    pair a = {1, 2}, b = {3, 4}, c = {5, 6}, d = {7, 8}, e = {9, 10}, f = {11, 12}, g = {13, 14},
         h = {15, 16};
    for (uint32_t i = 0; i < iterations; i++) {
        a = a * m + s, b = b * m + s, c = c * m + s, d = d * m + s;
        e = e * m + s, f = f * m + s, g = g * m + s, h = h * m + s;
#if defined(__x86_64__)
        __asm__ volatile("" : "+x"(a), "+x"(b), "+x"(c), "+x"(d), "+x"(e), "+x"(f), "+x"(g), "+x"(h));
#else
        __asm__ volatile("" : : "m"(a), "m"(b), "m"(c), "m"(d), "m"(e), "m"(f), "m"(g), "m"(h));
#endif
    }
}

static void *peak_thread(void *unused)
{
    (void)unused;
    bench_work(PEAK_ITERATIONS);
    return 0;
}

/* Time of one iteration when all threads work, in nanoseconds. */
static double peak_iteration_ns(uint32_t n_threads)
{
    static double known[MAX_THREADS + 1];
    if (n_threads > MAX_THREADS)
        bench_die("at most %d threads", MAX_THREADS);
    if (known[n_threads] > 0)
        return known[n_threads];
    struct bench_sample sample = {{0}, 0};
    for (int run = 0; run < PEAK_RUNS; run++) {
        pthread_t threads[MAX_THREADS];
        uint64_t begin = bench_now_ns();
        for (uint32_t i = 0; i < n_threads; i++)
            if (pthread_create(&threads[i], 0, peak_thread, 0))
                bench_die("no thread");
        for (uint32_t i = 0; i < n_threads; i++)
            pthread_join(threads[i], 0);
        bench_sample_add(&sample, bench_now_ns() - begin);
    }
    known[n_threads] = (double)bench_sample_best(&sample) / PEAK_ITERATIONS;
    return known[n_threads];
}

struct point {
    double granularity_ns, efficiency;
};

static struct point measure(bench_run_fn run, void *user, uint32_t n_tasks, uint32_t n_threads,
                            uint32_t n_runs, uint32_t iterations)
{
    struct bench_sample sample = {{0}, 0};
    for (uint32_t i = 0; i < n_runs; i++)
        bench_sample_add(&sample, run(user, iterations));
    double granularity = (double)bench_sample_best(&sample) * n_threads / n_tasks;
    return (struct point){granularity, peak_iteration_ns(n_threads) * iterations / granularity};
}

/* Doubles the tasks until efficiency reaches `share`, halves the gap a few times, and interpolates
 * between the last two points, on the logarithm of the granularity. */
double bench_metg_us(bench_run_fn run, void *user, uint32_t n_tasks, uint32_t n_threads, uint32_t n_runs,
                     double share)
{
    uint32_t low = 0, high = 2;
    struct point below = {0, 0}, above = measure(run, user, n_tasks, n_threads, n_runs, high);
    while (above.efficiency < share) {
        if (high > 1000000)
            bench_die("no size of task reaches an efficiency of %g", share);
        below = above;
        low = high;
        high *= 2;
        above = measure(run, user, n_tasks, n_threads, n_runs, high);
    }
    if (low == 0)
        return above.granularity_ns / 1000; /* an upper bound: no smaller task was tried */
    for (int i = 0; i < 3 && high - low > 1; i++) {
        uint32_t middle = (low + high) / 2;
        struct point p = measure(run, user, n_tasks, n_threads, n_runs, middle);
        if (p.efficiency < share)
            low = middle, below = p;
        else
            high = middle, above = p;
    }
    double part = (share - below.efficiency) / (above.efficiency - below.efficiency);
    double logarithm =
        log(below.granularity_ns) + part * (log(above.granularity_ns) - log(below.granularity_ns));
    return exp(logarithm) / 1000;
}
