#!/bin/bash
# Records of runs from outside: run --record, report, why, diff, export, on graphs of examples/graphs.
set -uo pipefail

. tests/outside.bash
export TGRAPH_DEVICES=cpu
graphs=$PWD/examples/graphs
want() { # CODE ARGUMENTS..
    exits "$1" "$TGRAPH" "${@:2}"
}

# ---- every example ----------------------------------------------------------------------------
for graph in "$graphs"/*.json; do
    name=$(basename "$graph" .json)
    if ! "$TGRAPH" -q run "$graph" --save-dir "$scratch" --record "$scratch/$name.tgr" 2>"$scratch/err"; then
        complain "$name does not run with --record: $(head -c 300 "$scratch/err")"
        continue
    fi
    want 0 report "$scratch/$name.tgr" --by kernel,device,task,link
    has out ': ok, '
    has out 'lower bound'
    want 0 --format json report "$scratch/$name.tgr" --by kernel,device,task,link
    is_json "$scratch/out"
    for type in svg dot chrome pftrace csv json html; do
        want 0 export "$scratch/$name.tgr" -t $type -o "$scratch/picture.$type"
    done
    is_json "$scratch/picture.chrome"
    is_json "$scratch/picture.json"
done

# ---- one of them closely ----------------------------------------------------------------------
record=$scratch/c.tgr
want 0 run "$graphs/cholesky.json" -p NT=6 -p B=16 -D cpu:2 --record "$record"
want 0 report "$record"
has out 'tiled-cholesky: ok, 56 tasks on 2 workers'
grep -qE '^  gemm +20 ' "$scratch/out" || complain 'the report does not count kernels'
want 0 why "$record" 'gemm[5,4,3]'
has out 'kernel gemm, done'
has out ', the last of 3' # which of them is up to the schedule
has out 'slack'
want 0 why "$record" 'gemm[5,4,3]' --chain
has out 'potrf[0]'
want 0 --format json why "$record" 'gemm[5,4,3]' --chain
is_json "$scratch/out"
has out '"schema": "tgraph.why/1"'
want 1 why "$record" 'gemm[5,4,33]'
has err 'TG0204'
has err 'did you mean "gemm[5,4,3]"?'
want 2 report "$record" --by weather
want 0 report "$record" "$scratch/saxpy.tgr"
[ "$(grep -c '  makespan' "$scratch/out")" = 2 ] || complain 'two records are not both reported'

# ---- runs that are killed ---------------------------------------------------------------------
cat >"$scratch/spin.json" <<'END'
{ "tgraph": "1.0", "kernels": { "spin": { "builtin": "spin" } },
  "tasks": [ { "for": "i in 0:3000", "do": [ { "id": "a[{i}]", "kernel": "spin", "args": { "us": 2000 } } ] } ] }
END
for signal in KILL SEGV; do
    killed=$scratch/killed-$signal.tgr
    "$TGRAPH" -q run "$scratch/spin.json" -D cpu:2 --record "$killed" 2>/dev/null &
    run=$!
    for ((i = 0; i < 500; i++)); do # until something has ended
        "$TGRAPH" --format json report "$killed.partial" 2>/dev/null | grep -qE '"done_tasks": [1-9]' && break
        sleep 0.01
    done
    kill -$signal $run
    wait $run 2>/dev/null
    [ -e "$killed" ] && complain "there is a record of a run that was ended by SIG$signal"
    want 0 report "$killed.partial"
    has err 'the run did not end; '
    has err ' of 3,000 tasks had'
    has out ': did not end, 3,000 tasks on 2 workers'
    grep -qE ' +[1-9][0-9,]* done, 0 failed, [1-9][0-9,]* not run' "$scratch/out" || complain 'what had ended is not counted'
    want 0 why "$killed.partial" 'a[0]'
    for type in svg html json pftrace; do
        want 0 export "$killed.partial" -t $type -o "$scratch/picture.$type"
    done
    want 3 report "$killed"
    has err "there is \"$killed.partial\""
done
# A task that does not return when the time is up.
cat >"$scratch/stuck.json" <<'END'
{ "tgraph": "1.0", "kernels": { "spin": { "builtin": "spin" }, "stuck": { "params": [ { "name": "s", "type": "i64" } ],
    "variants": [ { "on": "cpu", "c": "#include <unistd.h>\nint stuck(void **a, const struct tg_context *c) { (void)c; sleep(*(long *)a[0]); return 0; }" } ] } },
  "tasks": [ { "id": "first", "kernel": "spin", "args": { "us": 1 } }, { "after": [ "first" ], "kernel": "stuck", "args": { "s": 6 } } ] }
END
want 124 run "$scratch/stuck.json" -D cpu:1 --timeout 100ms --record "$scratch/stuck.tgr"
has err "\"$scratch/stuck.tgr.partial\" has what had ended"
want 0 report "$scratch/stuck.tgr.partial"
has err 'the run did not end; 1 of 2 tasks had'
# Rounds of bodies are there as well.
cat >"$scratch/loop.json" <<'END'
{ "tgraph": "1.0", "kernels": { "spin": { "builtin": "spin" } },
  "tasks": [ { "id": "first", "kernel": "spin", "args": { "us": 1 } },
             { "id": "loop", "after": [ "first" ], "repeat": 100000, "do": [ { "id": "step", "kernel": "spin", "args": { "us": 1000 } } ] } ] }
END
"$TGRAPH" -q run "$scratch/loop.json" -D cpu:2 --record "$scratch/loop.tgr" 2>/dev/null &
run=$!
for ((i = 0; i < 500; i++)); do # until some rounds have ended
    "$TGRAPH" --format json why "$scratch/loop.tgr.partial" 'loop:3/step' >/dev/null 2>&1 && break
    sleep 0.01
done
kill -KILL $run
wait $run 2>/dev/null
want 0 report "$scratch/loop.tgr.partial"
has err 'the run did not end; '
lacks err 'no room'
want 0 why "$scratch/loop.tgr.partial" 'loop:2/step'
has out 'loop:1/step'
want 1 why "$scratch/loop.tgr.partial" 'loop:99999/step'
for type in svg html json pftrace; do
    want 0 export "$scratch/loop.tgr.partial" -t $type -o "$scratch/picture.$type"
done
[ -e "$record.partial" ] && complain 'a run that ended leaves its live record'
want 0 run "$graphs/cholesky.json" -p NT=4 -p B=16 -D cpu:2 --record /dev/null # has none
ln -s "$scratch/elsewhere" "$scratch/linked.tgr.partial"
want 0 run "$graphs/cholesky.json" -p NT=4 -p B=16 -D cpu:2 --record "$scratch/linked.tgr"
has err 'should this run be killed, there will be no record of it: '
[ -e "$scratch/elsewhere" ] && complain 'a live record followed a link'
want 0 report "$scratch/linked.tgr"

want 0 report "$record" --html "$scratch/c.html"
cmp -s "$scratch/c.html" <("$TGRAPH" export "$record" -t html) || complain 'report --html and export -t html differ'
grep -qF "content=\"default-src 'none'; script-src 'sha256-" "$scratch/c.html" || complain 'the page has no policy'
grep -qE '(src|href)=|https?://|url\(|@import|import\(|XMLHttp|fetch\(|WebSocket' "$scratch/c.html" && complain 'the page asks for something'
want 2 report "$record" "$record" --html "$scratch/no.html"
want 2 report "$record" --by task --html "$scratch/no.html"
[ -e "$scratch/no.html" ] && complain 'a page was written after all'

# The same pictures at the end of a run, and of one that was simulated.
for type in svg dot pftrace csv json html; do
    want 0 run "$graphs/cholesky.json" -p NT=4 -p B=16 -D cpu:2 --trace "$scratch/trace.$type"
    [ -s "$scratch/trace.$type" ] || complain "--trace has written no $type"
    want 0 run "$graphs/cholesky.json" -p NT=4 -p B=16 -D cpu:2 --simulate --trace "$scratch/trace.$type" --record "$scratch/trace.tgr"
    "$TGRAPH" export "$scratch/trace.tgr" -t $type | cmp -s - "$scratch/trace.$type" || complain "--trace and export give another $type"
done
want 2 run "$graphs/cholesky.json" --trace "$scratch/trace.mmd"
want 2 run "$graphs/cholesky.json" --trace "$scratch/trace"
want 4 run "$graphs/cholesky.json" -p NT=4 --trace "$scratch/no/trace.svg"

# Rounds of bodies are tasks like others.
cat >"$scratch/loop.json" <<'END'
{ "tgraph": "1.0", "kernels": { "spin": { "builtin": "spin" } },
  "tasks": [ { "id": "loop", "repeat": 3, "do": [ { "id": "step", "kernel": "spin", "args": { "us": 100 } } ] } ] }
END
want 0 run "$scratch/loop.json" --record "$scratch/loop.tgr"
want 0 why "$scratch/loop.tgr" 'loop:2/step' --chain
has out 'loop:1/step'
has out 'on the critical path'

# A run that fails leaves a record of what it did.
cat >"$scratch/fails.json" <<'END'
{ "tgraph": "1.0", "kernels": { "spin": { "builtin": "spin" } },
  "tasks": [ { "id": "slow", "kernel": "spin", "args": { "us": 2000000 }, "timeout_ms": 10 }, { "id": "next", "after": [ "slow" ], "kernel": "spin", "args": { "us": 1 } } ] }
END
want 1 run "$scratch/fails.json" --record "$scratch/fails.tgr"
want 0 report "$scratch/fails.tgr"
has out ': failed, '
grep -qE '(1[1-9]|[2-9][0-9])[0-9] % efficient' "$scratch/out" && complain 'a run that was ended early is more than efficient'
want 0 why "$scratch/fails.tgr" next
has out 'not run'

# ---- diff -------------------------------------------------------------------------------------
for us in 100 1000; do
    "$TGRAPH" gen chain --tasks 200 --kernel spin --us $us -o "$scratch/chain$us.json"
    "$TGRAPH" -q run "$scratch/chain$us.json" --record "$scratch/chain$us.tgr" || complain 'a chain does not run'
done
want 1 diff "$scratch/chain100.tgr" "$scratch/chain1000.tgr" --fail-on slower
has out 'makespan'
has out 'spin'
want 0 diff "$scratch/chain1000.tgr" "$scratch/chain100.tgr" --fail-on slower
want 0 diff "$scratch/chain100.tgr" "$scratch/chain1000.tgr" --fail-on slower --threshold 100000%
want 0 diff "$scratch/chain100.tgr" "$scratch/chain100.tgr" --fail-on slower
has out 'same'
# A run that was cut short is not faster.
want 124 run "$scratch/chain1000.json" -D cpu:1 --timeout 1ms --record "$scratch/short.tgr"
want 1 diff "$scratch/chain1000.tgr" "$scratch/short.tgr" --fail-on slower
has err 'did not come to its end (timeout)'
want 0 diff "$scratch/chain1000.tgr" "$scratch/short.tgr"
want 0 --format json diff "$scratch/chain100.tgr" "$scratch/chain1000.tgr"
is_json "$scratch/out"
has out '"is_slower": true'
want 2 diff "$record" "$graphs/cholesky.json"
want 2 diff "$record" "$record" --threshold much
want 0 diff "$graphs/cholesky.json" "$graphs/cholesky.json" --fail-on changed
sed 's/"potrf\[{k}\]"/"factor[{k}]"/' "$graphs/cholesky.json" >"$scratch/renamed.json"
want 1 diff "$graphs/cholesky.json" "$scratch/renamed.json" --fail-on changed
has out 'added: factor[0]'
has out 'removed: potrf[0]'
want 0 --format json diff "$graphs/cholesky.json" "$graphs/lu.json"
is_json "$scratch/out"

# ---- export -----------------------------------------------------------------------------------
want 0 export "$record" -t csv
[ "$(wc -l <"$scratch/out")" = 57 ] || complain 'csv does not have a line for each task'
want 2 export "$record" -t mermaid
want 2 export "$record" --focus 'potrf[0]'
want 2 export "$record" --view graph
want 2 export "$record" --view memory -t png -o "$scratch/no.png"
want 2 export "$record" --view types -t csv
want 2 export "$graphs/cholesky.json" --view gantt -t svg
for view in gantt memory; do
    want 0 export "$record" --view $view -t svg -o "$scratch/$view.svg"
    grep -qF '</svg>' "$scratch/$view.svg" || complain "--view $view is no picture"
done
grep -qF 'host memory' "$scratch/memory.svg" || complain 'the picture of memory has none'
want 0 export "$record" --view types -t dot
has out '% of the critical path'
want 0 export "$record" --view devices -t dot
has out 'cpu:' # one worker may have done all of it
want 2 export "$graphs/cholesky.json" -t pftrace
want 0 export "$record" -t dot --max-nodes 10
has err '10 of 56'
if command -v dot >/dev/null; then
    want 0 export "$record" -o "$scratch/c.png"
    for view in schedule types devices; do
        want 0 export "$record" --view $view -o "$scratch/$view.pdf"
        [ "$(head -c 5 "$scratch/$view.pdf")" = %PDF- ] || complain "--view $view is no PDF"
        want 0 export "$record" --view $view -o "$scratch/$view.svg"
    done
    want 0 export "$record" -t dot -o "$scratch/c.dot"
    [ "$(dot -Tplain "$scratch/c.dot" 2>"$scratch/err" | grep -c '^node t')" = 56 ] || complain 'Graphviz does not draw every task'
    [ -s "$scratch/err" ] && complain "Graphviz complains: $(head -c 300 "$scratch/err")"
fi

# ---- devices, which the stand-in driver plays --------------------------------------------------
libraries=$(dirname "$TGRAPH")/tests
stand_in=(env -u TGRAPH_DEVICES TGRAPH_CUDA_DRIVER="$libraries/libstandin-cuda.so" TGRAPH_CUDA_KERNELS="$libraries/standin-kernels.txt"
    TGRAPH_BLAS=off TGRAPH_HISTORY=off TGRAPH_STANDIN_MEMORY=1G TGRAPH_STANDIN_DEVICES=2)
on_devices() {
    "${stand_in[@]}" "$TGRAPH" "$@" >"$scratch/out" 2>"$scratch/err" ||
        complain "tgraph $* fails: $(head -c 300 "$scratch/err")"
}
on_devices run "$graphs/cholesky.json" -p NT=4 -D cuda:0,1+cpu:1 --record "$scratch/d.tgr"
want 0 --format json report "$scratch/d.tgr" --by device,link
has out '"lane": "cuda:1 s'
if command -v python3 >/dev/null; then
    python3 - "$scratch/out" <<'END' || complain 'copies one by one are not what was moved in all'
import json, sys
r = json.load(open(sys.argv[1]))["records"][0]
m, links = r["moved"], r["links"]
assert m["copies"] == sum(l["copies"] for l in links) > 0
assert m["to_device_bytes"] == sum(l["moved_bytes"] for l in links if l["from"] == "host")
assert m["peer_bytes"] == sum(l["moved_bytes"] for l in links if "host" not in (l["from"], l["to"]))
END
fi
want 0 export "$scratch/d.tgr" --view devices -t dot
has out 'node1 -> node2'
want 0 export "$scratch/d.tgr" -t dot
has out 'label="cuda:1";'
has out ' KiB"];'
want 0 why "$scratch/d.tgr" 'potrf[0]'
has out 'placed            on cuda:0, where what it writes lives'
has out 'copy              A tile 0, 128 KiB, host -> cuda:'

# What had ended on a device when the run was killed.
"${stand_in[@]}" "$TGRAPH" -q run "$graphs/cholesky.json" -p NT=40 -D cuda:0,1+cpu:1 --record "$scratch/k.tgr" 2>/dev/null &
run=$!
for ((i = 0; i < 500; i++)); do
    "$TGRAPH" --format json report "$scratch/k.tgr.partial" 2>/dev/null | grep -qE '"lane": "cuda:1 s.*"tasks": [1-9]' && break
    sleep 0.01
done
kill -KILL $run
wait $run 2>/dev/null
want 0 --format json report "$scratch/k.tgr.partial"
grep -qE '"lane": "cuda:1 s.*"tasks": [1-9]' "$scratch/out" || complain 'nothing of a device is in the record of a run that was killed'

# Rounds on devices, and what was copied for them.
cat >"$scratch/rounds.json" <<'END'
{ "tgraph": "1.0", "buffers": { "A": { "dtype": "u64", "shape": [ 32 ], "tiles": [ 4 ], "init": { "iota": true } } },
  "kernels": { "mix": { "builtin": "hash_inout" } },
  "tasks": [ { "id": "loop", "repeat": 100000, "do": [
      { "for": "i in 0:4", "do": [ { "id": "step[{i}]", "kernel": "mix", "args": { "id": "i", "n": 32, "out": "A[i]" } } ] } ] } ] }
END
"${stand_in[@]}" "$TGRAPH" -q run "$scratch/rounds.json" -D cuda:0,1+cpu:1 --record "$scratch/k.tgr" 2>/dev/null &
run=$!
for ((i = 0; i < 500; i++)); do
    "$TGRAPH" --format json why "$scratch/k.tgr.partial" 'loop:5/step[3]' 2>/dev/null | grep -q '"cuda:' && break
    sleep 0.01
done
kill -KILL $run
wait $run 2>/dev/null
want 0 why "$scratch/k.tgr.partial" 'loop:2/step[1]'
has out 'cuda:'
has out 'when loop:2 ended'
want 0 why "$scratch/k.tgr.partial" 'loop:0/step[1]'
has out 'A tile 1, 256 B, host -> cuda:'
want 0 report "$scratch/k.tgr.partial" --by link
grep -qE '  host +-> cuda:[01] ' "$scratch/out" || complain "no copies are in the record of a run that was killed: $(cat "$scratch/out")"

# A graph that writes each tile once is cut into parts.
"$TGRAPH" gen random --tasks 60 --kernel hash -o "$scratch/hash.json"
on_devices run "$scratch/hash.json" -D cuda:0,1+cpu:1 --record "$scratch/hash.tgr"
want 0 why "$scratch/hash.tgr" 't[40]'
grep -qE '^  placed .* on cuda:[01], with its part of the graph, which was cut so that little crosses$' "$scratch/out" ||
    complain "its part is not named: $(cat "$scratch/out")"

# Devices are chosen by estimates where nothing else decides, and the record keeps them.
cat >"$scratch/again.json" <<'END'
{"tgraph": "1.0", "kernels": {"mix": {"builtin": "hash_inout"}},
 "buffers": {"A": {"dtype": "u64", "shape": [64], "tiles": [60], "init": {"iota": true}}},
 "tasks": [{"for": ["r in 0:2", "i in 0:60"], "id": "t[{r*60+i}]", "kernel": "mix", "args": {"id": "r*60+i", "n": 64, "out": "A[i]", "in0": "A[(i+1)%60]"}}]}
END
on_devices run "$scratch/again.json" -D cuda:0,1+cpu:1 --record "$scratch/hash.tgr"
want 0 why "$scratch/hash.tgr" 't[40]'
grep -qE '^  placed .* on cuda:[01], where it was to be done first: .* of work placed there \+ .* of copies$' "$scratch/out" ||
    complain "no estimate of where it is placed: $(cat "$scratch/out")"
grep -qE '^  rejected .* on cuda:[01]: .* of work placed there \+ .* of copies$' "$scratch/out" || complain 'the other device is not named'
want 0 --format json why "$scratch/hash.tgr" 't[40]'
is_json "$scratch/out"
has out '"estimate_ns"'

# ---- what is no record ------------------------------------------------------------------------
head -c 3000 "$record" >"$scratch/cut.tgr"
want 0 report "$scratch/cut.tgr"
has err 'was cut off'
[ "$(wc -l <"$scratch/err")" = 1 ] || complain 'a cut is more than a line'
head -c 100 "$record" >"$scratch/short.tgr"
want 3 report "$scratch/short.tgr"
want 3 report "$graphs/cholesky.json"
has err 'TG0907'
want 3 report "$scratch/nosuch.tgr"
cp "$record" "$scratch/flipped.tgr"
printf 'x' | dd of="$scratch/flipped.tgr" bs=1 seek=4000 conv=notrunc 2>/dev/null
want 3 why "$scratch/flipped.tgr" 'potrf[0]'
has err 'checksum'
want 4 run "$graphs/cholesky.json" -p NT=4 --record "$scratch/no/such.tgr"
want 0 explain TG0907
"$TGRAPH" report "$record" >/dev/full 2>"$scratch/err"
[ $? = 4 ] || complain 'a full disk goes unnoticed'
exit $failed
