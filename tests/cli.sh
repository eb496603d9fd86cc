#!/bin/bash
# The program from outside: exit codes, what goes to stdout and what to stderr, signals, pipes, full
# disks, and that completion works in the shells that are installed.
set -uo pipefail

. tests/outside.bash
here=$PWD
# Devices have tests of their own (devices.sh): here nothing depends on what the machine has.
export TGRAPH_DEVICES=cpu
no_driver() { env -u TGRAPH_DEVICES TGRAPH_CUDA_DRIVER=/nonexistent/libcuda.so.1 "$@"; }
want() { # CODE COMMAND..
    exits "$@"
}

# ---- help -----------------------------------------------------------------------------------
want 0 "$TGRAPH"
[ "$(grep -c '^  tgraph ' "$scratch/out")" = 3 ] || complain "tgraph alone does not show three examples"
is_empty err
want 0 "$TGRAPH" --version
want 0 "$TGRAPH" --help
has out 'exit codes'
want 0 "$TGRAPH" run --help
has out '--keep-going'
want 0 "$TGRAPH" help --man run
has out '.TH TGRAPH\-RUN 1'

# ---- usage: 2 -------------------------------------------------------------------------------
want 2 "$TGRAPH" rnu
has err 'did you mean "run"?'
is_empty out
want 2 "$TGRAPH" run --repat 3
has err 'did you mean --repeat?'
want 2 "$TGRAPH" --error-format json run --repat 3
has err '"code": "TG0004"'
want 2 "$TGRAPH" --error-format short rnu
[ "$(wc -l <"$scratch/err")" = 1 ] || complain "a short message is more than a line"
want 2 "$TGRAPH" explain TG9999
matrix=$here/examples/graphs/trsv.mtx
want 2 "$TGRAPH" import "$matrix"
has err 'name it with -o'
want 2 "$TGRAPH" import "$matrix" --spin -o "$scratch/l.json"
has err '--spin goes with workflows'
want 2 "$TGRAPH" import "$here/tests/import/small.stg" --lower
has err '--lower goes with matrices'
sed 's/^900 900 4/900 900 0/' "$matrix" >"$scratch/zero.mtx"
want 3 "$TGRAPH" import "$scratch/zero.mtx" -o "$scratch/l.json"
has err 'the diagonal of row 900 is zero'
has err 'zero.mtx:2643'
echo '{ "tgraph": "1.0", "params": { "N": "foo(1)+1", "M": "ndev(gpu)", "K": "sizeof(f31)" }, "tasks": [] }' >"$scratch/names.json"
want 1 "$TGRAPH" check "$scratch/names.json"
has err 'unknown function "foo"; there is min'
has err 'unknown kind of device "gpu"; there is cuda and cpu'
has err 'unknown data type "f31"; there is f16'
want 1 "$TGRAPH" run "$here/examples/graphs/saxpy.json" -p M=1
has err 'help: there is N'
want 1 "$TGRAPH" run "$here/examples/graphs/saxpy.json" -p N=1e6
has err 'write 1000000'
want 2 "$TGRAPH" help rum
has err 'did you mean "run"?'

# ---- a graph, and what can be wrong with it -------------------------------------------------
graph=$here/examples/graphs/saxpy.json
spin=$scratch/spin.json
"$TGRAPH" gen independent --kernel spin --us 1000 --tasks 20000 -o "$spin" || complain 'gen failed'
cat >"$scratch/wrong.json" <<'END'
{ "tgraph": "1.0", "tasks": [ { "id": "a", "kernel": "nosuch", "args": {} } ] }
END
echo '{ "tgraph": ' >"$scratch/broken.json"
sed 's/"checks": \[/"checks": [ { "buffer": "y", "min": 1e30 }, /' "$graph" >"$scratch/unverified.json"

