#!/bin/bash
# The program on devices, which the stand-in driver plays (tests/standin/standin.h): which ones -D chooses,
# what a summary says of them, and that every graph gives the results of sequential execution there.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

. tests/outside.bash
tgraph=$(realpath "${TGRAPH:-build/release/tgraph}")
. tests/standin/environment.bash
export TGRAPH_STANDIN_DEVICES=2
graphs=$PWD/examples/graphs
# What the driver saw of misuse and leaks counts as well.
want() { # CODE COMMAND..
    rm -f "$scratch/report"
    exits "$@"
    [ ! -s "$scratch/report" ] || grep -q ' 0 violations, 0 leaks' "$scratch/report" ||
        complain "${*:2}: $(head -c 600 "$scratch/report")"
}
no_driver() { env TGRAPH_CUDA_DRIVER=/nonexistent/libcuda.so.1 "$@"; }
run() { "$tgraph" run "$@" --save-dir "$scratch"; }

# ---- which devices --------------------------------------------------------------------------
saxpy=$graphs/saxpy.json
want 0 run "$saxpy" -p N=1000
has out 'on 1 x stand-in 0 + 1 x stand-in 1 + '
has out 'executor streams'
want 0 run "$saxpy" -p N=1000 -D cuda:1
has out 'on 1 x stand-in 1 + '
for spec in cuda:1+cpu:1 cpu:1+cuda:1; do
    want 0 run "$saxpy" -p N=1000 -D $spec
    has out 'on 1 x stand-in 1 + 1 CPU worker,'
done
want 0 run "$saxpy" -p N=1000 -D cuda:1,0+cpu:3
has out '+ 3 CPU workers'
for how in '-D cpu' '-D cpu:2' '--executor cpu' '--deterministic'; do
    # shellcheck disable=SC2086
    want 0 run "$saxpy" -p N=1000 $how
    lacks out 'stand-in'
    has out 'executor cpu'
done
want 0 env TGRAPH_DEVICES=cpu "$tgraph" run "$saxpy" -p N=1000 --save-dir "$scratch"
lacks out 'stand-in'
want 0 env TGRAPH_DEVICES=cpu "$tgraph" run "$saxpy" -p N=1000 --save-dir "$scratch" -D cuda
has out 'stand-in'
want 0 run "$saxpy" -p N=1000 --executor streams
has out 'stand-in'
want 0 "$tgraph" --format json run "$saxpy" -p N=1000 --save-dir "$scratch"
has out '"executor": "streams"'
want 0 run "$graphs/cholesky.json" --executor graph --repeat 3
has out 'executor graph'
lacks out 'making the graph'
lacks err 'not executed as a graph'
want 0 "$tgraph" --format json run "$graphs/cholesky.json" --save-dir "$scratch" --executor graph
has out '"executor": "graph"'
want 0 run "$graphs/cholesky.json" --executor graph --record "$scratch/graph.tgr"
has out 'executor graph'
has out 'each task was timed by two more nodes of the graph'
has out ' of the makespan, which --warmup 1 leaves out'
lacks err 'not executed as a graph'
want 0 "$tgraph" report "$scratch/graph.tgr"
has out 'gemm '
want 0 "$tgraph" why "$scratch/graph.tgr" 'potrf[3]'
has out 'slack '
want 0 "$tgraph" export "$scratch/graph.tgr" --view gantt -o "$scratch/graph.svg"
want 0 "$tgraph" report "$scratch/graph.tgr" --html "$scratch/graph.html"
want 2 run "$saxpy" -D cpu --executor graph
want 0 run "$graphs/matmul.json" -D cuda:0 --executor resident --repeat 3
has out 'executor resident'
has out 'commands in 1 kernel, '
want 0 "$tgraph" --format json run "$graphs/matmul.json" --save-dir "$scratch" -D cuda:0 --executor resident
has out '"executor": "resident"'
has out '"resident": {'
is_json
want 0 run "$graphs/cholesky.json" -D cuda:0 --executor resident
has out 'executor graph'
has err 'no task is resident, all are nodes of a graph: task "potrf[0]": its kernel has no resident variant for these sizes'
for executor in streams graph resident; do
    want 0 run "$graphs/trsv.json" -D cuda:0 --executor $executor --verify
    has out "executor $executor"
