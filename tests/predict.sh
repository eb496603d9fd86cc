#!/bin/bash
# calibrate, run --simulate, run --machine, plan -o and bench from outside.  What is asserted of times holds however busy the
# machine is.
set -uo pipefail

. tests/outside.bash
export TGRAPH_DEVICES=cpu:2
graphs=$PWD/examples/graphs
small="$graphs/cholesky.json -p NT=4 -p B=16"
want() { # CODE ARGUMENTS..
    exits "$1" "$TGRAPH" "${@:2}"
}

# ---- calibrate --------------------------------------------------------------------------------
machine=$scratch/machine.json
# shellcheck disable=SC2086
want 0 calibrate --quick --kernels $small -o "$machine"
has out 'builtin gemm_nt f64'
has out 'builtin potrf_lower f64'
is_json "$machine"
grep -q '"is_rough": false' "$machine" || complain 'a measured machine is called rough'
grep -q '"measured_on"' "$machine" || complain 'the machine file does not say where it was measured'
# shellcheck disable=SC2086
want 0 --format json calibrate --quick --kernels $small --check "$machine" --threshold 1000000%
is_json "$scratch/out"
has out '"slower_by"'
# A kernel that took a thousandth of the time, and one that took a thousand times as long.
sed 's/\("kernel": "builtin gemm_nt.*"median_ns": \)[0-9.e+]*/\10.001/' "$machine" >"$scratch/faster.json"
# shellcheck disable=SC2086
want 1 calibrate --quick --kernels $small --check "$scratch/faster.json" --threshold 1000000%
has out 'builtin gemm_nt f64'
has out 'slower by'
sed 's/\("kernel": "builtin gemm_nt.*"median_ns": \)[0-9.e+]*/\11e15/' "$machine" >"$scratch/slower.json"
# shellcheck disable=SC2086
want 1 calibrate --quick --kernels $small --check "$scratch/slower.json" --threshold 1000000%
has out 'faster by'

# Files of other machines, versions, and none at all.
sed 's/"cpu": "[^"]*", "cores"/"cpu": "Elsewhere 9000", "cores"/' "$machine" >"$scratch/foreign.json"
want 1 calibrate --quick --check "$scratch/foreign.json"
has err 'TG0112'
has err 'Elsewhere 9000'
sed 's/"tgraph_machine": 1/"tgraph_machine": 2/' "$machine" >"$scratch/later.json"
want 1 calibrate --quick --check "$scratch/later.json"
has err 'TG0106'
want 3 calibrate --quick --check "$scratch/none.json"
want 3 calibrate --quick --kernels "$scratch/none.json"
want 2 calibrate --quick --threshold much
want 2 calibrate --quick -o -
want 4 calibrate --quick --kernels "$graphs/saxpy.json" -o "$scratch/no/such/folder.json"
# What a graph says of itself is a description, not a measurement.
want 0 plan "$graphs/saxpy.json" --save-machine "$scratch/described.json"
want 2 plan "$graphs/saxpy.json" -o "$scratch/both.json" --save-machine "$scratch/./both.json"
has err '--output and --save-machine both write to'
want 1 calibrate --quick --check "$scratch/described.json"
has err 'measured on none'

# ---- predictions ------------------------------------------------------------------------------
# What a run would take, without one: a GPU whose copies in graphs follow each other more slowly than its link says.
cat >"$scratch/gpu.json" <<'END'
{ "tgraph_machine": 1, "name": "node", "is_rough": false,
  "classes": [ {"name": "cpu", "kind": "cpu", "flops_per_s": 1e10}, {"name": "cuda", "kind": "cuda", "flops_per_s": 1e12, "launch_ns": 3000} ],
  "memories": [ {"name": "host", "bytes_per_s": 1e11}, {"name": "cuda:0", "bytes": 1e9, "bytes_per_s": 1e12} ],
  "devices": [ {"name": "cpu:0", "class": "cpu", "memory": "host", "lanes": 2}, {"name": "cuda:0", "class": "cuda", "memory": "cuda:0", "lanes": 6} ],
  "links": [ {"from": "host", "to": "cuda:0", "latency_ns": 1000, "bytes_per_s": 5e10, "shares": "link"},
             {"from": "cuda:0", "to": "host", "latency_ns": 1000, "bytes_per_s": 5e10, "shares": "link"} ],
  "kernels": [ {"kernel": "builtin scale f64", "class": "cuda", "arguments": "*", "median_ns": 1000, "samples": 9,
                "enqueue_ns": 1500, "see_ns": 1000, "mark_ns": 500} ],
  "graphs": [ {"class": "cuda", "tasks": 100, "launch_ns": 10, "submit_ns": 2000, "copy_ns": 50000, "on_streams_ns": 3e7, "as_graph_ns": 4e7} ] }
