#!/bin/bash
# Runs that are killed and go on, from outside: run --checkpoint, --resume.  TGRAPH_TEST_KILLS times (6).
set -uo pipefail

. tests/outside.bash
export TGRAPH_DEVICES=cpu
graphs=$PWD/examples/graphs
want() { # CODE ARGUMENTS..
    exits "$1" "$TGRAPH" "${@:2}"
}

# ---- killed until it is done --------------------------------------------------------------------
cholesky=("$graphs/cholesky.json" -p NT=12 -p B=96 -D cpu:2)
kept=$scratch/kept
how=--checkpoint
killed=0
while [ "$killed" -lt "${TGRAPH_TEST_KILLS:-6}" ]; do
    "$TGRAPH" -q run "${cholesky[@]}" $how "$kept" --checkpoint-every 2ms >/dev/null 2>&1 &
    pid=$!
    sleep "0.$(printf %03d $((RANDOM % 120)))"
    kill -KILL $pid 2>/dev/null
    wait $pid 2>/dev/null
    killed=$((killed + 1))
    [ -e "$kept/journal" ] && how=--resume
done
[ -e "$kept/journal" ] || want 0 run "${cholesky[@]}" --checkpoint "$kept" --checkpoint-every 2ms
want 0 --format json run "${cholesky[@]}" --resume "$kept" --verify --compare sequential
is_json "$scratch/out"
has out '"acknowledged_tasks": 364'
has out '"outcome": "ok"'
want 0 run "${cholesky[@]}" --resume "$kept" --verify --compare sequential
has err 'going on from the checkpoint: 364 of 364 tasks are done'
has out 'bit for bit'
grep -q 'FLOP/s' "$scratch/out" && complain 'work of former runs is counted as this one'"'"'s'
want 0 run "${cholesky[@]}" --resume "$kept" --deterministic --record "$scratch/r.tgr"
want 0 report "$scratch/r.tgr"

# ---- interrupted --------------------------------------------------------------------------------
cat >"$scratch/slow.json" <<'END'
{ "tgraph": "1.0", "buffers": { "a": { "dtype": "f64", "shape": [1000], "tiles": [4], "init": { "fill": 1 }, "save": "a{i}.npy" } },
  "kernels": { "wait": { "builtin": "spin" }, "grow": { "builtin": "axpy" } },
  "tasks": [ { "for": ["s in 0:100", "i in 0:4"], "do": [
    { "id": "wait[{s},{i}]", "kernel": "wait", "args": { "us": 5000 } },
    { "id": "grow[{s},{i}]", "kernel": "grow", "after": "wait[{s},{i}]",
      "args": { "n": 1000, "a": 0.5, "x": "a[i]", "y": "a[(i+1)%4]" } } ] } ] }
END
mkdir "$scratch/whole" "$scratch/parts"
want 0 run "$scratch/slow.json" -D cpu:2 --save-dir "$scratch/whole"
"$TGRAPH" run "$scratch/slow.json" -D cpu:2 --checkpoint "$scratch/c" --save-dir "$scratch/parts" >"$scratch/out" 2>"$scratch/err" &
pid=$!
sleep 0.2
kill -INT $pid
wait $pid
[ $? = 130 ] || complain 'SIGINT does not end with 130'
# The thread sanitizer holds signals back while it cannot see that a thread waits: the run may be over then.
[ "${SAN:-}" = thread ] || has out "--resume $scratch/c"
want 0 run "$scratch/slow.json" -D cpu:2 --resume "$scratch/c" --save-dir "$scratch/parts"
[ -e "$scratch/whole/a3.npy" ] || complain 'nothing was saved'
diff -r "$scratch/whole" "$scratch/parts" >/dev/null || complain 'a run in two parts gives something else'

# ---- what is refused ----------------------------------------------------------------------------
want 3 run "${cholesky[@]}" --checkpoint "$kept"
has err 'there is a checkpoint in'
want 3 run "$graphs/cholesky.json" -p NT=13 -p B=96 -D cpu:2 --resume "$kept"
has err 'of another graph'
want 3 run "$graphs/cholesky.json" -p NT=12 -p B=97 -D cpu:2 --resume "$kept"
has err 'of another graph'
# What files hold that the graph reads is not in the graph.
cat >"$scratch/make.json" <<'END'
{ "tgraph": "1.0", "params": { "V": 1 }, "buffers": { "x": { "dtype": "f64", "shape": [8], "init": { "fill": "V" }, "save": "x.npy" } }, "tasks": [] }
END
cat >"$scratch/read.json" <<'END'
{ "tgraph": "1.0", "buffers": { "x": { "dtype": "f64", "shape": [8], "init": { "file": "x.npy" } }, "y": { "dtype": "f64", "shape": [8], "init": "zero" } },
  "kernels": { "grow": { "builtin": "axpy" } }, "tasks": [ { "id": "grow", "kernel": "grow", "args": { "n": 8, "a": 2, "x": "x", "y": "y" } } ] }
END
want 0 run "$scratch/make.json" --save-dir "$scratch"
want 0 run "$scratch/read.json" -D cpu --checkpoint "$scratch/reads"
want 0 run "$scratch/read.json" -D cpu --resume "$scratch/reads"
want 0 run "$scratch/make.json" -p V=3 --save-dir "$scratch"
want 3 run "$scratch/read.json" -D cpu --resume "$scratch/reads"
has err 'does not hold what it held when the checkpoint'
want 3 run "${cholesky[@]}" --resume "$scratch/nowhere"
mkdir "$scratch/empty"
want 3 run "${cholesky[@]}" --resume "$scratch/empty"
has err 'there is no checkpoint in'
want 1 run "$graphs/heat2d.json" --checkpoint "$scratch/rounds"
has err 'in rounds'
[ -e "$scratch/rounds" ] && complain 'a folder was made for a graph that has no checkpoints'
want 1 run "${cholesky[@]:0:5}" -D cuda --checkpoint "$scratch/cuda"
has err 'no checkpoints of runs on devices'
for options in '--resume x' '--repeat 2' '--warmup 1' '--simulate'; do
    # shellcheck disable=SC2086
    want 2 run "${cholesky[@]}" --checkpoint "$scratch/x" $options
done
want 2 run "${cholesky[@]}" --checkpoint-every 1s
want 4 run "${cholesky[@]}" --checkpoint /proc/self/no
want 0 explain TG0908
exit $failed