done
has out 'resident: 150 commands in 1 kernel, '
want 0 run "$graphs/decode.json" -p CHECK=0 -D cuda:0 --executor resident --verify
has out ' commands in 1 kernel, '
want 0 "$tgraph" import "$graphs/trsv.mtx" -o "$scratch/rows.json" # an estimate says single rows
want 0 run "$scratch/rows.json" -v -D cuda:0 --executor resident --verify --repeat 3
has out '; 900 tasks wait for single elements'
want 2 run "$saxpy" -D cpu --executor resident
want 0 "$tgraph" export "$graphs/cholesky.json" -p NT=4 --view cuda-graph -o "$scratch/cuda.dot"
has cuda.dot 'tiled-cholesky as a CUDA graph: '
has cuda.dot 'cuda:1, stand-in 1'
has cuda.dot 'gemm[3,2,1]'
want 0 "$tgraph" export "$graphs/cholesky.json" -p NT=4 --view cuda-graph -t json -D cuda:1
is_json
has out '"schema": "tgraph.cuda-graph/1"'
lacks out 'cuda:0'
command -v dot >/dev/null && want 0 "$tgraph" export "$graphs/cholesky.json" -p NT=3 --view cuda-graph -o "$scratch/cuda.svg"
want 2 "$tgraph" export "$graphs/cholesky.json" --view cuda-graph -t mermaid
want 2 "$tgraph" export "$graphs/cholesky.json" --view cuda-graph -D cpu
want 1 "$tgraph" export "$graphs/collatz.json" --view cuda-graph
has err 'it cannot be a graph: '
want 4 no_driver "$tgraph" export "$graphs/cholesky.json" --view cuda-graph
want 0 run "$graphs/cholesky.json" --executor auto
has out 'executor streams'
has out 'executor: streams, as one start was asked for'
want 0 "$tgraph" --format json run "$graphs/cholesky.json" --save-dir "$scratch" --executor auto --repeat 4
has out '"executor_reason": "'
want 0 "$tgraph" -v run "$graphs/cholesky.json" --save-dir "$scratch" --executor auto --repeat 3 --record "$scratch/auto.tgr"
has err 'executor: streams, as it cannot be a graph: times of single tasks are wanted'
want 0 "$tgraph" bench "$scratch/rows.json" --runs 3 --matrix executor=streams,resident
has out ' resident  '
want 0 "$tgraph" bench "$graphs/cholesky.json" --runs 5 --matrix executor=cpu,streams,graph,auto
has out ' graph  '
has out 'executor auto: '
"$tgraph" gen wavefront --tasks 400 -o "$scratch/fine.json"
want 0 run "$scratch/fine.json" -D cuda:0 --executor auto --compare sequential --repeat 60
has out ' inside resident kernels, '
has out ' or more as nodes'
want 0 "$tgraph" --format json run "$scratch/fine.json" -D cuda:0 --executor auto --save-dir "$scratch" --repeat 60
is_json
has out '"weighed": {"tasks": 4'
want 0 run "$saxpy" -p N=1000 -D cpu --executor auto
lacks out 'executor: '

for spec in '' cpu: cpu:0 cpu:4097 cpu:x cpu:-1 cuda: cuda:x cuda:0, cuda:,0 cuda:32 cuda:-1 cuda:0.5 gpu cpucuda cuda+ +cuda \
    cuda:0+1 'cuda:0, 1' cpu+cpu:2 cuda+cuda:1 cuda:0,1,0; do
    want 2 run "$saxpy" -D "$spec"
    has err 'TG0004'
done
want 2 run "$saxpy" -D cuda --deterministic
want 2 run "$saxpy" -D cuda --executor cpu
want 2 run "$saxpy" -D cpu --executor streams
want 2 env TGRAPH_DEVICES=gpu "$tgraph" run "$saxpy"
has err 'TGRAPH_DEVICES gpu'
want 4 run "$saxpy" -D cuda:0,2
has err 'there is no device cuda:2; this machine has 2'
want 4 no_driver "$tgraph" run "$saxpy" -D cuda
has err 'TG0707'

# Nobody has asked: without a driver graphs run on CPUs, and only those that cannot say why not.
want 0 env -u TGRAPH_CUDA_DRIVER LD_LIBRARY_PATH= "$tgraph" run "$graphs/cholesky.json" -p NT=3
want 0 no_driver "$tgraph" run "$saxpy" -p N=1000 --save-dir "$scratch"
has out 'executor cpu'
has err 'the graph runs on CPUs'
cat >"$scratch/only.json" <<'END'
{ "tgraph": "1.0", "buffers": { "y": { "dtype": "i32", "shape": [100], "init": "zero" } },
  "kernels": { "inc": { "params": [ { "name": "n", "type": "i32" }, { "name": "y", "type": "i32*", "access": "inout" } ],
    "variants": [ { "on": "cuda", "block": [32], "grid": ["ceildiv(n,32)"], "code": [
      "extern \"C\" __global__ void inc(int n, int *y) {",
      "  int i = blockIdx.x * blockDim.x + threadIdx.x;", "  if (i < n) y[i]++;", "}" ] } ] } },
  "tasks": [ { "id": "a", "kernel": "inc", "args": { "n": 100, "y": "y" } },
             { "id": "b", "kernel": "inc", "args": { "n": 100, "y": "y" } } ],
  "checks": [ { "buffer": "y", "equals": 2 } ] }
