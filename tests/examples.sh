#!/bin/bash
# Every graph of examples/graphs and of the templates runs, its checks hold, and its results are those
# of sequential execution.  TGRAPH is the program; build/release/tgraph if not given.
set -u
cd "$(dirname "$0")/.." || exit 1
tgraph=$(realpath "${TGRAPH:-build/release/tgraph}")
if ! [ -x "$tgraph" ]; then
    echo "there is no program $tgraph"
    exit 1
fi
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
unset MAKEFLAGS MAKELEVEL
failed=0

fail() {
    echo "FAILED: $*"
    failed=1
}

n=0
for graph in examples/graphs/*.json io/templates/*/*.json; do
    n=$((n + 1))
    grep -q '"checks"' "$graph" || fail "$graph has no checks"
    "$tgraph" run "$graph" --verify --save-dir "$folder" >"$folder/log" 2>&1 ||
        { fail "run $graph --verify"; cat "$folder/log"; }
    "$tgraph" run "$graph" --compare sequential --save-dir "$folder" >"$folder/log" 2>&1 ||
        { fail "run $graph --compare sequential"; cat "$folder/log"; }
done
[ "$n" -ge 12 ] || fail "only $n graphs found"
for line in $(grep -o '`[a-z0-9-]*\.json`' examples/graphs/README.md | tr -d '`'); do
    [ -e "examples/graphs/$line" ] || fail "examples/graphs/README.md names $line, which is not there"
