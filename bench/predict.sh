#!/bin/bash
# Calibrates, predicts, measures: how far a plan's makespan is from that of the run, for Cholesky, a transformer block and stencils
# that memory limits.
#
#     bench/predict.sh [TGRAPH] [DEVICES..]
#
# DEVICES as run -D takes them; cpu:1 and cpu:2 if none are given.  Kernels are measured on a smaller graph than the one that is
# predicted wherever the sizes of tiles do not depend on it.  BENCH_RUNS runs each (15), of which the median counts.
#
# "away" is the part of the tasks' time that is beyond the median of their kernel, in the last run: where others have the processor for a
# while, single tasks take a hundred times as long, which no plan can know.  Rows with more than BENCH_AWAY percent (5) of it are
# printed, and left out of the first of the two errors at the end.
#
# BENCH_KEEP=FOLDER keeps there the machine file of each row, what its runs said, and the record of one more run.
set -uo pipefail
tgraph=${1:-build/release/tgraph}
shift
devices=("$@")
[ $# -gt 0 ] || devices=(cpu:1 cpu:2)
here=$(cd "$(dirname "$0")" && pwd)
graphs=$here/../examples/graphs
[ -d "$graphs" ] || graphs=$here/../graphs
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
runs=${BENCH_RUNS:-15}
away_most=${BENCH_AWAY:-5}

# NAME FILE, parameters to measure with, parameters to predict: as -p takes them, several joined by commas; the executor, streams if there is none
cases=(
    "cholesky-128 $graphs/cholesky.json NT=12 NT=16"
    "cholesky-256 $graphs/cholesky.json B=256,NT=6 B=256,NT=10"
    "transformer-512 $graphs/transformer.json T=512,D=512 T=512,D=512"
    "heat-8MiB $here/graphs/heat.json STEPS=4 STEPS=20"
    "heat-2MiB $here/graphs/heat.json NY=256,G=32,STEPS=4 NY=256,G=32,STEPS=20"
)
# What keeps a GPU busy; -D cuda without CPUs measures kernels there alone.
gpu_cases=(
    "cholesky-1024 $graphs/cholesky.json B=1024,NT=12 B=1024,NT=20"
    "cholesky-2048 $graphs/cholesky.json B=2048,NT=8 B=2048,NT=12"
    "cholesky-1024-graph $graphs/cholesky.json B=1024,NT=12 B=1024,NT=12 graph"
    "cholesky-128 $graphs/cholesky.json NT=12 NT=16"
    "cholesky-128-graph $graphs/cholesky.json NT=12 NT=16 graph"
    "transformer-2048 $graphs/transformer.json T=2048,D=2048 T=2048,D=2048"
    "transformer-2048-graph $graphs/transformer.json T=2048,D=2048 T=2048,D=2048 graph"
    "heat-128MiB $here/graphs/heat.json NY=4096,NX=4096,STEPS=4 NY=4096,NX=4096,STEPS=40"
)
params() { # JOINED
    local one
    for one in ${1//,/ }; do
        printf -- '-p %s ' "$one"
    done
}
number() { # NAME FILE
    sed -n "s/^ *\"$1\": \([0-9.e+]*\),*\$/\1/p" "$2" | head -n 1
}

echo "# $("$tgraph" --version), $(uname -n), $(date -u +%Y-%m-%d), load $(cut -d' ' -f1 /proc/loadavg)"
echo "# $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores $(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | sort | uniq -c | sed 's/^ */+ /' | paste -sd' ')"
printf '%-22s %-8s %12s %12s %9s %12s %11s %8s\n' graph devices predicted median error least 'half within' away
for where in "${devices[@]}"; do
    list=("${cases[@]}")
    [[ $where == cuda* ]] && list=("${gpu_cases[@]}")
    for case in "${list[@]}"; do
        read -r name file small large executor <<<"$case"
        # shellcheck disable=SC2046
        if ! "$tgraph" -q calibrate -D "$where" --kernels "$file" $(params "$small") -o "$scratch/machine.json" ||
            ! "$tgraph" --format json run "$file" $(params "$large") -D "$where" --machine "$scratch/machine.json" \
                ${executor:+--executor "$executor"} --warmup 2 --repeat "$runs" --save-dir "$scratch" >"$scratch/run.json"; then
            echo "failed: $name on $where" >&2
            continue
        fi
        if [ -n "${BENCH_KEEP:-}" ]; then
            kept=$BENCH_KEEP/$name-$where
            cp "$scratch/machine.json" "$kept.machine.json"
            cp "$scratch/run.json" "$kept.run.json"
            # shellcheck disable=SC2046
            "$tgraph" -q run "$file" $(params "$large") -D "$where" --machine "$scratch/machine.json" ${executor:+--executor "$executor"} \
                --warmup 2 --save-dir "$scratch" --record "$kept.tgr" >/dev/null
        fi
        away=$(sed -n 's/.*"tasks": \([0-9]*\), "total_ns": \([0-9]*\), "median_ns": \([0-9]*\).*/\1 \2 \3/p' "$scratch/run.json" |
            awk '{ all += $2; usual += $1 * $3 } END { print (all > usual ? 100 * (1 - usual / all) : 0) }')
        predicted=$(number predicted_ns "$scratch/run.json")
        measured=$(number makespan_ns "$scratch/run.json")
        sed -n 's/^ *"makespans_ns": \[\(.*\)\],*$/\1/p' "$scratch/run.json" | tr -d ' ' | tr , '\n' >"$scratch/runs"
        awk -v name="$name" -v where="$where" -v predicted="${predicted:-0}" -v measured="$measured" -v away="$away" '
            { ns[NR] = $1 }
            END {
                if (predicted == 0) { printf "%-22s %-8s %12s %9.3f ms\n", name, where, "none", measured / 1e6; exit }
                # the list is sorted
                printf "%-22s %-8s %9.3f ms %9.3f ms %+7.1f %% %9.3f ms %9.1f %% %6.1f %%\n", name, where, predicted / 1e6, measured / 1e6,
                    100 * (predicted / measured - 1), ns[1] / 1e6, 100 * (ns[int(NR * 3 / 4) + (NR > 1)] - ns[int(NR / 4) + 1]) / measured, away
            }' "$scratch/runs" | tee -a "$scratch/table"
    done
done
awk -v most="$away_most" '
    function tell(what, list, n,   i, k, t) {
        if (n == 0) { printf "# error %s: there are none\n", what; return }
        for (i = 1; i <= n; i++) for (k = i + 1; k <= n; k++) if (list[k] < list[i]) { t = list[i]; list[i] = list[k]; list[k] = t }
        printf "# error %s: median %.1f %%, worst %.1f %% of %d (aim: 5 and 10)\n", what, (list[int((n + 1) / 2)] + list[int(n / 2) + 1]) / 2, list[n], n
    }
    { for (i = 1; i <= NF; i++) if ($i == "%" && $(i - 1) ~ /^[+-]/) {
          e = $(i - 1); e = e < 0 ? -e : e; all[++n] = e
          if ($(NF - 1) <= most) quiet[++q] = e } }
    END { if (n == 0) exit 1
          tell("undisturbed", quiet, q); tell("in all", all, n) }' "$scratch/table"
