#!/bin/bash
# Runs all benchmarks, tgraph and its peers in turn, so that a machine that slows down slows all of them
# down:  bench/run.sh BUILD-FOLDER.  `make bench` calls it.
#
# Results go to build/bench/results.tsv (what, system, threads, metric, value; one line per measurement)
# and, as tables, to standard output.  BENCH_THREADS="1 2" and BENCH_ROUNDS=3 change how much is run;
# BENCH_ONLY="overhead patterns cholesky load cuda" what.  BENCH_PREBUILT=1 builds nothing and uses the programs that are
# there (bench/bundle.sh).
set -u
cd "$(dirname "$0")/.." || exit 1

build=$1
bin=$build/bench
threads=${BENCH_THREADS:-1 2}
rounds=${BENCH_ROUNDS:-3}
only=${BENCH_ONLY:-overhead patterns cholesky load cuda}
results=build/bench/results.tsv
mkdir -p build/bench

prebuilt=${BENCH_PREBUILT:-}
make_program() {
    if [ -n "$prebuilt" ]; then [ -x "$bin/$1" ]; else ${MAKE:-make} --no-print-directory "$bin/$1" >&2; fi
}
absent() { echo "$1 is not here: $2" >&2; }

peers=
if [ -n "$prebuilt" ]; then
    for peer in tbb gomp libomp starpu; do
        [ -x "$bin/peer_$peer" ] && peers="$peers $peer"
    done
elif ${PKG_CONFIG:-pkg-config} --exists tbb 2>/dev/null && make_program peer_tbb; then
    peers="$peers tbb"
else
    absent oneTBB "install libtbb-dev"
fi
if [ -n "$prebuilt" ]; then
    :
elif echo '#include <omp.h>' | ${CC:-gcc} -fopenmp -E - >/dev/null 2>&1 && make_program peer_gomp; then
    make_program peer_cholesky_gomp
    peers="$peers gomp"
else
    absent "GCC OpenMP" "install libgomp1"
fi
if [ -n "$prebuilt" ]; then
    :
elif echo '#include <omp.h>' | ${CLANG:-clang} -fopenmp -E - >/dev/null 2>&1 && make_program peer_libomp; then
    make_program peer_cholesky_libomp
    peers="$peers libomp"
else
    absent "LLVM OpenMP" "install clang and libomp-dev"
fi
if [ -n "$prebuilt" ]; then
    :
elif ${PKG_CONFIG:-pkg-config} --exists starpu-1.3 2>/dev/null && make_program peer_starpu; then
    peers="$peers starpu"
else
    absent StarPU "install libstarpu-dev"
fi
for program in overhead taskbench cholesky load; do
    make_program $program || exit 1
done

# Threads are kept on the same processors for everyone.
on() { # THREADS COMMAND..
    local n=$1
    shift
    STARPU_NCPU=$n STARPU_NCUDA=0 STARPU_NOPENCL=0 STARPU_SILENT=1 STARPU_CALIBRATE=0 \
        taskset -c "0-$((n - 1))" timeout 300 "$@" 2>>build/bench/errors.log >>"$results" ||
        echo "failed: $*" >&2
}
wanted() { case " $only " in *" $1 "*) true ;; *) false ;; esac; }
progress() { printf '%s  %s\n' "$(date +%H:%M:%S)" "$*" >&2; }

: >"$results"
: >build/bench/errors.log
{
    echo "# date $(date -u +%Y-%m-%dT%H:%M:%SZ)"
    echo "# machine $(lscpu | sed -n 's/^Model name: *//p'), $(nproc) processors, Linux $(uname -r)"
    if [ -n "$prebuilt" ]; then
        cat "$bin/compilers.txt"
    else
        echo "# compilers $(${CC:-gcc} --version | head -n 1); $(${CLANG:-clang} --version 2>/dev/null | head -n 1)"
    fi
} >>"$results"

if wanted overhead; then
    for round in $(seq "$rounds"); do
        for n in $threads; do
            for graph in independent chain wavefront random tree join fib; do
                progress "overhead, round $round, $n threads: $graph"
                on "$n" "$bin/overhead" --what $graph --threads "$n" --runs 5
                for peer in $peers; do
                    case $peer in
                    tbb) on "$n" "$bin/peer_tbb" --what $graph --threads "$n" --runs 3 ;;
                    # Microseconds a task and nothing kept from run to run: fewer tasks tell as much.
                    *)
                        [ $graph = join ] ||
                            on "$n" "$bin/peer_$peer" --what $graph --threads "$n" --runs 3 --tasks 200000
                        ;;
                    esac
                done
            done
            on "$n" "$bin/overhead" --what data --threads "$n" --runs 3
        done
    done
fi
if wanted patterns; then
    for n in ${threads##* }; do # with one thread nothing has to be scheduled
        for pattern in trivial no_comm stencil_1d stencil_1d_periodic dom tree fft all_to_all nearest spread random_nearest; do
            progress "Task Bench, $n threads: $pattern"
            on "$n" "$bin/taskbench" --pattern $pattern --threads "$n" --runs 5
            for peer in $peers; do
                runs=5
                [ "$peer" = starpu ] && runs=2
                on "$n" "$bin/peer_$peer" --pattern $pattern --threads "$n" --runs $runs
            done
        done
    done
fi
if wanted cholesky; then
    for n in $threads; do
        for tile in 256 64 32; do
            progress "Cholesky, $n threads: tiles of $tile"
            on "$n" "$bin/cholesky" --tile $tile --threads "$n" --runs 5
            for peer in gomp libomp; do
                case $peers in *$peer*) on "$n" "$bin/peer_cholesky_$peer" --tile $tile --threads "$n" --runs 5 ;; esac
            done
        done
    done
fi
if wanted load; then
    progress "loading"
    jsonl=build/bench/random.jsonl
    [ -s $jsonl ] || "$build/tgraph" gen random --tasks 1000000 --jsonl -o $jsonl
    on 1 "$bin/load" --file $jsonl --runs 3
    for round in 1 2 3; do
        begin=$(date +%s%N)
        "$build/tgraph" expand examples/graphs/cholesky.json -p NT=84 --stats >/dev/null &&
            printf 'expand cholesky NT=84\ttgraph\t1\tms\t%s\n' $((($(date +%s%N) - begin) / 1000000)) >>"$results"
    done
fi
if wanted cuda && nvidia-smi -L >/dev/null 2>&1; then
    progress "GPUs"
    for program in streams copies pool start cuda_tiles cuda_graphs cuda_rounds cuda_cholesky libnull-cuda.so; do
        make_program $program || exit 1
    done
    bench/cuda.sh "$bin" 2>>build/bench/errors.log >>"$results"
fi
bench/table.sh "$results"
