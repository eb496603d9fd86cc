// The benchmark graphs on oneTBB: flow graph of continue_node, and task_group for spawned tasks.
#include <oneapi/tbb/flow_graph.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>

#include <cstring>
#include <deque>

#include "bench/metg.h"
#include "bench/sample.h"
#include "bench/shape.h"

namespace flow = oneapi::tbb::flow;

namespace
{

uint32_t iterations;

struct Graph {
    using Node = flow::continue_node<flow::continue_msg>;
    flow::graph graph;
    std::deque<Node> nodes;
    std::deque<Node *> roots;

    explicit Graph(const bench_shape &s)
    {
        for (uint32_t t = 0; t < s.n_tasks; t++) {
            nodes.emplace_back(graph, [](const flow::continue_msg &m) {
                if (iterations)
                    bench_work(iterations);
                return m;
            });
            if (s.first[t] == s.first[t + 1])
                roots.push_back(&nodes.back());
            for (uint32_t e = s.first[t]; e < s.first[t + 1]; e++)
                flow::make_edge(nodes[s.pred[e]], nodes[t]);
        }
    }
    void run()
    {
        for (Node *root : roots)
            root->try_put(flow::continue_msg());
        graph.wait_for_all();
    }
};

void overhead(const char *name, const bench_options &o)
{
    bench_shape s = bench_shape_make(name, o.n_tasks);
    uint64_t begin = bench_now_ns();
    auto *graph = new Graph(s);
    uint64_t build_ns = bench_now_ns() - begin;
    graph->run();
    uint64_t first_ns = bench_now_ns() - begin - build_ns;
    bench_sample sample = {};
    for (uint32_t i = 0; i < o.n_runs; i++) {
        begin = bench_now_ns();
        graph->run();
        bench_sample_add(&sample, bench_now_ns() - begin);
    }
    double n = s.n_tasks;
    bench_report(name, "tbb", o.n_threads, "ns/task", bench_sample_median(&sample) / n);
    bench_report(name, "tbb", o.n_threads, "best ns/task", bench_sample_best(&sample) / n);
    bench_report(name, "tbb", o.n_threads, "build ns/task", build_ns / n);
    bench_report(name, "tbb", o.n_threads, "first run ns/task", first_ns / n);
    delete graph;
    bench_shape_free(&s);
}

uint64_t fib(uint32_t n)
{
    if (n < 2)
        return n;
    uint64_t a, b;
    oneapi::tbb::task_group group;
    group.run([&] { a = fib(n - 1); });
    b = fib(n - 2);
    group.wait();
    return a + b;
}

uint64_t fib_calls(uint32_t n)
{
    uint64_t a = 1, b = 1;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t c = a + b + 1;
        a = b;
        b = c;
    }
    return a;
}

void spawn(const bench_options &o)
{
    uint32_t n = o.n ? o.n : 27;
    bench_sample sample = {};
    for (uint32_t i = 0; i < o.n_runs; i++) {
        uint64_t begin = bench_now_ns();
        if (fib(n) == 0)
            bench_die("fib");
        bench_sample_add(&sample, bench_now_ns() - begin);
    }
    bench_report("fib", "tbb", o.n_threads, "ns/task", bench_sample_median(&sample) / double(fib_calls(n)));
    bench_report("fib", "tbb", o.n_threads, "best ns/task",
                 bench_sample_best(&sample) / double(fib_calls(n)));
}

struct Pattern {
    bench_shape shape;
    Graph *graph;
};

uint64_t run_reused(void *user, uint32_t n)
{
    iterations = n;
    uint64_t begin = bench_now_ns();
    static_cast<Pattern *>(user)->graph->run();
    return bench_now_ns() - begin;
}

uint64_t run_built(void *user, uint32_t n)
{
    iterations = n;
    uint64_t begin = bench_now_ns();
    auto *graph = new Graph(static_cast<Pattern *>(user)->shape);
    graph->run();
    delete graph;
    return bench_now_ns() - begin;
}

void pattern(const char *name, const bench_options &o)
{
    Pattern p = {bench_pattern_make(name, o.n ? o.n : BENCH_PATTERN_WIDTH, BENCH_PATTERN_STEPS), nullptr};
    p.graph = new Graph(p.shape);
    p.graph->run();
    uint32_t n = p.shape.n_tasks;
    bench_report(name, "tbb", o.n_threads, "METG us reused",
                 bench_metg_us(run_reused, &p, n, o.n_threads, o.n_runs, 0.75));
    bench_report(name, "tbb", o.n_threads, "METG us built",
                 bench_metg_us(run_built, &p, n, o.n_threads, o.n_runs, 0.75));
    delete p.graph;
    bench_shape_free(&p.shape);
}

void everything(const bench_options &o)
{
    for (const char *const *name = bench_shape_names; *name; name++)
        if (!o.pattern && (!o.what || !strcmp(o.what, *name)))
            overhead(*name, o);
    if (!o.pattern && (!o.what || !strcmp(o.what, "fib")))
        spawn(o);
    for (const char *const *name = bench_pattern_names; *name; name++)
        if (o.pattern && (!strcmp(o.pattern, *name) || !strcmp(o.pattern, "all")))
            pattern(*name, o);
}

} // namespace

int main(int argc, char **argv)
{
    bench_options o = bench_parse(argc, argv);
    oneapi::tbb::global_control limit(oneapi::tbb::global_control::max_allowed_parallelism, o.n_threads);
    oneapi::tbb::task_arena arena(int(o.n_threads));
    arena.execute([&] { everything(o); });
    return 0;
}