want 0 "$TGRAPH" check "$graph"
has out 'ok'
want 1 "$TGRAPH" check "$scratch/wrong.json" "$graph"
has err 'TG0203'
has out 'ok'
echo '{ "tgraph": "1.0", "params": { "N": 1, "M": "N+1" }, "tasks": [] }' >"$scratch/unused.json"
want 0 "$TGRAPH" check "$scratch/unused.json"
has err 'parameter "M" is not used'
grep -q '"N"' <(grep warning "$scratch/err") && complain 'a parameter that another uses is reported'
want 1 "$TGRAPH" check "$scratch/unused.json" --werror
echo '{ "tgraph": "1.0", "buffers": { "x": { "dtype": "f64", "shape": ["1<<28", 4096] } }, "tasks": [ { "fill": "x", "value": 1 } ] }' \
    >"$scratch/huge.json"
want 0 "$TGRAPH" check "$scratch/huge.json"
has err 'the buffers need 8.00 TiB'
want 0 "$TGRAPH" check "$scratch/huge.json" -W no-capacity
is_empty err
want 3 "$TGRAPH" check "$scratch/broken.json"
has err 'TG0101'
want 3 "$TGRAPH" run "$scratch/nosuch.json"
want 4 no_driver "$TGRAPH" run "$graph" -D cuda:0
has err 'TG0707'
want 2 "$TGRAPH" run "$graph" --executor streams
has err 'does not go with'
want 4 no_driver "$TGRAPH" run "$graph" --executor streams
want 4 no_driver "$TGRAPH" run "$graph" --executor graph
want 4 no_driver "$TGRAPH" run "$graph" --executor resident
want 1 "$TGRAPH" run "$graph" --executor mixed
want 0 "$TGRAPH" run "$graph" -D cpu:2 --policy heft --compare sequential
has out ', policy heft, executor cpu'

# ---- plan -----------------------------------------------------------------------------------
want 0 "$TGRAPH" plan "$graph" --policy eager,steal,heft,bandwidth --gpus 2 --save-machine "$scratch/machine.json"
has out 'efficiency'
want 0 "$TGRAPH" plan "$graph" --machine "$scratch/machine.json" --tasks
has out 'binding:'
has out 'rough ones, not measured'
want 0 "$TGRAPH" --format json plan "$graph" --gpus 1,2 --tasks
is_json
# A tile that is written elsewhere while a copy of it is still on its slow way.
want 0 "$TGRAPH" plan examples/graphs/smith-waterman.json --gpus 1 --link-speed 0.1
want 2 "$TGRAPH" plan "$graph" --policy hefd
want 2 "$TGRAPH" plan "$graph" --gpus 1,two
has err "numbers from 0 to 4032"
want 2 "$TGRAPH" plan "$graph" --gpus -1
has err "numbers from 0 to 4032"
want 2 "$TGRAPH" plan "$graph" --link-speed 0
want 3 "$TGRAPH" plan "$graph" --machine "$scratch/none.json"
echo '{"tgraph_machine": 9}' >"$scratch/later.json"
want 1 "$TGRAPH" plan "$graph" --machine "$scratch/later.json"
has err 'later.json:1:20'
want 2 "$TGRAPH" run "$graph" --policy lukc
want 4 "$TGRAPH" run "$graph" --mem 1KiB
want 5 "$TGRAPH" -C "$scratch" run "$scratch/unverified.json" --verify
has out 'FAILS'
has err 'TG0705'
want 124 "$TGRAPH" run "$spin" --timeout 100ms
has err 'TG0704'
has out 'not run'

# ---- run ------------------------------------------------------------------------------------
want 0 "$TGRAPH" -C "$scratch" run "$graph" --verify --compare sequential --repeat 3 --warmup 1 -D cpu:2 -p N=4096
has out 'makespan'
has out 'holds'
has out 'compare: equal'
has out 'on 2 workers'
is_empty err
want 0 "$TGRAPH" -C "$scratch" --format json run "$graph" --verify --compare sequential
is_json
has out '"schema": "tgraph.report/1"'
has out '"makespan_ns"'
want 0 "$TGRAPH" -C "$scratch" -q run "$graph"
is_empty out
cat >"$scratch/retry.json" <<'END'
{ "tgraph": "1.0", "buffers": { "x": { "dtype": "i32", "shape": [1], "init": "zero" } },
  "kernels": { "k": { "params": [ { "name": "x", "type": "i32*", "access": "inout" } ],
    "variants": [ { "on": "cpu", "c": "static int n; int k(void **a, const struct tg_context *c) { (void)c; ++**(int **)a[0]; return ++n < 3; }" } ] } },
  "tasks": [ { "kernel": "k", "args": { "x": "x" }, "retries": 3 } ], "checks": [ { "buffer": "x", "equals": 1 } ] }
