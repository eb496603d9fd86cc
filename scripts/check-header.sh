#!/bin/sh
# Each public header compiles alone as C99, C11 and C++11, without a warning.
set -eu
cd "$(dirname "$0")/.."

try() { # COMPILER LANGUAGE STANDARD
    for header in tgraph.h tgraph_service.h tgraph_resident.h; do
        printf '#include "%s"\nextern int tg_more; /* a header may declare nothing */\n' "$header" | "$1" -x "$2" -std="$3" -Wall -Wextra -pedantic -Werror -fsyntax-only -Igraph -
    done
}
try "${CC:-gcc}" c c99
try "${CC:-gcc}" c c11
try "${CXX:-g++}" c++ c++11
if command -v clang >/dev/null; then
    try clang c c99
    try clang c++ c++11
fi
