#!/bin/bash
# What happens on a device when tasks fail, wait too long, are stopped or killed (tests/cuda/faults.sh), on the stand-in driver.
set -u
cd "$(dirname "$0")/.." || exit 1
tgraph=$(realpath "${TGRAPH:-build/release/tgraph}")
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
. tests/standin/environment.bash
unset TGRAPH_RESIDENT_KERNEL
tests/cuda/faults.sh "$tgraph"