END
want 0 run "$scratch/only.json" --verify
want 4 no_driver "$tgraph" run "$scratch/only.json"
has err 'kernel "inc" has no variant for CPUs, and there is none: loading the CUDA driver'
sed 's/"buffers"/"requires": { "cuda": 3 }, "buffers"/' "$graphs/reduce.json" >"$scratch/requires.json"
want 4 no_driver "$tgraph" run "$scratch/requires.json"
has err 'requires 3 CUDA devices'
want 4 run "$scratch/requires.json"
has err 'requires 3 CUDA devices, and 2 are in use'
want 0 env TGRAPH_STANDIN_DEVICES=3 "$tgraph" run "$scratch/requires.json" --verify --compare sequential
# A device that cannot be opened keeps a graph from running there, not from running.
want 0 env TGRAPH_STANDIN_FAIL=cuDevicePrimaryCtxRetain:1:2:forever "$tgraph" run "$saxpy" -p N=1000 --save-dir "$scratch"
has err 'the graph runs on CPUs (-D cpu asks for that)'
want 4 env TGRAPH_STANDIN_FAIL=cuDevicePrimaryCtxRetain:1:2:forever "$tgraph" run "$saxpy" -p N=1000 -D cuda
want 0 env -u TGRAPH_CUDA_KERNELS "$tgraph" run "$graphs/first.json" -D cpu
cat >"$scratch/host.json" <<'END'
{ "tgraph": "1.0", "buffers": { "x": { "dtype": "f32", "shape": [4], "init": "zero" } },
  "tasks": [ { "id": "a", "fill": "x", "value": 1, "on": "cpu" } ] }
END
want 0 run "$scratch/host.json" -D cuda
has err 'no task of this graph runs on a cuda device'
want 0 run "$scratch/host.json"
is_empty err

# ---- how many, and how much -----------------------------------------------------------------
cat >"$scratch/count.json" <<'END'
{ "tgraph": "1.0", "params": { "G": "ndev('cuda')" },
  "buffers": { "x": { "dtype": "f32", "shape": [4], "tiles": ["G+1"], "init": "zero" } },
  "tasks": [ { "for": ["g in 0:G"], "id": "t[{g}]", "fill": "x[g]", "value": 1 } ] }
END
tasks() { # N COMMAND..
    local n=$1
    shift
    want 0 "$@"
    has out "\"tasks\": $n"
}
for n in 1 2 4; do
    tasks $n env TGRAPH_STANDIN_DEVICES=$n "$tgraph" --format json run "$scratch/count.json"
    tasks $n env TGRAPH_STANDIN_DEVICES=$n "$tgraph" --format json expand "$scratch/count.json" --stats
done
# No driver is one thing, a driver that does not start another.
for how in "run $scratch/count.json" "check $scratch/count.json" "bench $scratch/count.json --runs 1"; do
    # shellcheck disable=SC2086
    want 0 env TGRAPH_STANDIN_FAIL=cuInit:1:803:forever "$tgraph" $how
    has err "warning: ndev('cuda') is 0: initialising the CUDA driver"
    # shellcheck disable=SC2086
    want 0 env TGRAPH_STANDIN_FAIL=cuInit:1:100:forever "$tgraph" $how
    lacks err "ndev('cuda')"
done
want 0 env TGRAPH_STANDIN_FAIL=cuInit:1:803:forever "$tgraph" plan "$graphs/cholesky.json"
has err 'this machine is taken to have no GPU: initialising the CUDA driver'
want 0 env TGRAPH_STANDIN_FAIL=cuInit:1:803:forever "$tgraph" doctor
has out 'a driver for CUDA 12.0 or later has to start'
tasks 1 "$tgraph" --format json run "$scratch/count.json" -D cuda:1
tasks 0 "$tgraph" --format json run "$scratch/count.json" -D cpu
tasks 0 no_driver "$tgraph" --format json expand "$scratch/count.json" --stats
tasks 3 no_driver "$tgraph" --format json expand "$scratch/count.json" --stats -D cuda:0,1,7
want 0 no_driver "$tgraph" check "$scratch/count.json" -D cuda:0,1,2
has out '3 tasks'
want 2 "$tgraph" check "$scratch/count.json" -D cuda:x
want 0 "$tgraph" export "$scratch/count.json" -t jsonl -D cuda:3
has out '"t[0]"'
want 0 run "$graphs/cholesky.json" -D cuda --device-mem 4MiB --verify
want 4 run "$graphs/cholesky.json" -D cuda --mem 4MiB
want 4 run "$graphs/cholesky.json" -D cuda --device-mem 64KiB
has err 'task "potrf[0]" (potrf) needs 131072 bytes at once on cuda:0, where 65536 can be used'