END
want 0 "$TGRAPH" run "$scratch/retry.json" --verify
has out '2 failed attempts'
want 0 "$TGRAPH" -C "$scratch" run "$graph" --save-dir "$scratch" --gantt "$scratch/gantt.svg"
grep -q '</svg>' "$scratch/gantt.svg" || complain 'no schedule was drawn'
"$TGRAPH" -C "$scratch" run - <"$graph" >"$scratch/out" 2>&1 || complain 'a graph on standard input does not run'

# Bodies count as often as they ran.
want 0 "$TGRAPH" -C "$scratch" run "$here/io/templates/jacobi/jacobi.json" -p G=2 --gantt "$scratch/bodies.svg" --save-dir "$scratch"
has out 'lower bound'
has out 'sweep'
grep -q 'kernel sweep' "$scratch/bodies.svg" || complain 'tasks of bodies are not drawn'
cat >"$scratch/cut.json" <<'END'
{ "tgraph": "1.0", "kernels": { "spin": { "builtin": "spin" } },
  "tasks": [ { "id": "loop", "repeat": 100000, "do": [ { "kernel": "spin", "args": { "us": 1000 } } ] },
             { "after": [ "loop" ], "kernel": "spin", "args": { "us": 1 } } ] }
END
want 124 "$TGRAPH" run "$scratch/cut.json" --timeout 100ms
has err 'its limit of 100 ms'
has out '0 done, 0 failed, 1 cut short, 1 not run'

# What cannot be written is said before anything runs.
begin=$(date +%s%N)
want 2 "$TGRAPH" run "$spin" --gantt "$scratch/gantt.png"
has err 'does not end in .svg'
want 4 "$TGRAPH" run "$spin" --gantt "$scratch/no/gantt.svg"
want 3 "$TGRAPH" run "$graph" --save-dir "$scratch/no"
[ $((($(date +%s%N) - begin) / 1000000)) -lt 5000 ] || complain 'output paths are not looked at before the run'

# Neighbours among large integers are no equals: as doubles they would be.
cat >"$scratch/wide.json" <<'END'
{ "tgraph": "1.0", "params": { "V": 0 }, "buffers": { "x": { "dtype": "u64", "shape": [2] } },
  "tasks": [ { "fill": "x", "value": "(1<<53) + V" } ], "checks": [ { "buffer": "x", "equals": "(1<<53) - 1" } ] }
END
want 0 "$TGRAPH" run "$scratch/wide.json" --verify -p V=-1
want 5 "$TGRAPH" run "$scratch/wide.json" --verify -p V=1
sed -i 's/(1<<53) - 1/1<<53/' "$scratch/wide.json"
want 1 "$TGRAPH" run "$scratch/wide.json" --verify -p V=1
has err '"equals" cannot tell integers of "x" from 2^53 on'

# What has been compared with nothing is not equal.
cat >"$scratch/nothing.json" <<'END'
{ "tgraph": "1.0", "buffers": { "x": { "dtype": "i32", "shape": [2], "temp": true } }, "tasks": [ { "fill": "x", "value": 3 } ] }
END
want 0 "$TGRAPH" run "$scratch/nothing.json" --compare sequential
has err 'there is nothing to compare'
lacks out 'sequential execution'