done
for graph in examples/graphs/*.json; do
    grep -q "\`$(basename "$graph")\`" examples/graphs/README.md || fail "$graph is missing in README.md"
done

# A check that cannot fail proves nothing: each of these breaks one.
broken() {
    sed "$2" "examples/graphs/$1" >"$folder/$1"
    cmp -s "$folder/$1" "examples/graphs/$1" && fail "the edit of $1 changed nothing"
    "$tgraph" run "$folder/$1" --verify --save-dir "$folder" >/dev/null 2>&1
    [ $? -eq 5 ] || fail "$1 passes its checks after: $2"
}
broken cholesky.json 's/"trsm_rlt"/"trsm_run"/; s/"l": "A\[k,k\]"/"u": "A[k,k]"/'
broken decode.json 's/"parts": "T\/C"/"parts": "T\/C-1"/'
broken decode.json 's/"v": "v\[l,s,h\]@rows(t/"v": "v[l,s,0]@rows(t/'
broken lu.json 's/"unit": 1/"unit": 0/'
broken fft.json 's/"start": "i%(1<<s)\*M"/"start": 0/'
broken heat2d.json 's/"alpha": 0.2, "u": "u/"alpha": 0.1, "u": "u/'
broken mosaic.json 's/"in1": "gather\[6\]"/"in1": "gather[5]"/'
broken data-parallel.json 's/"op": "sum", "buffers": "g1\[\*\]"/"op": "sum", "buffers": ["g1[0]", "g1[1]"]/'
broken data-parallel.json 's/"RATE": 0.15/"RATE": -0.15/'
broken tensor-parallel.json 's/"op": "sum"/"op": "max"/'
broken pipeline.json 's/"from": "x\[G,m\]"/"from": "x[G-1,m]"/'
broken halo.json 's/"from": "u\[g+1,d\]@rows(1:2)"/"from": "u[g+1,s]@rows(1:2)"/'
broken hybrid-lu.json 's/"unit": 1/"unit": 0/'

# Tiles of the decoder may have any size that divides.
for sizes in "-p L=3 -p S=3 -p D=48 -p H=3 -p T=40 -p C=8 -p R=2 -p V=20 -p G=3" "-p R=E -p C=T -p G=1 -p D=96 -p H=3 -p T=130"; do
    # shellcheck disable=SC2086
    "$tgraph" run examples/graphs/decode.json $sizes --verify >"$folder/log" 2>&1 || { fail "decode.json with $sizes"; cat "$folder/log"; }
done

# Every generated pattern gives the results of sequential execution, in both forms.
for pattern in independent chain tree wavefront random stencil1d fft sweep spread nearest dom cholesky lu; do
    for form in json jsonl; do
        "$tgraph" gen "$pattern" --tasks 300 -o "$folder/$pattern.$form" &&
            "$tgraph" run "$folder/$pattern.$form" --compare sequential >"$folder/log" 2>&1 ||
            { fail "$pattern.$form"; cat "$folder/log"; }
    done
done
"$tgraph" gen cholesky --tasks 100 --tile 32 | "$tgraph" run - --verify >/dev/null 2>&1 || fail "gen cholesky | run"

# Imported workflows run in both ways.
for input in tests/import/*; do
    for how in "" "--spin --scale 0.0005"; do
        # shellcheck disable=SC2086
        "$tgraph" import "$input" $how -o "$folder/imported.json" 2>"$folder/log"
        status=$?
        if [ $status -eq 4 ]; then
            echo "not imported: $(cat "$folder/log")"
            continue
        fi
        [ $status -eq 0 ] && "$tgraph" run "$folder/imported.json" --compare sequential >"$folder/log" 2>&1 ||
            { fail "import $input $how"; cat "$folder/log"; }
    done
done

# The example of a matrix is what import makes of it, and its check sees a tile too many or too few.
"$tgraph" import examples/graphs/trsv.mtx --rows-per-task 6 -o "$folder/trsv.json" || fail "import trsv.mtx"
for part in json b.npy cols.npy expected.npy start.npy vals.npy; do
    cmp "$folder/trsv.$part" "examples/graphs/trsv.$part" || fail "trsv.$part is not what import writes"
done
broken_rows() {
    sed "$1" examples/graphs/trsv.json >"$folder/trsv.json"
    cmp -s "$folder/trsv.json" examples/graphs/trsv.json && fail "the edit of trsv.json changed nothing"
    "$tgraph" run "$folder/trsv.json" --verify --save-dir "$folder" >/dev/null 2>&1
    [ $? -eq "$2" ] || fail "trsv.json does not end with $2 after: $1"
}
broken_rows 's/"in0": "x\[5\]"/"in0": "x[4]"/' 5
broken_rows 's/, "in0": "x\[0\]"/, "in7": "x[0]"/' 1
for form in json jsonl; do
    "$tgraph" import examples/graphs/trsv.mtx -o "$folder/rows.$form" --rhs examples/graphs/trsv.vals.npy 2>"$folder/log"
    [ $? -eq 1 ] || fail "a right-hand side of another size"
    "$tgraph" import examples/graphs/trsv.mtx -o "$folder/rows.$form" --rhs examples/graphs/trsv.b.npy &&
        "$tgraph" run "$folder/rows.$form" --verify --save-dir "$folder" >"$folder/log" 2>&1 ||
        { fail "rows.$form"; cat "$folder/log"; }
done

# fmt: what it lays out is still the same graph; --check says no with 1, a broken file with 3.
printf '{"tasks":[{"kernel":"k","id":"t","args":{"n":1,"id":2,"out":"x"}}],"kernels":{"k":{"builtin":"hash"}},%s' \
    '"buffers":{"x":{"shape":[1],"dtype":"u64"}},"tgraph":"1.0"}' >"$folder/raw.json"
"$tgraph" fmt --check "$folder/raw.json" >/dev/null 2>&1
[ $? -eq 1 ] || fail "fmt --check of a raw file"
"$tgraph" fmt "$folder/raw.json" -o "$folder/neat.json" && "$tgraph" fmt --check "$folder/neat.json" || fail "fmt -o"
"$tgraph" fmt -i "$folder/raw.json" && cmp -s "$folder/raw.json" "$folder/neat.json" || fail "fmt -i"
"$tgraph" check "$folder/neat.json" >/dev/null 2>&1 || fail "fmt spoils a graph"
echo '{"tgraph":' | "$tgraph" fmt - >/dev/null 2>&1
[ $? -eq 3 ] || fail "fmt of a broken file"

# Templates: what init writes runs, and nothing is overwritten.
for template in hello cholesky jacobi; do
    "$tgraph" init "$folder/$template" --template $template >/dev/null 2>&1 || fail "init $template"
    (cd "$folder/$template" && "$tgraph" run "$template.json" --verify >/dev/null 2>&1) || fail "run of $template"
    "$tgraph" init "$folder/$template" --template $template >/dev/null 2>&1 && fail "init overwrote $template"
done

# The C program is built by its own Makefile, which finds the library of this tree through pkg-config.
library=$(dirname "$tgraph")
if [ -z "${SAN:-}" ] && [ -e "$library/libtgraph.so" ] && command -v pkg-config >/dev/null; then
    "$tgraph" init "$folder/c-api" --template c-api >/dev/null 2>&1 || fail "init c-api"
    printf '%s\n' "libdir=$library" 'Name: tgraph' 'Description: this tree' 'Version: 0' "Cflags: -I$PWD/graph" \
        "Libs: -L$library -ltgraph" >"$folder/tgraph.pc"
    PKG_CONFIG_PATH=$folder ${MAKE:-make} -s -C "$folder/c-api" >"$folder/log" 2>&1 || fail "make of c-api"
    [ -s "$folder/log" ] && { fail "c-api does not build without remarks"; cat "$folder/log"; }
    "$folder/c-api/pi" | grep -q '^pi = 3.14159265' || fail "c-api computes something else"
fi
exit $failed