# ---- what a summary says --------------------------------------------------------------------
want 0 run "$saxpy"
has out 'cuda:0               1'
has out 'moved: 8.00 MiB in 2 copies; 8.00 MiB is the least possible where tasks ran' # y, which begins with one value everywhere, is filled in
has out 'cuda source (1), builtin axpy f32 (1)'
want 0 run "$saxpy" -D cuda --repeat 2 # x, which no task writes, stays where it is
has out 'moved: 4.00 MiB in 1 copy; 4.00 MiB is the least possible'
TGRAPH_INIT=host want 0 run "$saxpy"
has out 'moved: 12.0 MiB in 3 copies; 12.0 MiB is the least possible where tasks ran'
json() { # EXPRESSION: holds of the document d
    command -v python3 >/dev/null || return 0
    python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); sys.exit(not eval(sys.argv[2]))' "$scratch/out" "$1" ||
        complain "does not hold: $1 ($(head -c 1500 "$scratch/out"))"
}
for n in 1 2 4; do
    want 0 env TGRAPH_STANDIN_DEVICES=$n "$tgraph" --format json run "$graphs/cholesky.json" -p B=16
    json "len(d['devices']) == $n and sum(x['tasks'] for x in d['devices']) == d['tasks']"
    json "all(x['busy_ns'] > 0 and x['peak_bytes'] > 0 for x in d['devices'])"
    json "sum(x['moved_in_bytes'] for x in d['devices']) == d['moved']['to_device_bytes'] + d['moved']['peer_bytes']"
    json "d['moved']['least_bytes'] == d['moved']['to_device_bytes'] + d['moved']['peer_bytes'] + d['moved']['to_host_bytes']"
    json "all(k['device_tasks'] == k['tasks'] and k['variant'].startswith('cuda builtin') for k in d['kernels'])"
done
want 0 "$tgraph" --format json run "$graphs/cholesky.json" -D cuda --device-mem 4MiB
json "d['moved']['least_bytes'] < d['moved']['to_device_bytes'] and d['moved']['spilled_bytes'] > 0 and d['moved']['evictions'] > 0"
json "all(x['peak_bytes'] <= 4 << 20 for x in d['devices'])"
want 0 "$tgraph" --format json run "$graphs/heat2d.json"
json "d['moved']['least_bytes'] <= d['moved']['to_device_bytes'] + d['moved']['peer_bytes'] + d['moved']['to_host_bytes']"
want 0 run "$graphs/cholesky.json" -p NT=8 -D cuda:1+cpu:1 --gantt "$scratch/gantt.svg"
grep -q 'cuda:1 s0 &#183; ' "$scratch/gantt.svg" || complain 'streams have no lanes in the picture of a schedule'
grep -q 'kernel gemm' "$scratch/gantt.svg" || complain 'tasks on devices are not drawn'
want 0 "$tgraph" --progress plain run "$graphs/cg.json" --repeat 3
"$TGRAPH" gen independent --tasks 20000 --kernel spin --us 1000 -o "$scratch/spin.json"
want 124 "$tgraph" --progress json run "$scratch/spin.json" -D cuda:0,1+cpu:1 --timeout 1500ms
grep -q '"devices": \[{"device": "cpu", "busy": .*}, {"device": "cuda:0", "busy": .*}, {"device": "cuda:1", "busy": ' "$scratch/err" ||
    complain "progress does not tell how busy devices are: $(head -c 300 "$scratch/err")"

# ---- the first task that writes NaN ---------------------------------------------------------
# Branch b meets a factor of its own in step "bad[b]": the first in program order is neither the first to be ready nor
# the first of a branch.
cat >"$scratch/nan.json" <<'END'
{ "tgraph": "1.0", "params": { "N": 100, "B": 5, "S": 6, "BAD": 17 },
  "buffers": { "x": { "dtype": "f32", "shape": ["N"], "init": { "fill": 2e30 } },
               "y": { "dtype": "f32", "shape": ["N"], "tiles": ["B"], "init": { "fill": 1 } } },
  "kernels": { "axpy": { "builtin": "axpy" } },
  "tasks": [ { "for": ["s in 0:S", "b in 0:B"], "id": "t[{s},{b}]", "kernel": "axpy",
    "args": { "n": "N", "a": "s*B+b == BAD || s*B+b == BAD+2 || s*B+b == BAD+6 ? 1e30 : 0.5", "x": "x", "y": "y[b]" } } ] }
END
cat >"$scratch/nan-body.json" <<'END'
{ "tgraph": "1.0",
  "buffers": { "x": { "dtype": "f64", "shape": [10], "init": { "fill": 2 } }, "z": { "dtype": "f64", "shape": [10], "init": "zero" },
               "y": { "dtype": "f64", "shape": [10], "init": { "fill": 1 } } },
  "kernels": { "axpy": { "builtin": "axpy" } },
  "tasks": [ { "id": "loop", "repeat": 20, "do": [
    { "id": "grow", "kernel": "axpy", "args": { "n": 10, "a": 1e20, "x": "y", "y": "y" } },
    { "id": "use", "kernel": "axpy", "args": { "n": 10, "a": 1, "x": "y", "y": "z" } } ] },
    { "id": "after", "kernel": "axpy", "args": { "n": 10, "a": 1, "x": "z", "y": "x" } } ] }
END
for n in 1 2 4; do
    for how in '-D cpu' '-D cuda' '-D cuda:0+cpu:1'; do
        for bad in 0 1 17; do
            # shellcheck disable=SC2086
            want 1 env TGRAPH_STANDIN_DEVICES=$n TGRAPH_STANDIN_SEED=$bad "$tgraph" run "$scratch/nan.json" $how --check-nan -p BAD=$bad
            has err "error[TG0711]: task \"t[$((bad / 5)),$((bad % 5))]\" (axpy) failed: what it wrote is not finite: y = y[$((bad % 5))], element 0 of 100 is inf"
        done
        # shellcheck disable=SC2086
        want 0 env TGRAPH_STANDIN_DEVICES=$n "$tgraph" run "$scratch/nan.json" $how --check-nan -p BAD=1000 --compare sequential
        has out 'bit for bit'
        # shellcheck disable=SC2086
        want 1 env TGRAPH_STANDIN_DEVICES=$n "$tgraph" run "$scratch/nan-body.json" $how --check-nan
        has err 'task "grow" (axpy) failed: what it wrote is not finite'
    done