# Two results of one name would leave the second alone.
cat >"$scratch/same.json" <<'END'
{ "tgraph": "1.0", "buffers": {
    "x": { "dtype": "i32", "shape": [2], "init": { "fill": 1 }, "save": "same.npy" },
    "y": { "dtype": "i32", "shape": [2], "init": { "fill": 2 }, "save": "./same.npy" } },
  "tasks": [ { "fill": "x", "value": 3 } ] }
END
want 1 "$TGRAPH" run "$scratch/same.json" --save-dir "$scratch"
has err 'buffers "x" and "y" are both saved as "same.npy"'
[ ! -e "$scratch/same.npy" ] || complain 'one of two results was saved'
want 2 "$TGRAPH" run "$graph" --save-dir "$scratch" --gantt "$scratch/same.svg" --trace "$scratch/./same.svg"
has err '--gantt and --trace both write to'

# Forms and values.
"$TGRAPH" gen wavefront --tasks 500 --jsonl -o "$scratch/lines.jsonl" && cp "$scratch/lines.jsonl" "$scratch/lines.txt"
want 0 "$TGRAPH" run "$scratch/lines.txt"
has out '506 tasks'
want 0 "$TGRAPH" run "$here/examples/graphs/first.json" -p N=1k -p P=7 --verify
has out '14 tasks'
want 1 "$TGRAPH" check "$graph" --max-file 10
has err 'more than 10 bytes'
want 0 "$TGRAPH" run --help
has out 'plan ahead (auto, eager, steal, heft, bandwidth)'
has out '(auto, cpu, streams,'

# Progress: nothing unless asked for, when stderr is no terminal.
want 124 "$TGRAPH" run "$spin" --timeout 700ms
[ "$(wc -l <"$scratch/err")" = 1 ] || complain "progress on no terminal: $(head -c 300 "$scratch/err")"
want 124 "$TGRAPH" --progress plain run "$spin" --timeout 700ms
has err 'of 20,000 tasks'
want 124 "$TGRAPH" --progress json run "$spin" --timeout 700ms
has err '{"progress": {"elapsed_ns": '
want 0 "$TGRAPH" --progress plain run "$graph" --save-dir "$scratch"
is_empty err

# A kernel that crashes is named, whatever it does; a sanitizer has its own report.
crash() { # STATEMENT SIGNAL WORDS
    cat >"$scratch/crash.json" <<END
{ "tgraph": "1.0", "buffers": { "x": { "dtype": "i32", "shape": [1], "init": "zero" } },
  "kernels": { "bad": { "params": [ { "name": "x", "type": "i32*", "access": "inout" } ],
    "variants": [ { "on": "cpu", "c": [ "#include <stdlib.h>", "#include \"tgraph.h\"",
      "static int deep(int n, void **p) { volatile char a[4000]; a[0] = (char)n; return deep(n + a[0], p) + a[0] + a[n & 15]; }",
      "int bad(void **args, const struct tg_context *ctx) { (void)ctx; (void)deep; $1 return 0; }" ] } ] } },
  "tasks": [ { "id": "fine", "fill": "x", "value": 1 }, { "id": "culprit", "kernel": "bad", "args": { "x": "x" } } ] }
END
    for how in '' --deterministic '-D cpu:1'; do
        # shellcheck disable=SC2086
        want $((128 + $2)) "$TGRAPH" run "$scratch/crash.json" $how --gantt "$scratch/crash.svg"
        has err 'error[TG0701]: task "culprit" (kernel "bad") crashed: '"$3"
        is_empty out
        [ -z "$(find "$scratch" -name 'crash.svg*')" ] || complain 'a crash leaves files behind'
    done
}
if [ -z "${SAN:-}" ]; then
    ulimit -c 0
    crash '*(volatile int *)8 = 1;' 11 'SIGSEGV, access to address 0x8' 2>/dev/null
    crash 'return deep(1, args);' 11 'SIGSEGV, its stack has overflowed' 2>/dev/null
    crash 'abort();' 6 'SIGABRT' 2>/dev/null
    [ "$(uname -m)" = x86_64 ] && crash 'int *x = *(int **)args[0]; *x = 7 / (*x - 1);' 8 'SIGFPE, integer division' 2>/dev/null
    crash '__builtin_trap();' 4 'SIGILL' 2>/dev/null
    want 132 "$TGRAPH" --error-format json run "$scratch/crash.json" 2>/dev/null
    has err '{"severity": "error", "code": "TG0701", "message": "task \"culprit\"'
