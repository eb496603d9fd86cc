#!/bin/bash
# Compares gpu/cuda_api.h with the cuda.h of a toolkit: sizes, offsets, values and signatures.
# CUDA_HOME names the toolkit; without one the check is skipped (77).
set -eu
cd "$(dirname "$0")/.."

include=${CUDA_HOME:-/usr/local/cuda}/include
if [ ! -e "$include/cuda.h" ]; then
    echo "there is no $include/cuda.h"
    exit 77
fi
version=$(sed -n 's/^#define CUDA_VERSION \([0-9]*\)$/\1/p' "$include/cuda.h")
if [ "${version:-0}" -lt 12040 ]; then
    echo "$include/cuda.h is of version ${version:-unknown}; 12040 or later is needed"
    exit 77
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
grep -oE '\b(CU|CUDA)_[A-Z0-9_]+( =|, [0-9]+\)| +(0x)?[0-9]+$)' gpu/cuda_api.h | grep -oE '^[A-Z0-9_]+' | sort -u |
    grep -vE '^CU_STREAM_(LEGACY|PER_THREAD)$' | sed 's/.*/VALUE(&)/' >"$work/values.h"

cc=${CC:-gcc}
$cc -std=gnu11 -Wall -Wextra -Werror -I. -I"$work" -o "$work/ours" tests/standin/abi.c
$cc -std=gnu11 -DCOMPARE_WITH_CUDA_H -I. -I"$work" -isystem "$include" -o "$work/theirs" tests/standin/abi.c
"$work/ours" >"$work/ours.txt"
"$work/theirs" >"$work/theirs.txt"
diff "$work/ours.txt" "$work/theirs.txt"
echo "$(wc -l <"$work/ours.txt") sizes, offsets and values agree with CUDA $version"
