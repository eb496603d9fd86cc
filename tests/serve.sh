#!/bin/bash
# tgraph serve on the stand-in driver: lines in and out, requests, failures, figures, and that nothing is left behind.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

failed=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
tgraph=$(realpath "${TGRAPH:-build/release/tgraph}")
libraries=$(dirname "$tgraph")/tests
[ -e "$libraries/libstandin-cuda.so" ] || { echo "there is no stand-in driver beside $tgraph"; exit 1; }
export TGRAPH_CUDA_DRIVER=$libraries/libstandin-cuda.so TGRAPH_CUDA_KERNELS=$libraries/standin-kernels.txt \
    TGRAPH_STANDIN_REPORT=$scratch/report XDG_RUNTIME_DIR=$scratch
complain() {
    echo "$*"
    failed=1
}

# serve CODE LINES OPTION..: the exit status is CODE; three of the stand-in's sixteen multiprocessors are enough.
serve() {
    local code=$1 lines=$2
    shift 2
    rm -f "$scratch/report"
    printf '%b' "$lines" | timeout 120 "$tgraph" serve --sms-free 13 --timeout 60s "$@" >"$scratch/out" 2>"$scratch/err"
    local status=${PIPESTATUS[1]}
    [ "$status" = "$code" ] || complain "exit status $status instead of $code: serve $* ($(head -c 300 "$scratch/err"))"
    [ ! -s "$scratch/report" ] || grep -q ' 0 violations, 0 leaks' "$scratch/report" ||
        complain "serve $*: $(head -c 600 "$scratch/report")"
}
prints() { # TEXT
    [ "$(cat "$scratch/out")" = "$1" ] || complain "stdout is not \"$1\" but \"$(head -c 300 "$scratch/out")\""
}
has() { # FILE TEXT
    grep -qF -- "$2" "$scratch/$1" || complain "no \"$2\" in $1: $(head -c 600 "$scratch/$1")"
}

serve 0 'hello\n\nworld\nlast'
prints $'hello\n\nworld\nlast'
serve 0 '::status\n:spin 100\n:mix 0 12345678\n'
[ "$(sed -n 1p "$scratch/out")" = ":status" ] || complain "two colons are not one: $(head -c 100 "$scratch/out")"
[ "$(sed -n 3p "$scratch/out" | tr -d '\n' | wc -c)" = 16 ] || complain "no mix of eight bytes: $(head -c 100 "$scratch/out")"

# What fails is told, and what comes after it is answered.
serve 1 ':fail 7\nafter\n'
prints after
has err 'error[TG0701]: message 0: its body failed with code 7'
serve 1 ':dance\n:spin\n:spin x\nafter\n'
prints after
has err 'there is no request ":dance"'
has err 'there is no request ":spin x"'
serve 1 'a line that is longer than thirty-two bytes\nshort\n' --message-bytes 32
prints short
has err 'error[TG0107]: a message of 43 bytes; this service takes 32'
# A graph: numbers in, numbers out.
export TGRAPH_NVRTC=$libraries/libstandin-nvrtc.so TGRAPH_CACHE_DIR=$scratch/cache
cat >"$scratch/graph.json" <<'GRAPH'
{ "tgraph": "1.0",
  "buffers": { "x": {"dtype": "f64", "shape": [4]}, "w": {"dtype": "f64", "shape": [3, 4], "init": {"iota": {}}},
               "y": {"dtype": "f64", "shape": [3], "init": {"fill": 1}}, "n": {"dtype": "u64", "shape": [1]} },
  "kernels": { "matvec": {"builtin": "matvec_add"} },
  "tasks": [ {"kernel": "matvec", "args": {"m": 3, "n": 4, "a": "w", "x": "x", "y": "y"}} ] }
GRAPH
serve 1 '1 2 3 4\n0 0 0 0.5\n1 2\n1 2 3 4 5\n:status\n' "$scratch/graph.json" --in x --out y --teams 3
[ "$(head -2 "$scratch/out")" = $'21 61 101\n2.5 4.5 6.5' ] || complain "the graph's answers are not right: $(head -c 200 "$scratch/out")"
has out 'active, kernel resident, 3 blocks'
has err 'number 3 of the line, for buffer "x", is missing'
has err 'the line has more than the 4 numbers'
serve 2 '' "$scratch/graph.json" --in x --out z
has err '--out z: the graph has no buffer of that name'
serve 2 '' "$scratch/graph.json" --in x --out n
has err 'buffer "n" is an output of a service'
serve 2 '' --in x
serve 124 ':spin 300000\n' --timeout 10ms
has err 'no answer within 0.01 s'