fi

# ---- the other commands ---------------------------------------------------------------------
want 0 "$TGRAPH" expand "$here/examples/graphs/cholesky.json" -p NT=16 --stats --format json
is_json
has out '"tasks": 816'
has out '"edges": 2040'
has out '"levels": 46'
want 1 "$TGRAPH" expand "$here/examples/graphs/cholesky.json" --limit 100
for format in text json; do
    for command in devices doctor 'explain 203' 'explain --list' cache; do
        # shellcheck disable=SC2086
        want 0 "$TGRAPH" --format $format $command
        [ $format = json ] && is_json
    done
done
for type in dot mermaid json jsonl; do
    want 0 "$TGRAPH" export "$here/examples/graphs/cholesky.json" -t $type --critical-path
done
want 1 "$TGRAPH" export "$graph" --focus nosuch
want 1 "$TGRAPH" export "$here/examples/graphs/cholesky.json" --focus 'trsm[7,33]'
has err 'did you mean "trsm[7,3]"?'
want 2 "$TGRAPH" export "$graph" -o "$scratch/picture.bmp"
if command -v dot >/dev/null; then
    want 0 "$TGRAPH" export "$here/examples/graphs/cholesky.json" -p NT=20 -o "$scratch/g.svg"
    has err 'drawn with a node for each kernel'
    grep -q 'a node for each kernel' "$scratch/g.svg" || complain 'an aggregated picture does not say so'
    want 124 "$TGRAPH" export "$here/examples/graphs/cholesky.json" -p NT=40 --view graph --time-limit 100ms -o "$scratch/late.svg"
    [ -e "$scratch/late.svg" ] && complain 'a picture that was not laid out was written'
fi
want 0 "$TGRAPH" cache clear
want 0 "$TGRAPH" -C "$scratch" init "nosuch/../it's new"
has err "next: cd 'it'\\''s new' && "
[ -e "$scratch/nosuch" ] && complain 'init makes a folder that nobody wants'

# ---- files are whole or absent, streams may end ---------------------------------------------
echo old >"$scratch/kept.json"
want 1 "$TGRAPH" expand "$scratch/wrong.json" -o "$scratch/kept.json"
[ "$(cat "$scratch/kept.json")" = old ] || complain 'a failed command changed its output file'
want 4 "$TGRAPH" export "$graph" -o "$scratch/no/such/folder.dot"
"$TGRAPH" explain --list >/dev/full 2>"$scratch/err"
[ $? = 4 ] || complain 'a full disk goes unnoticed'
has err 'No space left'
# Each writer finds out for itself if it has more to write than a stream holds back.
"$TGRAPH" gen wavefront --tasks 2500 -o "$scratch/large.json"
"$TGRAPH" run "$scratch/large.json" -D cpu --record "$scratch/large.tgr" >/dev/null 2>"$scratch/err"
large="export $scratch/large.json --max-nodes 5000 -t"
record="export $scratch/large.tgr --max-nodes 5000 -t"
for command in schema "export $graph -t json" "export $graph -t dot" "gen chain --tasks 10000 --jsonl" "expand $scratch/large.json" \
    "$large dot" "$large mermaid" "$large json" "$record svg" "$record dot" "$record html" "$record chrome" "$record pftrace" \
    "$record csv" "$record json"; do
    # shellcheck disable=SC2086
    "$TGRAPH" $command >/dev/full 2>"$scratch/err"
    [ $? = 4 ] || complain "a full disk goes unnoticed by $command"
    has err 'No space left'
done
"$TGRAPH" expand "$spin" 2>"$scratch/err" | head -n 1 >/dev/null
is_empty err
[ -z "$(find "$scratch" -name '*.??????' -newer "$spin" -name 'kept*')" ] || complain 'temporary files are left'