done
want 0 run "$scratch/nan.json" -D cuda
want 2 run "$scratch/nan.json" --check-nan --deterministic --seed 3
for graph in cg collectives commute heat2d reduce transformer; do
    want 0 run "$graphs/$graph.json" -D cuda --check-nan --verify --compare sequential
    has out 'one task at a time'
done
# A kernel that fails is named exactly as well.
sed 's/"spd": { "seed": 7 }/"fill": -1/' "$graphs/cholesky.json" >"$scratch/indefinite.json"
cmp -s "$graphs/cholesky.json" "$scratch/indefinite.json" && complain 'the edit of cholesky.json changed nothing'
want 1 run "$scratch/indefinite.json" -D cuda --check-nan
has err 'task "potrf[0]"'

# What was executed with what a failed task left is not done; where several have failed and one is named, nobody knows of the others.
for how in streams graph; do
    want 1 run "$scratch/indefinite.json" -p NT=4 -D cuda --keep-going --executor $how
    has out '0 done, 1 failed, 19 not run'
done
cat >"$scratch/several.json" <<'END'
{ "tgraph": "1.0", "params": { "B": 1 }, "kernels": { "potrf": { "builtin": "potrf_lower" } },
  "buffers": { "a": { "dtype": "f64", "shape": [2, 2], "init": { "spd": { "seed": 1 } } },
               "b": { "dtype": "f64", "shape": [2, 2], "init": { "fill": -1 } },
               "c": { "dtype": "f64", "shape": [2, 2], "init": { "fill": "B" } },
               "d": { "dtype": "f64", "shape": [2, 2] } },
  "tasks": [ { "kernel": "potrf", "args": { "n": 2, "a": "a" } }, { "kernel": "potrf", "args": { "n": 2, "a": "b" } },
             { "kernel": "potrf", "args": { "n": 2, "a": "c" } }, { "fill": "d", "value": 1 } ] }
END
want 1 run "$scratch/several.json" -D cuda:0 --keep-going -p B=-1
has out '1 done, 1 failed, 2 not run'

# A fault of a kernel, seen at whatever call comes next: the process ends with 1, and names the task where it was seen, if one was.
for call in cuLaunchKernel:2 cuEventQuery:1 cuEventRecord:1 cuMemcpyDtoHAsync:1 cuGraphLaunch:1; do
    executor=streams
    [ $call = cuGraphLaunch:1 ] && executor=graph
    exits 1 env TGRAPH_STANDIN_FAIL=$call:700:sticky "$tgraph" run "$graphs/cholesky.json" -p NT=4 -p B=8 -D cuda --verify \
        --executor $executor --save-dir "$scratch"
    case $call in
    cuLaunchKernel* | cuEventQuery*) has err 'failed: the devices are lost; first observed at this task: ' ;;
    cuMemcpy*) has err '"A" has not come back from its device: ' ;; # every task was done before
    *) has err 'CUDA_ERROR_ILLEGAL_ADDRESS' ;;
    esac
done

# What the memory of devices is used for.
want 0 run "$graphs/cholesky.json" -p NT=4 -p B=8 -D cuda:0 -v
has out 'pool of cuda:0: '
has out 'pool of pinned host memory: '
want 0 "$tgraph" --format json run "$graphs/cholesky.json" -p NT=4 -p B=8 -D cuda:0
has out '"largest_free_bytes": '
has out '"pinned_pool": '

# Results that do not come back are not taken for right, whatever looks at them.
for what in --verify --compare=sequential; do
    exits 1 env TGRAPH_STANDIN_FAIL=cuMemcpyDtoHAsync:1:700:sticky "$tgraph" run "$graphs/matmul.json" -p NT=2 -p B=8 -D cuda:0 $what
    has err '" has not come back from its device: copying '
done

# ---- ranges for profilers -------------------------------------------------------------------
profiled() { # COMMAND..: in a fresh log
    rm -f "$scratch/ranges"
    want 0 env TGRAPH_STANDIN_NVTX="$scratch/ranges" "$@"
}
profiled NVTX_INJECTION64_PATH="$libraries/libstandin-nvtx.so" "$tgraph" run "$graphs/cholesky.json" -p NT=4 -p B=8
[ "$(grep -c '^pop$' "$scratch/ranges")" = 20 ] && [ "$(grep -c '^push ' "$scratch/ranges")" = 20 ] &&
    grep -qx 'push potrf\[3\]' "$scratch/ranges" || complain "not a range for each task: $(head -n 50 "$scratch/ranges")"
