#!/bin/bash
# The programs in examples/c build and run against an installed tree, found through pkg-config; the
# library exports what the header declares and nothing else; uninstall leaves nothing behind.
set -euo pipefail

if [ -n "${SAN:-}" ]; then
    echo "sanitized builds are not installed"
    exit 77
fi
make=${MAKE:-make}
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

$make --no-print-directory install PREFIX="$stage/usr" >/dev/null
export PKG_CONFIG_PATH=$stage/usr/lib/pkgconfig
export LD_LIBRARY_PATH=$stage/usr/lib

for source in examples/c/*.c; do
    name=$(basename "$source" .c)
    ${CC:-gcc} -std=c11 -O2 -Wall -Wextra -pedantic -Werror "$source" -o "$stage/$name" \
        $(pkg-config --cflags --libs tgraph) -lm -ldl
    echo "$name:"
    status=0
    "$stage/$name" | tee "$stage/said" || status=$?
    # 4: there is nothing to run on, which has been said.
    [ $status = 0 ] || { [ $status = 4 ] && grep -q '^no GPU' "$stage/said"; }
done
# On this machine it may have had nothing to do; on the driver for tests it has.
tests=$PWD/build/${VARIANT:-release}/tests
own=$(TGRAPH_CUDA_DRIVER=$tests/libstandin-cuda.so TGRAPH_CUDA_KERNELS=$tests/standin-kernels.txt \
      TGRAPH_STANDIN_REPORT=$stage/report "$stage/own_stream")
[ "$own" = "x = 1: y[1000] = 1003
x = 2: y[1000] = 1006
x = 3: y[1000] = 1009" ]
cat "$stage/report"
grep -qx "standin: 0 violations, 0 leaks" "$stage/report"
service=$(TGRAPH_CUDA_DRIVER=$tests/libstandin-cuda.so TGRAPH_CUDA_KERNELS=$tests/standin-kernels.txt "$stage/service")
[ "$service" = "10000 messages answered, 0 wrong" ]
for name in mlp_server actors; do
    TGRAPH_CUDA_DRIVER=$tests/libstandin-cuda.so TGRAPH_CUDA_KERNELS=$tests/standin-kernels.txt TGRAPH_STANDIN_REPORT=$stage/report \
        TGRAPH_NVRTC=$tests/libstandin-nvrtc.so TGRAPH_CACHE_DIR=$stage/cache "$stage/$name" | tee "$stage/said"
    grep -q '0 .*wrong$' "$stage/said"
    grep -qx "standin: 0 violations, 0 leaks" "$stage/report"
done
own=$(TGRAPH_CUDA_DRIVER=$tests/libstandin-cuda.so TGRAPH_CUDA_KERNELS=$tests/standin-kernels.txt \
      TGRAPH_STANDIN_REPORT=$stage/report "$stage/own_graph")
[ "$(echo "$own" | head -1)" = "960 tasks, the same results three times; the shortest of 20 starts:" ]
grep -qx "standin: 0 violations, 0 leaks" "$stage/report"
[ "$("$stage/hello")" = "2 + 40 = 42" ]

# The same program from the static library.
${CC:-gcc} -std=c11 -O2 examples/c/hello.c -o "$stage/static" -I"$stage/usr/include" "$stage/usr/lib/libtgraph.a" \
    $(pkg-config --libs --static tgraph | sed 's/-ltgraph//')
[ "$(LD_LIBRARY_PATH= "$stage/static")" = "2 + 40 = 42" ]

echo "exported:"
nm -D --defined-only "$stage/usr/lib/libtgraph.so" | awk '{print $3}' | sort >"$stage/exported"
if grep -v '^tg_' "$stage/exported"; then
    echo "these should not be exported"
    exit 1
fi
grep -ohE '\btg_[a-z_]+\(' graph/tgraph.h graph/tgraph_service.h | tr -d '(' | sort -u >"$stage/named"
inline=$(grep -oE 'static inline .*\b(tg_[a-z_]+)\(' graph/tgraph.h | grep -oE 'tg_[a-z_]+\($' | tr -d '(' | sort -u)
missing=$(comm -23 "$stage/named" "$stage/exported" | grep -vxF "$inline" || true)
if [ -n "$missing" ]; then
    echo "declared or mentioned in the header, but not in the library: $missing"
    exit 1
fi

[ "$("$stage/usr/bin/tgraph" --version)" ]
man=$(find "$stage/usr/share/man" -name '*.1' -size +0 | wc -l)
[ "$man" -ge 10 ]
$make --no-print-directory uninstall PREFIX="$stage/usr" >/dev/null
left=$(find "$stage/usr" ! -type d)
if [ -n "$left" ]; then
    echo "uninstall leaves: $left"
    exit 1
fi
