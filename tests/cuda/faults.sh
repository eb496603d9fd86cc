#!/bin/bash
# What happens on a device when tasks fail, wait too long, are stopped or killed, by each executor: each ends in time, says what happened, and leaves a
# device on which the next run is right.
#
#     faults.sh [TGRAPH] [DEVICE]       default: the bundle's ./tgraph, cuda:0
#
# Exits 1 unless all did.  Beside the bundle's libraries it needs nothing; tests/device_faults.sh runs it on the stand-in driver.
set -u
here=$(cd "$(dirname "$0")" && pwd)
tgraph=$(realpath "${1:-$here/tgraph}")
device=${2:-cuda:0}
export LD_LIBRARY_PATH=$here${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} TGRAPH_BLAS=off
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
failed=0 n=0

complain() { # WHAT
    echo "FAIL  $1"
    tail -n 6 out err
    failed=$((failed + 1))
}
# A run that ends with STATUS within SECONDS and says WORDS.
expect() { # STATUS SECONDS WORDS ARGUMENT..
    local wanted=$1 limit=$2 words=$3 begin=$SECONDS status
    shift 3
    timeout -k 5 $((limit + 60)) "$tgraph" run "$@" -D "$device" >out 2>err
    status=$?
    n=$((n + 1))
    if [ $status != "$wanted" ]; then
        complain "$*: status $status, not $wanted"
    elif [ $((SECONDS - begin)) -gt "$limit" ]; then
        complain "$*: took $((SECONDS - begin)) s, not $limit"
    elif ! grep -q -e "$words" out err; then
        complain "$*: does not say \"$words\""
    fi
}
# The device is as good as before.
fine() {
    expect 0 60 'equal to sequential execution' own.json -p WIDTH=0 --executor resident --compare sequential
}

# BAD: the task of the second step that fails.  LOOPS: what the first task of it goes round for, about 25 cycles each.
variant() { # WIDTH
    cat <<END
    "own_$1": { "params": [ { "name": "bad", "type": "i32" }, { "name": "loops", "type": "i64" }, { "name": "x", "type": "u32*", "access": "inout" }, { "name": "y", "type": "u32*", "access": "in" } ], "variants": [
      { "on": "cpu", "c": "int own_$1(void **a, const void *c) { **(unsigned **)a[2] += **(unsigned **)a[3]; return *(int *)a[0] && c ? 70 + *(int *)a[0] : 0; }" },
      { "on": "cuda", "grid": [1], "block": [32], "code": "extern \"C\" __global__ void own_$1(int bad, long loops, unsigned *x, const unsigned *y) { if (threadIdx.x == 0) *x += *y; }" },
      { "on": "resident", "width": "$1", "code": [ "unsigned own_$1(int bad, long loops, unsigned *x, const unsigned *y)", "{",
        "    for (volatile long i = 0; i < loops; i = i + 1) ;",
        "    if (tg_lane() == 0 && tg_block_thread() == 0) *x += *y;", "    return bad ? 70 + bad : 0;", "}" ] } ] }
END
}
cat >own.json <<END
{ "tgraph": "1.0", "params": { "BAD": -1, "LOOPS": 0, "WIDTH": 0 },
  "buffers": { "x": { "dtype": "u32", "shape": [1], "tiles": [40], "init": { "iota": true } } },
  "kernels": {
$(variant warp),
$(variant thread),
$(variant block) },
  "tasks": [
    { "for": ["s in 0:3", "i in 0:40"], "when": "WIDTH==0", "id": "w[{s},{i}]", "kernel": "own_warp",
      "args": { "bad": "s==1&&i==BAD ? i : 0", "loops": "s==1&&i==0 ? LOOPS : 0", "x": "x[i]", "y": "x[(i+7)%40]" } },
    { "for": ["s in 0:3", "i in 0:40"], "when": "WIDTH==1", "id": "t[{s},{i}]", "kernel": "own_thread",
      "args": { "bad": "s==1&&i==BAD ? i : 0", "loops": "s==1&&i==0 ? LOOPS : 0", "x": "x[i]", "y": "x[(i+7)%40]" } },
    { "for": ["s in 0:3", "i in 0:8"], "when": "WIDTH==2", "id": "b[{s},{i}]", "kernel": "own_block",
      "args": { "bad": "s==1&&i==BAD ? i : 0", "loops": "s==1&&i==0 ? LOOPS : 0", "x": "x[2*i]", "y": "x[(2*i+15)%16]" } } ] }
