#!/bin/bash
# What checkpoints cost a run, beside the aim of 1 %: Cholesky on CPUs, with groups as often as the program takes them by itself.
#
#     bench/checkpoint.sh [TGRAPH] [FOLDER]
#
# FOLDER is where checkpoints go (a temporary one).  "held up" is the part of the run during which no task could begin, as the run has
# measured it; beside it the median of BENCH_RUNS (5) runs with checkpoints over that of as many without, taken in turns, which others at
# work on the machine move more than checkpoints do.
set -uo pipefail
tgraph=${1:-build/release/tgraph}
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d -p "${2:-${TMPDIR:-/tmp}}")
trap 'rm -rf "$scratch"' EXIT
runs=${BENCH_RUNS:-5}
cases=(
    "NT=24,B=256"
    "NT=12,B=512"
)
number() { # NAME FILE
    sed -n "s/.*\"$1\": \([0-9.e+]*\).*/\1/p" "$2" | head -n 1
}

echo "# $("$tgraph" --version), $(uname -n), $(date -u +%Y-%m-%d), load $(cut -d' ' -f1 /proc/loadavg)"
echo "# $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores"
printf '%-14s %12s %12s %8s %8s %12s %10s\n' cholesky without with ratio groups written 'held up'
for case in "${cases[@]}"; do
    read -ra options <<<"$(printf -- '-p %s ' ${case//,/ })"
    for _ in $(seq "$runs"); do
        for how in without with; do
            rm -rf "$scratch/kept"
            extra=()
            [ $how = with ] && extra=(--checkpoint "$scratch/kept")
            timeout 300 "$tgraph" --format json run "$here/../examples/graphs/cholesky.json" "${options[@]}" -D cpu "${extra[@]}" \
                >"$scratch/out" || exit 1
            echo "$how $(number makespan_ns "$scratch/out") $(number groups "$scratch/out") $(number written_bytes "$scratch/out") $(number closed_ns "$scratch/out")"
        done
    done | awk -v name="$case" '
        function middle(list, n,   i, k, t) {
            for (i = 1; i <= n; i++) for (k = i + 1; k <= n; k++) if (list[k] < list[i]) { t = list[i]; list[i] = list[k]; list[k] = t }
            return list[int((n + 1) / 2)]
        }
        $1 == "without" { a[++n] = $2 }
        $1 == "with" { b[++m] = $2; groups[m] = $3; bytes[m] = $4; held[m] = 100 * $5 / $2 }
        END { if (!n || !m) exit 1
              x = middle(a, n); y = middle(b, m)
              printf "%-14s %9.2f s  %9.2f s  %8.3f %8d %9.0f MB %8.2f %%\n", name, x / 1e9, y / 1e9, y / x, middle(groups, m), middle(bytes, m) / 1e6, middle(held, m) }' | tee -a "$scratch/table"
done
awk '{ if ($(NF - 1) > most) most = $(NF - 1) } END { if (NR == 0) exit 1; printf "# aim: held up for less than 1 %% of the run: %s, %.2f %% at most\n", most < 1 ? "met" : "MISSED", most }' "$scratch/table"
