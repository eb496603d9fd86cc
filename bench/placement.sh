#!/bin/bash
# Whether placement pays: a graph of tasks that live from memory and tasks that compute, in real runs under `eager`, `heft` and
# `bandwidth`, beside the aim of 15 % (a ratio of 1.15).
#
#     bench/placement.sh [TGRAPH] [DEVICES..]
#
# DEVICES as run -D takes them; cpu:2 if none are given.  Kernels are measured first, on the same graph.  BENCH_RUNS runs of each
# policy (15), of which the median counts; the ratios of the shortest runs stand beside, as others may be at work on the machine.
# BENCH_ONLY is the name of a graph: only that one.
#
# On GPUs beside CPUs (cuda:0+cpu:12) the tasks that live from memory have their data on the host: a GPU is the faster one for each of them,
# data on the way included, but not for all of them at once, as they come over one link.
set -uo pipefail
tgraph=${1:-build/release/tgraph}
shift
devices=("$@")
[ $# -gt 0 ] || devices=(cpu:2)
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
runs=${BENCH_RUNS:-15}
graph=$here/graphs/mixed.json

# NAME, parameters
cases=(
    "two-steps STEPS=2"
    "eight-steps STEPS=8,M=8,C=8"
    "more-memory STEPS=2,M=24,C=12"
    "more-compute STEPS=2,M=8,C=24"
)
# What keeps a GPU busy.
gpu_cases=(
    "two-steps N=33554432,B=4096,M=16,C=16"
    "eight-steps N=33554432,B=4096,STEPS=8,M=8,C=8"
    "more-memory N=33554432,B=4096,M=24,C=12"
)
beside_cases=(
    "link N=8388608,M=48,C=16,B=1024,STEPS=1"
    "link-half N=8388608,M=32,C=32,B=1024,STEPS=1"
    "link-twice N=8388608,M=48,C=16,B=1024,STEPS=2"
)

echo "# $("$tgraph" --version), $(uname -n), $(date -u +%Y-%m-%d), load $(cut -d' ' -f1 /proc/loadavg)"
echo "# $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores $(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | sort | uniq -c | sed 's/^ */+ /' | paste -sd' ')"
printf '%-14s %-10s %11s %11s %11s   %9s %9s   %s\n' graph devices eager heft bandwidth eager/bw heft/bw 'of the shortest runs'
for where in "${devices[@]}"; do
    list=("${cases[@]}")
    [[ $where == cuda* ]] && list=("${gpu_cases[@]}")
    [[ $where == cuda*cpu* ]] && list=("${beside_cases[@]}")
    for case in "${list[@]}"; do
        read -r name params <<<"$case"
        [ "$name" = "${BENCH_ONLY:-$name}" ] || continue
        read -ra options <<<"$(printf -- '-p %s ' ${params//,/ })"
        if ! timeout 300 "$tgraph" -q calibrate -D "$where" --kernels "$graph" "${options[@]}" -o "$scratch/machine.json" ||
            ! timeout 300 "$tgraph" -q bench "$graph" "${options[@]}" -D "$where" --machine "$scratch/machine.json" --warmup 2 \
                --runs "$runs" --matrix policy=eager,heft,bandwidth --export-json "$scratch/bench.json"; then
            echo "failed: $name on $where" >&2
            continue
        fi
        sed -n 's/^ *"\(median_ns\|min_ns\)": \([0-9.e+]*\),*$/\1 \2/p' "$scratch/bench.json" |
            awk -v name="$name" -v where="$where" '
                $1 == "median_ns" { m[++n] = $2 }
                $1 == "min_ns" { s[n] = $2 }
                END { printf "%-14s %-10s %8.2f ms %8.2f ms %8.2f ms   %9.2f %9.2f   %.2f %.2f\n", name, where, m[1] / 1e6,
                          m[2] / 1e6, m[3] / 1e6, m[1] / m[3], m[2] / m[3], s[1] / s[3], s[2] / s[3] }' | tee -a "$scratch/table"
    done
done
awk '{ least = $9 < $10 ? $9 : $10; met += least >= 1.15; n++ }
     END { if (n == 0) exit 1; printf "# aim: bandwidth ahead of both by a ratio of 1.15: %s on %d of %d\n", met == n ? "met" : "MISSED", met, n }' "$scratch/table"
