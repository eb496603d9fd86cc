#!/bin/bash
# The benchmarks of GPUs, each beside its yardstick in the same run, on a machine that has one:
#
#     bench/cuda.sh FOLDER-OF-PROGRAMS [NULL-DRIVER]
#
# Prints lines like bench/run.sh.  On the null driver, whose calls do nothing, streams shows tgraph's own work.
set -u
bin=$1
null_driver=${2:-$bin/libnull-cuda.so}
rounds=${BENCH_ROUNDS:-3}

echo "# gpu $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | sort | uniq -c | sed 's/^ *//; s/ / x /' | paste -sd';')"
one() { timeout 200 "$@" || echo "failed: $*" >&2; }
for _ in $(seq "$rounds"); do
    one "$bin/streams" --runs 7
    one "$bin/wakeups" --runs 7
    one "$bin/pool"
    one "$bin/copies" --runs 7
done
# A kernel given as CUDA source: compiled once, then found.
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
graphs=$(cd "$(dirname "$0")/../examples/graphs" 2>/dev/null && pwd || echo graphs)
TGRAPH_CACHE_DIR=$cache one "$bin/start" --file "$graphs/saxpy.json"
for _ in 1 2 3; do
    TGRAPH_CACHE_DIR=$cache one "$bin/start" --file "$graphs/saxpy.json" --what cached
done
[ -e "$null_driver" ] && TGRAPH_CUDA_DRIVER=$null_driver one "$bin/streams" --runs 15 --what null
for _ in $(seq "$rounds"); do
    one "$bin/cuda_graphs" --runs 15
done
one "$bin/cuda_rounds" --runs 15
one "$bin/cuda_calls" --runs 9 | sed 's/^/# /'
one "$bin/cuda_graph_copies" --runs 15 | sed 's/^/# /'
[ "$(nvidia-smi -L 2>/dev/null | wc -l)" -gt 1 ] && one "$bin/cuda_hops" --runs 15 | sed 's/^/# /'
one "$bin/cuda_tiles" --runs 5
one "$bin/resident" --runs 5
one "$bin/service" --runs 5
one "$bin/library" --runs 5
one "$bin/resident_run" --runs 9 | sed 's/^/# /'
one "$bin/tree_search" --file "$graphs/queens.json" --runs 5 | sed 's/^/# /'
for size in "" "--param D=512 --param H=8 --param T=1024" "--param L=12 --param D=768 --param H=12 --param T=1024 --param S=1"; do
    # shellcheck disable=SC2086
    one "$bin/resident_run" --runs 9 --file "$graphs/decode.json" --param CHECK=0 $size --beside R=E --beside C=T/4 --beside G=1 | sed 's/^/# /'
done
one "$bin/cuda_trsv" --runs 9 | sed 's/^/# /'
for tile in 1024 2048; do
    one "$bin/cuda_cholesky" --n 16384 --tile $tile --runs 5
    one "$bin/cuda_cholesky" --n 16384 --tile $tile --runs 5 --what graph
done
one "$bin/cuda_cholesky" --n 32768 --tile 2048 --runs 3
# Data that is sent ahead while a CPU is at work, beside the bounds of its run.
ahead=$(dirname "$0")/graphs/ahead.json
[ -e "$ahead" ] || ahead=$(dirname "$0")/predict/graphs/ahead.json # in a bundle
[ -x "$bin/../tgraph" ] && [ -e "$ahead" ] && one "$bin/../tgraph" run -v "$ahead" -D cuda:0+cpu:1 --repeat 7 2>/dev/null |
    grep -E 'lower bound|runs:|sent ahead' | sed 's/^ */# ahead: /'
# What a plan says beside what a run takes; its lines are comments of the table.
predict=$(dirname "$0")/predict.sh
[ -x "$predict" ] || predict=$(dirname "$0")/predict/predict.sh # in a bundle
tgraph=$bin/../tgraph
predicting=$(for n in 0 0,1 0,1,2,3; do
    [ "$(nvidia-smi -L 2>/dev/null | wc -l)" -ge $((${#n} / 2 + 1)) ] && echo "cuda:$n"
done)
# shellcheck disable=SC2086
[ -x "$tgraph" ] && [ -n "$predicting" ] && BENCH_RUNS=9 timeout 400 "$predict" "$tgraph" $predicting | sed 's/^#* */# /'
n_devices=$(nvidia-smi -L 2>/dev/null | wc -l)
[ "$n_devices" -ge 2 ] && one "$bin/resident" --what peers --runs 7
for n in 2 4; do
    [ "$n_devices" -ge $n ] || continue
    one "$bin/cuda_cholesky" --n 32768 --tile 2048 --runs 3 --threads $n --what tgraph
    one "$bin/cuda_cholesky" --n $((n == 2 ? 49152 : 65536)) --tile 2048 --runs 2 --threads $n --what tgraph
done