END
cat >again.json <<'END'
{ "tgraph": "1.0", "buffers": { "x": { "dtype": "u32", "shape": [1], "tiles": [2], "init": "zero" } },
  "kernels": { "again": { "params": [ { "name": "x", "type": "u32*", "access": "inout" } ], "variants": [
    { "on": "cuda", "grid": [1], "block": [1], "code": "extern \"C\" __global__ void again(unsigned *x) { ++*x; }" },
    { "on": "resident", "spawns": true, "code": "unsigned again(unsigned *x) { return TG_AGAIN; }" } ] } },
  "tasks": [ { "for": ["i in 0:2"], "id": "a[{i}]", "kernel": "again", "args": { "x": "x[i]" } } ] }
END
# Some seconds of short tasks, one after the other.
cat >long.json <<'END'
{ "tgraph": "1.0", "params": { "N": 40000 }, "buffers": { "x": { "dtype": "u8", "shape": [8], "tiles": [2], "init": "zero" } },
  "kernels": { "spin": { "builtin": "spin" } },
  "tasks": [ { "for": ["s in 0:N", "i in 0:2"], "id": "s[{s},{i}]", "kernel": "spin", "args": { "us": 90, "out0": "x[i]" } } ] }
END
# Not positive definite.
cat >zero.json <<'END'
{ "tgraph": "1.0", "buffers": { "a": { "dtype": "f64", "shape": [16, 16], "tiles": [2], "init": "zero" } },
  "kernels": { "potrf": { "builtin": "potrf_lower" } },
  "tasks": [ { "for": ["i in 0:2"], "id": "p[{i}]", "kernel": "potrf", "args": { "n": 16, "a": "a[i]" } } ] }
END

fine
for width in 0:w:17 1:t:17 1:t:39 2:b:5; do
    IFS=: read -r number letter bad <<<"$width"
    expect 1 30 "task: $letter\[1,$bad\]" own.json -p WIDTH="$number" -p BAD="$bad" --executor resident
    expect 1 30 "its resident function returned $((70 + bad))" own.json -p WIDTH="$number" -p BAD="$bad" --executor resident
done
fine
TGRAPH_RESIDENT_PROGRAM=dynamic expect 1 30 'task: w\[1,17\]' own.json -p BAD=17 --executor resident
export TGRAPH_RESIDENT_LIMIT_MS=20
expect 1 60 'waited for 20 ms inside a kernel' own.json -p LOOPS=100000000 --executor resident
expect 1 60 'no task ended' again.json --executor resident
unset TGRAPH_RESIDENT_LIMIT_MS
fine
for executor in streams graph resident; do
    expect 1 30 'task: p\[[01]\]' zero.json --executor $executor
done
expect 124 30 'timeout' long.json --executor resident --timeout 1500ms
fine

# Stopped, and killed, while the kernel is at work.
for signal in INT KILL; do
    begin=$SECONDS
    "$tgraph" run long.json --executor resident -D "$device" >out 2>err &
    sleep 2.5
    kill -$signal $!
    wait $! 2>/dev/null
    status=$?
    n=$((n + 1))
    [ $status = $([ $signal = INT ] && echo 130 || echo 137) ] || complain "SIG$signal: status $status"
    [ $((SECONDS - begin)) -le 30 ] || complain "SIG$signal: took $((SECONDS - begin)) s"
    fine
done
echo "faults: $n runs, $failed complaints"
exit $((failed > 0))