END
cat >"$scratch/scale.json" <<'END'
{ "tgraph": "1.0", "buffers": { "x": { "dtype": "f64", "shape": [8], "tiles": [100], "init": "zero" } }, "kernels": { "scale": { "builtin": "scale" } },
  "tasks": [ { "for": "i in 0:100", "do": [ { "kernel": "scale", "args": { "n": 8, "a": 2, "x": "x[i]" } } ] } ] }
END
want 0 --format json plan "$scratch/scale.json" --machine "$scratch/gpu.json" --as-run streams
grep -qE '"as_run_ns": 303[0-9]{5}[.,]' "$scratch/out" || complain "30 ms, and 100 tasks that take the host 3 us each: $(grep as_run "$scratch/out")"
# A file of before it said more than "enqueue_ns": what is usual counts, and tasks that do nothing take 2 us.
sed 's/"see_ns": 1000, "mark_ns": 500/"x-note": 0/' "$scratch/gpu.json" >"$scratch/older.json"
want 0 --format json plan "$scratch/scale.json" --machine "$scratch/older.json" --as-run streams
grep -qE '"as_run_ns": 30[3-5][0-9]{5}[.,]' "$scratch/out" || complain "30 ms, and 100 tasks that take the host 3 to 6 us each: $(grep as_run "$scratch/out")"
want 0 --format json plan "$scratch/scale.json" --machine "$scratch/gpu.json" --as-run graph
grep -qE '"as_run_ns": 450[0-9]{5}[.,]' "$scratch/out" || complain "40 ms, and 100 copies, 50 us each: $(grep as_run "$scratch/out")"
want 0 plan "$scratch/scale.json" --machine "$scratch/gpu.json" --as-run graph
has out 'a run as a graph is predicted to take 45.0'
want 2 plan "$scratch/scale.json" --as-run resident
# shellcheck disable=SC2086
want 0 run $small --machine "$machine"
has out 'plan predicted'
grep -qE 'of critical path .*, area .*, memory .*, links ' "$scratch/out" || complain 'not all bounds are printed'
lacks out 'not known'
# shellcheck disable=SC2086
want 0 run $small --machine "$machine" --record "$scratch/bounds.tgr"
want 0 report "$scratch/bounds.tgr"
grep -qE 'of critical path .*, area .*, memory .*, links ' "$scratch/out" || complain 'the report has not all bounds'
want 0 --format json report "$scratch/bounds.tgr"
has out '"memory_ns"'
has out '"binding"'
want 0 report "$scratch/bounds.tgr" --html "$scratch/bounds.html"
grep -A12 '"bounds": \[' "$scratch/bounds.html" | grep -q null && complain 'the page does not know all bounds'
# shellcheck disable=SC2086
want 0 run $small
has out 'bounds of memory and links are not known'
# shellcheck disable=SC2086
want 0 --format json run $small --machine "$machine"
is_json "$scratch/out"
has out '"predicted_ns"'
want 0 run "$graphs/saxpy.json" --machine "$machine" --save-dir "$scratch"
lacks out 'plan predicted'
has err 'no prediction'
# shellcheck disable=SC2086
want 1 run $small --machine "$scratch/foreign.json"
has err 'not of this machine'

# ---- simulated runs ---------------------------------------------------------------------------
for policy in eager steal heft bandwidth; do
    # shellcheck disable=SC2086
    want 0 run $small --simulate --machine "$machine" --policy $policy --record "$scratch/$policy.tgr" --gantt "$scratch/$policy.svg"
    has out ': simulated, 20 tasks on 2 workers'
    has out '20 measured'
    has out 'nothing was executed'
    want 0 report "$scratch/$policy.tgr"
    has out ': simulated, '
done
want 0 why "$scratch/steal.tgr" 'gemm[3,2,1]' --chain
has out 'slack'
want 0 diff "$scratch/eager.tgr" "$scratch/heft.tgr" --threshold 1000%
for type in svg dot chrome pftrace csv json; do
    want 0 export "$scratch/heft.tgr" -t $type -o "$scratch/picture.$type"
