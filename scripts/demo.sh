#!/bin/sh
# What `make demo` shows: a graph from a file is run and verified, then drawn.
set -eu
cd "$(dirname "$0")/.."
tgraph=$1

show() {
    echo "\$ $*"
    "$@"
}
show "$tgraph" run examples/graphs/cholesky.json --verify --gantt build/schedule.svg
echo
show "$tgraph" export examples/graphs/cholesky.json -p NT=6 --critical-path -o build/cholesky.svg
echo
echo "build/schedule.svg shows what ran when and where, build/cholesky.svg the graph for a small matrix."