# ---- Ctrl-C ---------------------------------------------------------------------------------
await_progress() { # of the run that writes to err; its first line comes when it has run for half a second
    for _ in $(seq 200); do
        [ -s "$scratch/err" ] && return
        sleep 0.1
    done
    complain 'a long run shows no progress'
}
: >"$scratch/err"
"$TGRAPH" --progress json run "$spin" >"$scratch/out" 2>"$scratch/err" &
await_progress
kill -INT $!
wait $!
[ $? = 130 ] || complain "Ctrl-C does not give 130"
has out 'interrupted'
has out 'not run'
cat >"$scratch/slow.json" <<'END'
{ "tgraph": "1.0", "buffers": { "x": { "dtype": "i32", "shape": [1], "init": "zero" } },
  "kernels": { "slow": { "params": [ { "name": "x", "type": "i32*", "access": "inout" } ],
    "variants": [ { "on": "cpu", "c": [ "#include <unistd.h>", "#include \"tgraph.h\"",
      "int slow(void **args, const struct tg_context *ctx) { (void)args; (void)ctx; for (int i = 0; i < 2000; i++) usleep(10000); return 0; }" ] } ] } },
  "tasks": [ { "id": "a", "kernel": "slow", "args": { "x": "x" } } ] }
END
want 0 "$TGRAPH" check "$scratch/slow.json" --compile --werror
: >"$scratch/err"
"$TGRAPH" --progress json run "$scratch/slow.json" >"$scratch/out" 2>"$scratch/err" &
await_progress
kill -INT $!
sleep 0.2
kill -INT $!
begin=$(date +%s%N)
wait $!
[ $? = 130 ] || complain "a second Ctrl-C does not give 130"
# The thread sanitizer holds signals back while it cannot see that a thread waits.
[ "${SAN:-}" = thread ] || [ $((($(date +%s%N) - begin) / 1000000)) -lt 2000 ] || complain 'a second Ctrl-C does not end the program at once'

# ---- the first Ctrl-C says what happens, on terminals ---------------------------------------
if command -v python3 >/dev/null; then
    python3 - "$TGRAPH" "$spin" >"$scratch/out" 2>&1 <<'END' || complain "a first Ctrl-C on a terminal: $(tail -c 300 "$scratch/out")"
import os, pty, sys
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[1], [sys.argv[1], "run", sys.argv[2], "-D", "cpu:1"])
text = b""
is_sent = False
while True:
    try:
        got = os.read(terminal, 4096)
    except OSError: # the other end is closed
        break
    if not got:
        break
    text += got
    if not is_sent and b"tasks/s" not in text and b"[" in text: # the bar is there, so the run is
        os.write(terminal, b"\x03")
        is_sent = True
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(text.decode(errors="replace"))
sys.exit(not (is_sent and code == 130 and b"once more leaves now" in text and b"interrupted" in text))
END
fi

# ---- one document, whatever happens ----------------------------------------------------------
document() { # CODE TEXT ARGUMENTS..
    local code=$1 text=$2
    shift 2
    want "$code" "$TGRAPH" --format json "$@"
    is_json
    has out "$text"
}
cp "$graph" "$scratch/laid.json" && "$TGRAPH" fmt -i "$scratch/laid.json"
echo '{"tgraph":"1.0","tasks":[]}' >"$scratch/unlaid.json"
document 0 '"command": "version"' --version
document 0 '"name": "keep-going"' run --help
document 0 '"name": "export"' help
document 0 '"name": "hello"' init --list
document 0 '"files": ["hello.json", "README.md"]' init "$scratch/made"
document 1 '"code": "TG0002"' init "$scratch/made"
document 0 '"was_canonical": true' fmt --check "$scratch/laid.json"
document 1 '"was_canonical": false' fmt --check "$scratch/laid.json" "$scratch/unlaid.json"
document 0 "\"output\": \"$scratch/chain.json\"" gen chain -o "$scratch/chain.json"
document 0 '"ok": true' export "$scratch/chain.json" -o "$scratch/chain.dot"
document 2 '"text": "unknown option --fo"' run --fo
document 2 '"code": "TG0004"' runn
document 3 '"file": "nosuch.json"' run nosuch.json
document 1 '"line": 1' run "$scratch/wrong.json"
document 3 '"exit_code": 3' expand --stats "$scratch/broken.json"
[ "$("$TGRAPH" --format json schema | grep -c tgraph.report)" = 0 ] || complain 'data is followed by a document'
want 0 "$TGRAPH" --error-format json run "$scratch/chain.json" --verify
is_json "$scratch/err"
has err '"severity": "warning"'