done
is_json "$scratch/picture.json"
# shellcheck disable=SC2086
want 0 --format json run $small --simulate --machine "$machine"
is_json "$scratch/out"
has out '"is_simulated": true'
# The same twice: a virtual clock does not depend on anything else.
# shellcheck disable=SC2086
want 0 run $small --simulate --machine "$machine" -D cpu:1
grep makespan "$scratch/out" >"$scratch/once"
# shellcheck disable=SC2086
want 0 run $small --simulate --machine "$machine" -D cpu:1
[ "$(grep makespan "$scratch/out")" = "$(cat "$scratch/once")" ] || complain 'two simulations differ'
# Devices that are not here, but described.
want 0 plan "$graphs/cholesky.json" --gpus 2 --save-machine "$scratch/gpus.json"
want 0 run "$graphs/cholesky.json" -D cuda:0,1 --simulate --machine "$scratch/gpus.json" --policy heft --record "$scratch/gpus.tgr"
has out '2 devices'
has out 'rough ones, not measured'
want 0 report "$scratch/gpus.tgr" --by device
has out 'cuda:1'
for option in --verify --check-nan --deterministic '--repeat 2' '--compare sequential'; do
    # shellcheck disable=SC2086
    want 2 run $small --simulate $option
done
# shellcheck disable=SC2086
want 2 run $small --simulate --policy luck

# ---- a cluster --------------------------------------------------------------------------------
cluster=$PWD/examples/machines/cluster.json
large="$graphs/cholesky.json -p NT=16 -p B=2048"
makespan_of() { # MACHINE
    # shellcheck disable=SC2086
    want 0 --format json plan $large --machine "$1" --policy bandwidth
    sed -n 's/.*"makespan_ns": \([0-9]*\).*/\1/p' "$scratch/out" | head -n 1
}
# shellcheck disable=SC2086
want 0 plan $large --machine "$cluster" --policy bandwidth --save-machine "$scratch/cluster.json"
has out '4 x cpu with 64 lanes + 8 x cuda'
grep -qE '^  cuda:[2-7] +[1-9]' "$scratch/out" || complain 'no task is planned for a GPU of another node'
grep -qE '^  as a CUDA graph: .* to make it, .* a launch, .* on streams; pays after [0-9]+ start' "$scratch/out" ||
    complain 'what a graph costs is not said'
cp "$scratch/out" "$scratch/planned"
# shellcheck disable=SC2086
want 0 plan $large --machine "$scratch/cluster.json" --policy bandwidth
cmp -s "$scratch/out" "$scratch/planned" || complain 'a cluster that was saved is another one'
want 0 --format json plan "$graphs/cholesky.json" --machine "$cluster"
is_json "$scratch/out"
has out '"pays_after_starts"'
sed '/nic:/s/5e10/5e11/; /"\*"/s/5e10/5e11/' "$cluster" >"$scratch/faster.json"
sed '/nic:/s/5e10/5e9/; /"\*"/s/5e10/5e9/' "$cluster" >"$scratch/slower.json"
usual=$(makespan_of "$cluster") faster=$(makespan_of "$scratch/faster.json") slower=$(makespan_of "$scratch/slower.json")
[ "$faster" -lt "$usual" ] && [ "$faster" -lt "$slower" ] || complain "the network does not matter: $faster, $usual, $slower ns"
want 0 run "$graphs/cholesky.json" -p B=512 -D cuda:0,1,2,3,4,5,6,7+cpu:64 --simulate --machine "$cluster" --record "$scratch/nodes.tgr"
has out '8 devices + 64 workers'
want 1 run "$graphs/cholesky.json" -p NT=2 --machine "$cluster" # it is not this machine
sed '/"graphs"/,/\]/s/launch_ns/lunch_ns/' "$cluster" >"$scratch/odd.json"
want 1 plan "$graphs/cholesky.json" --machine "$scratch/odd.json"
has err 'lunch_ns'

# ---- plans as files ---------------------------------------------------------------------------
# shellcheck disable=SC2086
want 0 plan $small --machine "$machine" --policy eager,heft -o "$scratch/plan.json"
is_json "$scratch/plan.json"
grep -qF '"schema": "tgraph.plan/1"' "$scratch/plan.json" || complain 'the plan does not say what it is'
[ "$(grep -c '"device": "cpu:0"' "$scratch/plan.json")" = 20 ] || complain 'the plan does not have a line for each task'
# shellcheck disable=SC2086
want 0 run $small --plan "$scratch/plan.json" --compare sequential --record "$scratch/followed.tgr"
has out ', policy plan, executor cpu'
has out 'plan predicted'
# shellcheck disable=SC2086
want 0 plan $small --machine "$machine" --policy steal -o "$scratch/other.json"
want 0 diff "$scratch/plan.json" "$scratch/other.json" --threshold 100000% --fail-on slower
want 0 diff "$scratch/plan.json" "$scratch/followed.tgr" --threshold 100000%
want 0 report "$scratch/plan.json"
has out ': planned, 20 tasks on 2 workers'
want 0 why "$scratch/plan.json" 'gemm[3,2,1]'
has out 'slack'
for type in svg dot html csv; do
    want 0 export "$scratch/plan.json" -t $type -o "$scratch/picture.$type"
