# For tests of the program from outside: sourced by scripts, which end with `exit $failed`.
#
# What a command printed stays in $scratch/out and $scratch/err until the next one.
failed=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export TGRAPH_CACHE_DIR=$scratch/cache
export XDG_CONFIG_HOME=$scratch/config # nobody's own

complain() {
    echo "$*"
    failed=1
}
exits() { # CODE COMMAND..
    local code=$1
    shift
    "$@" >"$scratch/out" 2>"$scratch/err" </dev/null
    local status=$?
    [ $status = "$code" ] || complain "exit status $status instead of $code: $* ($(head -c 300 "$scratch/err"))"
}
has() { # out|err TEXT
    grep -qF -- "$2" "$scratch/$1" || complain "no \"$2\" in $1: $(head -c 600 "$scratch/$1")"
}
lacks() { # out|err TEXT
    grep -qF -- "$2" "$scratch/$1" && complain "\"$2\" in $1: $(head -c 600 "$scratch/$1")"
}
is_empty() { # out|err
    [ -s "$scratch/$1" ] && complain "$1 is not empty: $(head -c 300 "$scratch/$1")"
}
is_json() { # [FILE], which else is out
    local file=${1:-$scratch/out}
    command -v python3 >/dev/null || return 0
    python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$file" 2>/dev/null ||
        complain "$file is not one JSON document: $(head -c 300 "$file")"
}