# ---- what is set once: command line, then environment, then file ----------------------------
mkdir -p "$XDG_CONFIG_HOME/tgraph"
config=$XDG_CONFIG_HOME/tgraph/config.json
workers() { # N COMMAND..
    local n=$1
    shift
    want 0 "$@"
    has out "on $n worker"
}
echo '{ "devices": "cpu:1", "mem": 67108864 }' >"$config"
workers 1 env -u TGRAPH_DEVICES "$TGRAPH" run "$scratch/chain.json"
workers 3 env TGRAPH_DEVICES=cpu:3 "$TGRAPH" run "$scratch/chain.json"
workers 2 env TGRAPH_DEVICES=cpu:3 "$TGRAPH" run "$scratch/chain.json" -D cpu:2
want 4 "$TGRAPH" -C "$scratch" run "$graph" -p N=100M
has err '67108864'
want 0 "$TGRAPH" schema
want 2 env TGRAPH_MEM=lots "$TGRAPH" run "$scratch/chain.json"
has err 'TGRAPH_MEM: "lots" is not a size'
want 3 env TGRAPH_ERROR_FORMAT=json "$TGRAPH" run nosuch.json
is_json "$scratch/err"
echo '{ "devises": "cpu:1" }' >"$config"
want 2 "$TGRAPH" check "$graph"
has err 'did you mean "devices"?'
has err "$config:1:14"
want 0 "$TGRAPH" run --help
echo '{ "mem": "much" }' >"$config"
want 2 "$TGRAPH" run "$scratch/chain.json"
has err "$config:1:10: \"mem\": \"much\" is not a size"
want 0 "$TGRAPH" check "$graph"
echo '{ "mem": true }' >"$config"
want 2 "$TGRAPH" check "$graph"
echo '{ "mem":' >"$config"
want 3 "$TGRAPH" check "$graph"
rm "$config"

# ---- completion -----------------------------------------------------------------------------
complete_bash() { # WORDS..: what bash offers for the last word
    bash -c 'source <("$0" completion bash); COMP_WORDS=(tgraph "$@"); COMP_CWORD=$#; _tgraph; printf "%s\n" "${COMPREPLY[@]}"' \
        "$TGRAPH" "$@"
}
[ "$(complete_bash ex)" = "$(printf 'expand\nexport\nexplain')" ] || complain 'bash does not complete commands'
[ "$(complete_bash run --rep)" = --repeat ] || complain 'bash does not complete options'
[ "$(complete_bash -C /tmp export --type m)" = mermaid ] || complain 'bash does not complete values'
[ "$(complete_bash run --compare '')" = sequential ] || complain 'bash does not complete values'
[ "$(complete_bash gen wav)" = wavefront ] || complain 'bash does not complete operands'
for shell in zsh fish; do
    "$TGRAPH" completion $shell >"$scratch/completion.$shell"
    if command -v $shell >/dev/null; then
        $shell -n "$scratch/completion.$shell" || complain "$shell does not accept its completion"
    fi
done
if command -v man >/dev/null && command -v groff >/dev/null; then
    for page in '' run gen export; do
        # shellcheck disable=SC2086
        "$TGRAPH" help --man $page >"$scratch/page.1"
        warnings=$(LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -l "$scratch/page.1" 2>&1 >/dev/null)
        [ -z "$warnings" ] || complain "man complains about tgraph $page: $warnings"
    done
fi
exit $failed
