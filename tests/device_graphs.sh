#!/bin/bash
# Every graph of examples/graphs and of the templates, and generated patterns, on 1, 2 and 4 devices of the stand-in
# driver, by streams under several seeds of its order and as CUDA graphs: checks hold, results are those of sequential execution, and the driver sees
# neither misuse nor leaks.  SEEDS="1 2 3" chooses the seeds, DEVICES="1 2 4" how many devices.
set -u
cd "$(dirname "$0")/.." || exit 1
tgraph=$(realpath "${TGRAPH:-build/release/tgraph}")
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
. tests/standin/environment.bash
# Sanitizers make everything ten times slower and look at the same code each time.
if [ -n "${SAN:-}" ]; then
    seeds=${SEEDS:-1} devices=${DEVICES:-2}
else
    seeds=${SEEDS:-1 2} devices=${DEVICES:-1 2 4}
fi
failed=0

try() { # SEED DEVICES GRAPH OPTIONS..
    rm -f "$scratch/report"
    TGRAPH_STANDIN_SEED=$1 TGRAPH_STANDIN_DEVICES=$2 "$tgraph" run "${@:3}" -D cuda --save-dir "$scratch" >"$scratch/log" 2>&1 &&
        grep -q ' 0 violations, 0 leaks' "$scratch/report" && return
    echo "FAILED: TGRAPH_STANDIN_SEED=$1 TGRAPH_STANDIN_DEVICES=$2 tgraph run ${*:3} -D cuda"
    cat "$scratch/log" "$scratch/report" 2>/dev/null | head -n 40
    failed=1
}

for pattern in chain tree wavefront random stencil1d fft sweep cholesky lu; do
    "$tgraph" gen "$pattern" --tasks 200 -o "$scratch/$pattern.json" || failed=1
done
for n in $devices; do
    for seed in $seeds; do
        for graph in examples/graphs/*.json io/templates/*/*.json; do
            try "$seed" "$n" "$graph" --verify --compare sequential
        done
        for graph in "$scratch"/*.json; do
            try "$seed" "$n" "$graph" --compare sequential
        done
        # Little memory: what lies on a device has to go and come back.
        try "$seed" "$n" examples/graphs/cholesky.json --verify --device-mem 3MiB --repeat 2
        try "$seed" "$n" examples/graphs/lu.json --verify --device-mem 3MiB
        try "$seed" "$n" examples/graphs/heat2d.json --verify --compare sequential --device-mem 1500KiB
    done
    # As one CUDA graph, which the later starts replay, and with fine tasks inside a kernel.
    for graph in examples/graphs/*.json io/templates/*/*.json "$scratch"/*.json; do
        try "$n" "$n" "$graph" --compare sequential --executor graph --repeat 4
        try "$n" "$n" "$graph" --compare sequential --executor resident --repeat 3
    done
    # In kernels that wait for each other, one on each device.
    [ "$n" -gt 1 ] || continue
    export TGRAPH_STANDIN_PEERS=2 TGRAPH_RESIDENT_SPREAD=on
    unset TGRAPH_RESIDENT_KERNEL
    for pattern in stencil1d random fft; do
        try "$n" "$n" "$scratch/$pattern.json" --compare sequential --executor resident --repeat 3
        grep -q 'resident: [1-9][0-9]* of the kernels \(is\|are\) on several devices at once' "$scratch/log" && continue
        echo "FAILED: $pattern is not spread over $n devices"
        cat "$scratch/log"
        failed=1
    done
    export TGRAPH_RESIDENT_KERNEL=embedded
    unset TGRAPH_STANDIN_PEERS TGRAPH_RESIDENT_SPREAD
done
exit $failed
