#!/bin/bash
# Every graph of the bundle (the examples, the templates, generated patterns, the exchange between all devices) on GPUs, compared with
# sequential execution on CPUs: by streams, as one CUDA graph that is replayed, and with fine tasks inside a resident kernel.
#
#     corpus.sh [-j JOBS] [-r REPLAYS] [-t SECONDS] [-m] [DEVICES..]
#
# DEVICES as run -D takes them; default cuda:0.  -r says how often each CUDA graph is started (1,000).  -m runs everything once more under
# compute-sanitizer's memcheck, with few replays and without comparing.  Jobs run side by side (-j 6), for so many seconds (-t 3600);
# failures are printed with the end of their output, a line for each kind of run says how many passed.  Exits 1 unless all did.
set -u
cd "$(dirname "$0")" || exit 1
export LD_LIBRARY_PATH=$PWD${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} TGRAPH_BLAS=${TGRAPH_BLAS:-off}
jobs=6 replays=1000 seconds=3600 memcheck=
while getopts j:r:t:m option; do
    case $option in
    j) jobs=$OPTARG ;;
    r) replays=$OPTARG ;;
    t) seconds=$OPTARG ;;
    m) memcheck=1 ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- cuda:0
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
if [ -n "$memcheck" ] && [ -z "$sanitizer" ]; then
    echo "FAIL  no compute-sanitizer"
    exit 1
fi

for pattern in chain tree wavefront random stencil1d fft sweep cholesky lu; do
    ./tgraph gen "$pattern" --tasks 200 -o "$scratch/$pattern.json" || exit 1
done
graphs=(graphs/*.json templates/*/*.json exchange.json "$scratch"/*.json)

# One run: KIND DEVICES GRAPH; its options are those of the kind.
one() {
    local kind=$1 devices=$2 graph=$3 log
    log=$scratch/log.$BASHPID
    local options=() checked=(--verify --compare sequential) with=() limit=120
    case $kind in
    streams*) options=(--executor streams) ;;
    graph*) options=(--executor graph --repeat "$replays") ;;
    resident*) options=(--executor resident --repeat 3) ;;
    esac
    case $kind in
    # A driver call that fails may be a question: the parameters of a user's kernel are counted until there is none.
    *+memcheck)
        limit=240 checked=()
        with=("$sanitizer" --tool memcheck --report-api-errors no --error-exitcode 9)
        [[ $kind == graph* ]] && options=(--executor graph --repeat 3)
        ;;
    graph) limit=300 checked=(--compare sequential) ;; # what a file checks may be the state after one run
    resident) checked=(--compare sequential) ;;
    esac
    if timeout $limit "${with[@]}" ./tgraph run "$graph" -D "$devices" "${options[@]}" "${checked[@]}" --save-dir "$scratch" >"$log" 2>&1; then
        echo "passed $kind $devices" >>"$scratch/results"
    else
        status=$?
        echo "failed $kind $devices" >>"$scratch/results"
        {
            echo "FAIL  ${graph#"$scratch/"} -D $devices $kind (status $status)"
            [[ $kind == *+memcheck ]] && grep -m 12 -A 6 '=========' "$log"
            tail -n 8 "$log"
        } >"$log.failed"
        cat "$log.failed"
    fi
    rm -f "$log"
}
export -f one
export scratch sanitizer replays

kinds="graph streams resident"
[ -z "$memcheck" ] || kinds="$kinds streams+memcheck graph+memcheck resident+memcheck"
for devices in "$@"; do
    for kind in $kinds; do
        for graph in "${graphs[@]}"; do
            printf '%s\0%s\0%s\0' "$kind" "$devices" "$graph"
        done
    done
done >"$scratch/runs"
wanted=$(($(tr -cd '\0' <"$scratch/runs" | wc -c) / 3))
timeout "$seconds" xargs -0 -n 3 -P "$jobs" bash -c 'one "$@"' corpus <"$scratch/runs"
touch "$scratch/results"
sort "$scratch/results" | uniq -c | sed 's/^ */corpus: /'
ended=$(wc -l <"$scratch/results")
[ "$ended" -eq $wanted ] || echo "corpus: $((wanted - ended)) of $wanted not ended within $seconds s"
[ "$ended" -eq $wanted ] && ! grep -q ^failed "$scratch/results"