done
# Of another graph, of none, for devices that are not here, and beside what also decides.
want 1 run "$graphs/cholesky.json" -p NT=5 -p B=16 --plan "$scratch/plan.json"
has err 'of another graph: it has 20 tasks'
want 1 run $small --plan "$graphs/saxpy.json"
has err 'this is no plan'
sed 's/"task": "gemm\[3,2,1\]"/"task": "gemm[3,2,2]"/' "$scratch/plan.json" >"$scratch/renamed.json"
# shellcheck disable=SC2086
want 1 run $small --plan "$scratch/renamed.json"
has err '"gemm[3,2,2]", and the graph'
sed 's/cpu:0/cuda:5/g' "$scratch/plan.json" >"$scratch/elsewhere.json"
# shellcheck disable=SC2086
want 4 run $small --plan "$scratch/elsewhere.json"
has err 'cuda:5, which this run does not have'
# shellcheck disable=SC2086
want 2 run $small --plan "$scratch/plan.json" --policy heft
# shellcheck disable=SC2086
want 1 run $small --plan "$scratch/plan.json" --deterministic
# shellcheck disable=SC2086
want 2 run $small --plan "$scratch/plan.json" --simulate
want 3 run $small --plan "$scratch/none.json"
# shellcheck disable=SC2086
want 0 plan $small -o -
is_json "$scratch/out"
# shellcheck disable=SC2086
want 2 plan $small --gpus 1,2 -o "$scratch/plan.json"
# shellcheck disable=SC2086
want 2 --format json plan $small -o -

# ---- bench ------------------------------------------------------------------------------------
# shellcheck disable=SC2086
want 0 bench $small --runs 5 --warmup 0
has out 'median'
[ "$(grep -c tiled-cholesky "$scratch/out")" = 1 ] || complain 'one configuration is not one line'
unset TGRAPH_DEVICES
# shellcheck disable=SC2086
want 0 bench $small --runs 4 --matrix workers=1,2,3 --matrix executor=cpu --export-json "$scratch/bench.json"
[ "$(grep -c tiled-cholesky "$scratch/out")" = 3 ] || complain 'three configurations are not three lines'
is_json "$scratch/bench.json"
[ "$(grep -c '"runs": 4' "$scratch/bench.json")" = 3 ] || complain 'not every run was counted'
# shellcheck disable=SC2086
want 0 --format json bench $small --time 1ms --runs 1000000
is_json "$scratch/out"
has out '"command": "bench"'
# shellcheck disable=SC2086
want 0 bench $small --runs 3 --matrix policy=auto,eager,steal,heft,bandwidth --machine "$machine" --matrix executor=cpu
[ "$(grep -c tiled-cholesky "$scratch/out")" = 5 ] || complain 'five policies are not five lines'
has out 'bandwidth'
# shellcheck disable=SC2086
want 1 bench $small --machine "$scratch/foreign.json"
export TGRAPH_CUDA_DRIVER=$scratch/no-driver
# shellcheck disable=SC2086
want 4 bench $small --matrix executor=streams
has err 'TG0707'
lacks out 'median'
for matrix in workers=0 workers=x executor=gpu policy=luck speed=2 workers; do
    # shellcheck disable=SC2086
    want 2 bench $small --matrix $matrix
done
# shellcheck disable=SC2086
want 2 bench $small --matrix workers=1 --matrix workers=2
# shellcheck disable=SC2086
want 2 bench $small -D cpu:2 --matrix workers=1
cat >"$scratch/fails.json" <<'END'
{ "tgraph": "1.0", "kernels": { "spin": { "builtin": "spin" } },
  "tasks": [ { "id": "slow", "kernel": "spin", "args": { "us": 2000000 }, "timeout_ms": 10 } ] }
END
want 1 bench "$scratch/fails.json"
has err 'TG0702'
lacks out 'median'

exit $failed
