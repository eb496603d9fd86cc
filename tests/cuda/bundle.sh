#!/bin/bash
# Packs build/cuda-bundle: everything that tests/cuda/run.sh needs on a machine with a GPU and no compiler.
#
#     tests/cuda/bundle.sh [ARCHS]      default: 90
set -euo pipefail
cd "$(dirname "$0")/../.."
archs=${1:-90}
build=build/cuda
bundle=build/cuda-bundle

make --no-print-directory CUDA=1 ARCHS="$archs" B=$build $build/tests/cuda/run_kernels
rm -rf $bundle
mkdir -p $bundle
cp $build/tests/cuda/run_kernels $build/kernels.fatbin tests/cuda/run.sh $bundle/
# What the program loads, but for the C library and the driver; it looks beside itself first.
libraries() {
    ldd "$1" | awk '$2 == "=>" && $3 ~ /^\// {print $3}' |
        grep -vE '/(libc|libm|libdl|libpthread|librt|ld-linux[^/]*|libcuda)\.so' || true
}
libraries $bundle/run_kernels | sort -u | while read -r library; do
    cp -L "$library" $bundle/
done
strip --strip-debug $bundle/run_kernels
du -sm $bundle | awk '{print $2 ": " $1 " MiB"; if ($1 > 40) exit 1}'
LD_LIBRARY_PATH=$bundle $bundle/run_kernels --dry is_above
