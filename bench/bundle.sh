#!/bin/bash
# Packs build/bench-bundle.tar.gz: the benchmarks of CPUs, those of their peers that are installed, and the libraries
# all of them need, for a quiet machine without a compiler.  There:  BENCH_PREBUILT=1 bench/run.sh build/cpu
set -euo pipefail
cd "$(dirname "$0")/.."
build=build/cpu
bundle=build/bench-bundle
programs="overhead taskbench cholesky load"
peers="peer_tbb peer_gomp peer_libomp peer_starpu peer_cholesky_gomp peer_cholesky_libomp"

make --no-print-directory CUDA=0 B=$build $build/tgraph $(printf "$build/bench/%s " $programs)
for peer in $peers; do
    make --no-print-directory CUDA=0 B=$build $build/bench/"$peer" || echo "without $peer" >&2
done
rm -rf $bundle
mkdir -p $bundle/$build/bench $bundle/lib $bundle/examples
cp $build/tgraph $bundle/$build/
for program in $programs $peers; do
    [ -x $build/bench/"$program" ] && cp $build/bench/"$program" $bundle/$build/bench/
done
echo "# compilers $(${CC:-gcc} --version | head -n 1); $(${CLANG:-clang} --version 2>/dev/null | head -n 1)" >$bundle/$build/bench/compilers.txt
cp -r bench $bundle/bench
cp -r examples/graphs $bundle/examples/
for program in $bundle/$build/tgraph $bundle/$build/bench/*; do
    ldd "$program" 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// {print $3}' |
        grep -vE '/(libc|libm|libdl|libpthread|librt|ld-linux[^/]*)\.so' || true
done | sort -u | while read -r library; do
    cp -L "$library" $bundle/lib/
done
tar -C build -czf $bundle.tar.gz bench-bundle
du -m $bundle.tar.gz
