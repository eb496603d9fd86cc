#!/bin/bash
# Every built-in kernel waits for what it comes after before it does anything else (kernels/entry.cuh): a graph may launch it early.
set -euo pipefail
cd "$(dirname "$0")/.."
rc=0

# The names of kernels whose first statement is not tgk_begin(), and how many kernels there are.
forgetful() { # FILE..
    awk '
        FNR == 1 { is_open = 0 }
        /^[ \t]*\/\// || /^#define TGK_/ { next }
        /TGK_(TEAM_)?KERNEL\(|__global__/ { is_open = 1; match($0, /tgk_[a-z0-9_#]*/); name = substr($0, RSTART, RLENGTH) }
        is_open && !name { match($0, /tgk_[a-z0-9_#]*/); name = substr($0, RSTART, RLENGTH) }
        is_open == 2 { if ($1 != "tgk_begin();") print FILENAME ": " name; is_open = 0; name = ""; n++ }
        is_open && /{[ \t]*\\?$/ { is_open = 2 }
        END { print n + 0 " kernels" }' "$@"
}
found=$(forgetful kernels/*.cu)
# What a library call needs afterwards is never part of a chain.
expected="kernels/factor.cu: tgk_report_info
$(grep -cE '^[^#]*(TGK_(TEAM_)?KERNEL\(|__global__)' <(cat kernels/*.cu)) kernels"
if [ "$found" != "$expected" ]; then
    printf 'FAIL  these do not begin with tgk_begin(), or were not found:\n%s\ninstead of\n%s\n' "$found" "$expected"
    rc=1
fi
# That the test can fail.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
sed '/tgk_begin();/d' kernels/copy.cu >"$scratch/copy.cu"
if [ "$(forgetful "$scratch/copy.cu" | head -n 1)" = "1 kernels" ]; then
    echo "FAIL  a kernel without it is not noticed"
    rc=1
fi
exit $rc