serve 0 'a\nb\n:status\n:metrics\n' --metrics
has out 'active, kernel resident, 3 blocks, 0 messages under way'
has out 'tgraph_service_messages_answered_total 2'
has out 'tgraph_service_latency_seconds_bucket{le="+Inf"} 2'
has out 'tgraph_service_latency_seconds_count 2'
has err 'messages    2 sent, 2 answered, 0 failed, 0 timed out, 0 refused'
has err 'launches    1'
if command -v python3 >/dev/null; then
    serve 0 'a\nb\n:metrics\n'
    tail -n +3 "$scratch/out" | python3 -c '
import re, sys
last, typed = -1, set()
for line in sys.stdin:
    if line.startswith("# TYPE"):
        typed.add(line.split()[2])
    elif not line.startswith("#"):
        m = re.fullmatch(r"([a-z_]+)(?:\{le=\"([^\"]+)\"\})? ([0-9.e+-]+)\n", line)
        assert m, line
        assert any(m[1] == t or m[1] in (t + "_bucket", t + "_sum", t + "_count") for t in typed), line
        if m[2]:
            assert float(m[3]) >= last, line
            last = float(m[3])
' || complain "not Prometheus text format"
fi

# tgraph top: a service that runs, two that end in either way, and none.
board=$scratch/tgraph
top() { # OPTION..
    timeout 60 "$tgraph" top "$@" >"$scratch/out" 2>"$scratch/err" || complain "top $*: $(head -c 300 "$scratch/err")"
}
top --once
prints 'no service of this user is shown'
mkfifo "$scratch/lines"
"$tgraph" serve --sms-free 13 --queue 32 --timeout 60s <"$scratch/lines" >"$scratch/answers" 2>"$scratch/serve-err" &
server=$!
exec 9>"$scratch/lines"
for ((i = 0; i < 20; i++)); do echo "line $i" >&9; done
for ((i = 0; i < 600; i++)); do
    [ "$(wc -l <"$scratch/answers")" = 20 ] && break
    sleep 0.1
done
top --once --interval 600ms
[ "$(wc -l <"$scratch/out")" = 2 ] || complain "not a line for each service: $(cat "$scratch/out")"
grep -qE '^ *[0-9]+ serve +cuda:0 +active +(resident|away) +[^ ]+ +[^ ]+ +[^ ]+ +[^ ]+ +0/32 +0 +0 +0$' "$scratch/out" || complain "no line of the service: $(cat "$scratch/out")"
[ "$(stat -c %a "$board")" = 700 ] || complain "the folder of services has the mode $(stat -c %a "$board")"
if command -v python3 >/dev/null; then
    (for ((i = 0; i < 300; i++)); do echo "more $i"; sleep 0.01; done >&9) &
    more=$!
    top --format json --interval 1s
    python3 - "$scratch/out" <<'END' || complain "top's document: $(cat "$scratch/out")"
import json, sys
d = json.load(open(sys.argv[1]))
assert d["schema"] == "tgraph.report/1" and d["command"] == "top" and d["removed"] == 0 and d["unreadable"] == 0
s, = d["services"]
assert s["name"] == "serve" and s["device"] == "cuda:0" and s["state"] == "active" and s["queue_capacity"] == 32
assert s["answered"] >= 20 and s["blocks"] == 3 and s["clients"] == [] and 0 <= s["silent_s"] < 60
if s["period_s"] is not None and s["messages_per_s"]:
    assert 0 < s["p50_us"] <= s["p90_us"] <= s["p99_us"]
END
    wait "$more"
fi
kill -9 "$server"
{ wait "$server"; } 2>/dev/null
exec 9>&-
[ -n "$(ls "$board")" ] || complain "a killed service has taken its file away"
echo garbage >"$board/service-1-0"
top --once
prints 'no service of this user is shown'
has err 'removed the files of 2 services whose processes have ended'
[ -z "$(ls "$board")" ] || complain "top leaves $(ls "$board")"
serve 0 'a\n'
[ -z "$(ls "$board")" ] || complain "serve leaves $(ls "$board")"
chmod 770 "$board"
serve 0 'a\n'
prints a
has err "not this user's alone"
timeout 60 "$tgraph" top --once >"$scratch/out" 2>"$scratch/err" && complain "top reads a folder that others can write to"
rmdir "$board"
timeout 60 "$tgraph" top --interval 0 >"$scratch/out" 2>"$scratch/err"
[ $? = 2 ] || complain "an interval of nothing is taken"

serve 2 '' --queue 3
has err 'a power of two from 2 to 65536'
serve 2 '' --format json
serve 4 '' --device 5
serve 4 '' --sms-free 15
has err 'a service of 1 blocks'
exit $failed