cp "$libraries/libstandin-nvtx.so" "$scratch/libnvToolsExt.so.1"
profiled LD_LIBRARY_PATH="$scratch" TGRAPH_NVTX=1 "$tgraph" run "$graphs/cholesky.json" -p NT=4 -p B=8
[ "$(grep -c '^pop$' "$scratch/ranges")" = 20 ] || complain 'libnvToolsExt.so.1 is not used'
for how in LD_LIBRARY_PATH="$scratch" NVTX_INJECTION64_PATH=/nonexistent.so NVTX_INJECTION64_PATH="$TGRAPH_CUDA_DRIVER"; do
    profiled "$how" "$tgraph" run "$graphs/cholesky.json" -p NT=4 -p B=8
    [ ! -e "$scratch/ranges" ] || complain "ranges without a profiler: $how"
done
profiled NVTX_INJECTION64_PATH="$libraries/libstandin-nvtx.so" TGRAPH_STANDIN_NVTX_REFUSES=1 "$tgraph" run "$graphs/cholesky.json" -p NT=4 -p B=8
[ ! -e "$scratch/ranges" ] || complain 'ranges for a profiler that refused'

# ---- words of the environment -----------------------------------------------------------------
# One that a variable cannot be is never taken for another.
refused() { # STATUS VARIABLE=WORD ACCEPTED OPTION..: by a run on two devices
    want "$1" env "$2" "$tgraph" run "$graphs/matmul.json" -p NT=2 -p B=8 -D cuda --save-dir "$scratch" "${@:4}"
    has err "${2%%=*} is \"${2#*=}\", and can be $3"
}
refused 1 TGRAPH_HOPS=flag 'driver, flags or auto' --executor graph
refused 1 TGRAPH_PDL=1 'on or off' --executor graph
refused 1 TGRAPH_RESIDENT_PROGRAM=dynamics 'auto, static or dynamic' --executor resident
refused 1 TGRAPH_RESIDENT_KERNEL=built-in 'generated or embedded' --executor resident
refused 1 TGRAPH_RESIDENT_LIMIT_MS=10s 'a whole number from 1 to 86400000' --executor resident
refused 2 TGRAPH_PINNING=no 'on or off'
refused 2 TGRAPH_HISTORY=0 'on or off'
refused 2 TGRAPH_NVTX=yes '0 or 1'
want 2 env TGRAPH_HISTORY=0 "$tgraph" cache
has err 'TGRAPH_HISTORY is "0", and can be on or off'

# ---- what is here ---------------------------------------------------------------------------
for n in 1 2 4; do
    want 0 env TGRAPH_STANDIN_DEVICES=$n "$tgraph" devices
    has out "cuda:$((n - 1))   stand-in $((n - 1))        9.0    16   1.00 GiB"
    [ "$(grep -c 'cuda:.*stand-in' "$scratch/out")" = $n ] || complain "devices does not list $n devices"
    want 0 env TGRAPH_STANDIN_DEVICES=$n "$tgraph" --format json devices
    is_json
    has out '"cuda_driver": "13.0"'
    has out "\"pci_id\": \"ffff:$(printf '%x' $((n + 26))):00.0\""
done
has out '"reaches": ["nvlink", null, "pcie", "pcie"]'
want 0 env TGRAPH_STANDIN_PEERS=0 "$tgraph" devices
has out 'cuda:0            -     none'
want 0 no_driver "$tgraph" devices
has out 'cuda  no driver: loading the CUDA driver'
want 0 no_driver "$tgraph" --format json devices
is_json
has out '"cuda": ['
has out '"cuda_driver": null'
want 0 env TGRAPH_STANDIN_DEVICES=0 "$tgraph" devices
has out 'cuda  no devices: '
want 0 "$tgraph" devices --topology 'numa:2 core:2 pu:1'
lacks out 'stand-in'
want 0 "$tgraph" devices --tree
lacks out 'stand-in'

want 0 "$tgraph" doctor
has out 'ok    CUDA driver  for CUDA 13.0; 2 devices can be opened'
has out 'GPU kernels  those that TGRAPH_CUDA_KERNELS names'
has out 'ok    NCCL         2.28.9'
want 0 env TGRAPH_NVRTC=/nonexistent.so TGRAPH_CUBLAS=/nonexistent.so TGRAPH_CUSOLVER=/nonexistent.so TGRAPH_NCCL=/nonexistent.so \
    "$tgraph" doctor
for library in NVRTC cuBLAS cuSOLVER NCCL; do
    grep -q "^warn  $library  *none: " "$scratch/out" || complain "doctor does not miss $library"
done
want 0 no_driver env TGRAPH_NCCL=/nonexistent.so "$tgraph" doctor
has out 'ok    CUDA driver  none: '
has out 'ok    NCCL         none: '
want 0 env TGRAPH_STANDIN_FAIL=cuDevicePrimaryCtxRetain:1:2 "$tgraph" doctor
grep -q '^warn  CUDA driver  opening cuda:0: ' "$scratch/out" || complain 'doctor does not notice a device that cannot be opened'

