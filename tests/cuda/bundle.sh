#!/bin/bash
# Packs build/cuda-bundle.tar.xz: the program, benchmarks, the test of all kernels and graphs to run, with every library
# but the C library's and the driver's, for a machine with a GPU and no compiler.  tests/cuda/run.sh runs it there.
#
#     tests/cuda/bundle.sh [BUILD-FOLDER]      default: build/release
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${1:-build/release}
bundle=build/cuda-bundle
tests="test_service test_service_instances test_service_programs test_service_watch test_service_faults"
benches="streams wakeups copies pool start cuda_calls cuda_cholesky cuda_graph_copies cuda_graphs cuda_hops cuda_nodes cuda_rounds cuda_tiles cuda_trsv library resident resident_run service tree_search"

make --no-print-directory CUDA=1 $build/tgraph $build/tests/cuda/run_kernels $build/tests/cuda/run_graphs $build/bench/libnull-cuda.so $build/bench/libtimed-cuda.so \
    $build/tests/cuda/add.cubin $build/tests/cuda/add.fatbin $(printf "$build/bench/%s " $benches) $(printf "$build/tests/%s " $tests)
rm -rf $bundle
mkdir -p $bundle/bench $bundle/tests
cp $(printf "$build/tests/%s " $tests) $bundle/tests/
cp $build/tgraph $build/tests/cuda/run_kernels $build/tests/cuda/run_graphs tests/cuda/run.sh tests/cuda/corpus.sh tests/cuda/faults.sh $bundle/
cp $(printf "$build/bench/%s " $benches) $build/bench/libnull-cuda.so $build/bench/libtimed-cuda.so $bundle/bench/
cp -r examples/graphs $bundle/graphs
cp -r io/templates $bundle/templates
cp -r tests/cuda/images $bundle/images
cp tests/cuda/exchange.json $bundle/
cp $build/tests/cuda/add.cubin $build/tests/cuda/add.fatbin $bundle/images/
cp bench/cuda.sh bench/table.sh bench/median.awk $bundle/
mkdir $bundle/predict
cp -r bench/predict.sh bench/graphs $bundle/predict/
# What the programs load, but for the C library and the driver; they look in the bundle first (run.sh).
for program in $bundle/tgraph $bundle/run_kernels $bundle/run_graphs $bundle/bench/* $bundle/tests/*; do
    ldd "$program" | awk '$2 == "=>" && $3 ~ /^\// {print $3}' |
        grep -vE '/(libc|libm|libdl|libpthread|librt|ld-linux[^/]*|libcuda)\.so' || true
done | sort -u | while read -r library; do
    cp -L "$library" $bundle/
done
find $bundle -type f -perm -u+x ! -name '*.sh' -exec strip --strip-debug {} +
LD_LIBRARY_PATH=$bundle $bundle/run_kernels --dry is_above
# The same device code is in most of the programs: a window as large as several of them keeps one copy.
tar -C build -cf - cuda-bundle | xz -T1 --lzma2=preset=1,dict=128MiB >$bundle.tar.xz
du -m $bundle.tar.xz
