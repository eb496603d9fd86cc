#!/bin/bash
# Runs what tests/cuda/bundle.sh packed, on a machine with a GPU, and prints the table last.
#
#     run.sh [NAME..]       names of kernels; default: all
#
# Output also goes to $OUT, if that is set.  Exits 1 if a kernel differs from its CPU variant.
cd "$(dirname "$0")" || exit 1
out=${OUT:-$(mktemp -d)}
export LD_LIBRARY_PATH=$PWD${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} TGRAPH_BLAS=off
rc=0

find_tool() {
    command -v "$1" || ls /usr/local/cuda/bin/"$1" 2>/dev/null
}

# Which instructions the kernels that matter came out as.
if cuobjdump=$(find_tool cuobjdump); then
    for kernel in tgk_gemm_nt_f64 tgk_gemm_nt_f32 tgk_axpy_f64 tgk_copy_u8 tgk_hash tgk_sum_f64 tgk_softmax_f32; do
        timeout 60 "$cuobjdump" -sass -fun $kernel kernels.fatbin >"$out/$kernel.sass" 2>/dev/null
        awk -v kernel=$kernel '
            /LDG.*\.128/ {wide++} /LDG/ {loads++} /STG.*\.128/ {wide_out++} /STG/ {stores++} /DMMA/ {dmma++; if (match($0, /DMMA[.0-9A-Zx]*/)) shape = substr($0, RSTART, RLENGTH)}
            /LDGSTS.*128/ {async++} /FFMA/ {ffma++} /LDL|STL/ {local++}
            END {printf "%-18s LDG %d (128: %d)  STG %d (128: %d)  LDGSTS.128 %d  DMMA %d %s  FFMA %d  local %d\n", kernel,
                 loads, wide, stores, wide_out, async, dmma, shape, ffma, local}' "$out/$kernel.sass"
        rm -f "$out/$kernel.sass"
    done
fi

if sanitizer=$(find_tool compute-sanitizer); then
    for tool in memcheck racecheck; do
        timeout 45 "$sanitizer" --tool $tool --error-exitcode 9 ./run_kernels --quick "$@" >"$out/$tool.txt" 2>&1
        status=$?
        echo "compute-sanitizer $tool: $(tail -n 1 "$out/$tool.txt") (status $status; 124: out of time)"
        [ $status = 9 ] && rc=1 && grep -m 12 -A 6 '=========' "$out/$tool.txt"
    done
fi

# Every graph on one device, on one beside CPUs, and on all.
n_devices=$(nvidia-smi -L | wc -l)
all=$(seq -s, 0 $((n_devices - 1)))
run_corpus() {
    ./corpus.sh "$@" >"$out/corpus.txt" 2>&1 || rc=1
    grep -v '^ok ' "$out/corpus.txt"
}
run_corpus -r 20 cuda:0 cuda:0+cpu
[ "$n_devices" -lt 2 ] || run_corpus -r 20 "cuda:$all"
[ -z "$sanitizer" ] || run_corpus -m 8 cuda:0

# Compiled code of a user's: PTX, a cubin and a fat binary, by streams and as a graph; and what each is refused for.
images=0
for options in "--executor streams" "--executor graph --repeat 3"; do
    if timeout 60 ./tgraph run images/images.json -D cuda:0 $options --verify --compare sequential >"$out/images.txt" 2>&1; then
        images=$((images + 1))
    else
        echo "FAIL  images/images.json $options (status $?)"
        tail -n 12 "$out/images.txt"
        rc=1
    fi
done
refused() { # SED-COMMAND MESSAGE
    sed "$1" images/images.json >images/broken.json
    timeout 60 ./tgraph run images/broken.json -D cuda:0 >"$out/images.txt" 2>&1
    local status=$?
    if [ $status -ge 1 ] && [ $status -le 4 ] && grep -q "$2" "$out/images.txt"; then
        images=$((images + 1))
    else
        echo "FAIL  images/images.json after $1: status $status"
        tail -n 5 "$out/images.txt"
        rc=1
    fi
}
head -c 100 images/add.ptx >images/part.ptx
refused 's/"entry": "add_ptx"/"entry": "sub_ptx"/' 'its module has no kernel "sub_ptx"'
refused 's/"add.ptx"/"part.ptx"/' 'loading kernel "ptx" on cuda:0'
refused 's/"add.cubin"/"images.json"/' 'loading kernel "cubin" on cuda:0'
refused 's/"block": \[64\]/"block": [2048]/' 'block along x is 2048'
rm -f images/broken.json images/part.ptx
echo "compiled code of a user's: $images of 6 as they should be"

# Tasks that fail, wait too long, are stopped and killed.
timeout 300 ./faults.sh ./tgraph cuda:0 >"$out/faults.txt" 2>&1 || rc=1
grep -A 12 '^FAIL' "$out/faults.txt"
tail -n 1 "$out/faults.txt"

# Every call of a service and its states, as on the stand-in driver; skipped is what tells that one to do something.
n_multiprocessors=$(./tgraph devices --format json | sed -n 's/.*"multiprocessors": \([0-9]*\).*/\1/p' | head -n 1)
for test in tests/*; do
    name=$(basename "$test")
    if TGRAPH_TEST_MULTIPROCESSORS=$n_multiprocessors timeout 120 "$test" >"$out/$name.txt" 2>&1; then
        echo "$name: $(grep -c '^\[       OK \]' "$out/$name.txt") passed, $(grep -c '^\[  SKIPPED \]' "$out/$name.txt") lines skipped"
    else
        echo "FAIL  $name (status $?)"
        grep -A 4 'ERROR\|FAILED' "$out/$name.txt" | head -n 20
        rc=1
    fi
done

# A service: from the shell, and under mixed load with every answer compared.
if [ "$(printf '%s\n' hello :status | timeout 60 ./tgraph serve 2>"$out/serve.txt" | head -n 1)" != hello ]; then
    echo "FAIL  tgraph serve"
    tail -n 5 "$out/serve.txt"
    rc=1
fi
if timeout 180 bench/service --what soak --runs 20 >"$out/soak.txt" 2>&1; then
    echo "service: $(head -n 1 "$out/soak.txt")"
else
    echo "FAIL  bench/service --what soak (status $?)"
    tail -n 5 "$out/soak.txt"
    rc=1
fi

timeout 85 ./run_kernels "$@" 2>&1 | tee "$out/kernels.txt"
status=${PIPESTATUS[0]}
[ "$status" = 0 ] || rc=1
exit $rc