# ---- what opening takes ---------------------------------------------------------------------
want 0 run "$saxpy" -p N=1000 -v
grep -q 'opening: topology [0-9.]* ms; devices [0-9.]* ms beside it (driver [0-9.]*, asking for devices [0-9.]*, contexts [0-9.]*, streams ' \
    "$scratch/err" || complain "-v does not tell what opening took: $(head -c 400 "$scratch/err")"
want 0 run "$saxpy" -p N=1000
lacks err 'opening:'

# ---- policies -------------------------------------------------------------------------------
for policy in auto eager steal heft bandwidth; do
    want 0 run "$graphs/cholesky.json" -p NT=6 -p B=16 -D cuda+cpu:2 --policy $policy --compare sequential
    has out ", policy $policy, executor streams"
done
want 0 run "$graphs/cholesky.json" -p NT=4 -p B=8 -D cuda --policy heft --format json
is_json
has out '"policy": "heft"'
want 0 run "$graphs/cholesky.json" -p NT=4 -p B=8 -D cpu --policy steal
has out ', policy steal, executor cpu'
want 0 run "$graphs/cholesky.json" -p NT=4 -p B=8 -D cpu --policy heft
has out ', policy heft, executor cpu'
# A plan for these devices is followed; one for more of them is not.
small="$graphs/cholesky.json -p NT=6 -p B=16"
# shellcheck disable=SC2086
want 0 "$tgraph" plan $small --gpus 2 --policy heft -o "$scratch/plan.json"
# Whatever it makes of tasks this small, some are to be on each device.
sed -i 's/"device": "cpu:0", "kernel": "gemm"/"device": "cuda:0", "kernel": "gemm"/; s/"device": "cpu:0", "kernel": "syrk"/"device": "cuda:1", "kernel": "syrk"/' "$scratch/plan.json"
# shellcheck disable=SC2086
want 0 run $small -D cuda+cpu:2 --plan "$scratch/plan.json" --compare sequential --record "$scratch/plan.tgr"
has out ', policy plan, executor streams'
has out 'plan predicted'
want 0 "$tgraph" diff "$scratch/plan.json" "$scratch/plan.tgr" --threshold 100000%
sed -i 's/cuda:1/cuda:6/g' "$scratch/plan.json"
# shellcheck disable=SC2086
want 4 run $small -D cuda:0 --plan "$scratch/plan.json"
has err 'which this run does not have'
want 1 run "$graphs/cholesky.json" -p NT=4 -p B=8 -D cuda --policy heft --check-nan
has err 'one task runs at a time'
want 2 run "$graphs/cholesky.json" --policy hefd
has err 'there are auto, eager, steal, heft and bandwidth'

# ---- machine files ----------------------------------------------------------------------------
want 0 "$tgraph" devices --matrix -o "$scratch/machine.json"
has out 'GB/s from'
has out 'cuda:1'
want 0 "$tgraph" devices --matrix --machine "$scratch/machine.json"
lacks out 'rough'
want 0 "$tgraph" --format json devices --matrix --machine "$scratch/machine.json"
is_json
[ "$(grep -c '"latency_ns"' "$scratch/out")" = 9 ] || complain 'three memories are not nine pairs'
# shellcheck disable=SC2086
want 0 "$tgraph" plan $small --machine "$scratch/machine.json"
lacks out 'rough'
want 0 "$tgraph" devices -o "$scratch/rough.json"
grep -q '"is_rough": true' "$scratch/rough.json" || complain 'what was not measured is not called rough'
want 2 "$tgraph" devices --matrix -o -
want 2 "$tgraph" devices --matrix --tree
want 2 "$tgraph" devices --machine "$scratch/machine.json"
want 3 "$tgraph" devices --matrix --machine "$scratch/none.json"
want 4 "$tgraph" devices --matrix -o "$scratch/no/such/folder.json"
# Graphs with copies are predicted on devices as well.
for graph in "bench/graphs/heat.json -p NX=64 -p NY=64 -p STEPS=4" "$graphs/transformer.json -p T=64 -p D=64"; do
    # shellcheck disable=SC2086
    want 0 "$tgraph" -q calibrate --quick -D cuda --kernels $graph -o "$scratch/machine.json"
    # shellcheck disable=SC2086
    want 0 run $graph -D cuda --machine "$scratch/machine.json"
    has out 'plan predicted'
done
# Of the executor that was used.
grep -q '"graph_ns"' "$scratch/machine.json" || complain 'no kernel was measured in a graph'
predict() { # EXECUTOR
    want 0 "$tgraph" --format json run "$graphs/transformer.json" -p T=64 -p D=64 -D cuda --save-dir "$scratch" --machine "$scratch/machine.json" \
        --executor "$1" --repeat 3
    predicted=$(grep -o '"predicted_ns": [0-9.]*' "$scratch/out") || complain "no prediction for $1"
}
predict graph
as_graph=$predicted
predict streams
[ "$predicted" != "$as_graph" ] || complain 'streams and graphs are predicted to take the same time'
# Where it was placed: eight tasks of a second each, which have a device to themselves, at home on one of the two.
cat >"$scratch/home.json" <<'END'
{ "tgraph": "1.0", "buffers": { "x": { "dtype": "f64", "shape": [64], "tiles": [8], "init": "zero", "home": "cuda:1" } }, "kernels": { "scale": { "builtin": "scale" } },
  "tasks": [ { "for": "i in 0:8", "do": [ { "kernel": "scale", "args": { "n": 64, "a": 2, "x": "x[i]" } } ] } ] }
END
want 0 "$tgraph" -q calibrate --quick -D cuda --kernels "$scratch/home.json" -o "$scratch/second.json"
sed -i '/"builtin scale f64", "class": "cuda"/s/"median_ns": [0-9.]*/"median_ns": 1e9/; /"builtin scale f64", "class": "cuda"/s/"together_ns": [0-9.]*/"together_ns": 6e9/' "$scratch/second.json"
want 0 "$tgraph" --format json run "$scratch/home.json" --save-dir "$scratch" -D cuda:0,1 --machine "$scratch/second.json"
grep -qE '"predicted_ns": 8[0-9]{9}[.,]' "$scratch/out" || complain "eight seconds on one device: $(grep predicted "$scratch/out")"
want 0 run "$graphs/transformer.json" -p T=64 -p D=64 -D cuda --machine "$scratch/machine.json" --executor resident
lacks out 'plan predicted'
has err 'no prediction: what tasks take inside resident kernels'

# ---- times of kernels -----------------------------------------------------------------------
# What one run has measured, the next one places by; the cache lists it and forgets it.
export TGRAPH_HISTORY=on
want 0 "$tgraph" cache clear
want 0 run "$saxpy" -p N=1000 -D cuda
has out ' had no measured time before this run; they were placed by '
want 0 run "$saxpy" -p N=1000 -D cuda
lacks out 'no measured time'
want 0 run "$saxpy" -p N=1000 -D cuda --format json
is_json
has out '"declared_tasks": 0, "roofline_tasks": 0, "size_tasks": 0'
want 0 "$tgraph" cache -v
has out 'times on '
has out 'cuda stand-in '
has out ' ± '
want 0 "$tgraph" cache --format json
is_json
has out '"median_ns"'
for file in "$TGRAPH_CACHE_DIR"/history/*; do
    printf 'x' | dd of="$file" bs=1 seek=40 conv=notrunc status=none
done
want 0 run "$saxpy" -p N=1000 -D cuda
has err 'the file with times of kernels in the cache folder is damaged'
has out ' had no measured time before this run'
want 0 env TGRAPH_HISTORY=off "$tgraph" run "$saxpy" --save-dir "$scratch" -p N=1000 -D cuda
has out ' had no measured time before this run'
want 0 "$tgraph" cache clear
[ -z "$(ls -A "$TGRAPH_CACHE_DIR/history")" ] || complain 'cache clear leaves times of kernels'

# ---- users' resident functions ----------------------------------------------------------------
own_graph() { # STATEMENT
    cat <<END
{ "tgraph": "1.0", "buffers": { "A": { "dtype": "u32", "shape": [64], "tiles": [8], "init": { "iota": true } } },
  "kernels": { "twice": { "params": [ { "name": "n", "type": "i32" }, { "name": "x", "type": "u32*", "access": "inout" } ], "variants": [
    { "on": "cpu", "c": "int twice(void **a, const void *c) { for (int i = 0; i < *(int *)a[0]; i++) (*(unsigned **)a[1])[i] *= 2; return 0 & !c; }" },
    { "on": "cuda", "code": "extern \"C\" __global__ void twice(int n, unsigned *x) { for (int i = threadIdx.x; i < n; i += blockDim.x) x[i] *= 2; }",
      "grid": [1], "block": [32] },
    { "on": "resident", "code": [ "void twice(int n, unsigned *x)", "{", "for (int i = tg_lane(); i < n; i += TG_LANES)", "$1", "}" ] } ] } },
  "tasks": [ { "for": ["r in 0:4", "i in 0:8"], "id": "t[{r},{i}]", "kernel": "twice", "args": { "n": 64, "x": "A[i]" } } ] }
END
}
own_graph 'x[i] *= 2;' >"$scratch/own.json"
want 0 "$tgraph" check --compile "$scratch/own.json"
want 0 run "$scratch/own.json" -D cuda:0 --executor resident --compare sequential -v
has out 'resident: 32 commands in 1 kernel'
has out 'kernel of 32 tasks: generated for 1 body, 64 registers'
want 0 run "$scratch/own.json" -D cuda:0 --executor resident --record "$scratch/own.tgr"
want 0 "$tgraph" why "$scratch/own.tgr" 't[1,0]'
has out 'on cuda:0 w'
has out ', inside a resident kernel, '
want 0 "$tgraph" --format json why "$scratch/own.tgr" 't[1,0]'
has out '"is_resident": true'
own_graph 'x[i] *= two;' >"$scratch/own.json"
want 1 "$tgraph" check --compile "$scratch/own.json"
has err "'two' was not declared in this scope"
has err 'own.json:6:'
want 0 env TGRAPH_NVRTC=/nonexistent.so "$tgraph" check --compile "$scratch/own.json"
has err 'its source for GPUs was not compiled'

exit $failed
