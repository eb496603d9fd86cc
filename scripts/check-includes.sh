#!/bin/sh
# Checks who includes whom: the table of folders below, own header first, and foreign headers only
# where they belong.  Prints every offence as file:line: text and returns 1 if there is one.
set -u
cd "$(dirname "$0")/.." || exit 1

find graph mem sched gpu kernels io examples/c -name '*.[ch]' -o -name '*.cu' 2>/dev/null | sort | xargs awk '
BEGIN {
    may["graph"]   = "graph"
    may["mem"]     = "graph mem"
    may["sched"]   = "graph mem sched"
    may["gpu"]     = "graph mem gpu"
    may["kernels"] = "graph kernels"
    may["io"]      = "graph mem sched gpu kernels io"
    may["examples"] = ""
    # what gpu/ loads, launches and calls of the built-in kernels: their module, launch sizes, record of faults and bodies
    also["gpu"] = "^kernels/(launch|fault|resident)\\.h$|^kernels/resident/"
    # foreign header -> files that may include it; tests are not looked at
    foreign["^jansson"] = "^tests/"
    foreign["^hwloc"] = "^sched/topology\\.c$"
    foreign["^(cuda|nccl|nvrtc|nvJitLink|cublas|cusolver|cupti)"] = "^gpu/"
}
function offence(text) { printf "%s:%d: %s\n", FILENAME, FNR, text; bad = 1 }
FNR == 1 {
    folder = FILENAME; sub("/.*", "", folder)
    own = FILENAME; is_source = sub(/\.c$/, ".h", own)
    has_own = is_source && (getline line < own) >= 0; close(own)
    seen = 0
}
/^[ \t]*#[ \t]*include[ \t]*[<"]/ {
    name = $0
    sub(/^[^<"]*[<"]/, "", name); sub(/[>"].*/, "", name)
    is_ours = $0 ~ /include[ \t]*"/
    if (!seen++ && has_own && name != own)
        offence("include \"" own "\" first")
    if (FILENAME ~ /^graph\/tgraph_[a-z]+\.h$/ && name == "tgraph.h")
        next # public headers are installed side by side
    if (is_ours) {
        target = name
        if (!sub("/.*", "", target) || !(target in may))
            offence("write \"folder/file.h\", not \"" name "\"")
        else if (index(" " may[folder] " ", " " target " ") == 0 && !(folder in also && name ~ also[folder]))
            offence(folder "/ may not include " target "/")
    } else
        for (pattern in foreign)
            if (name ~ pattern && FILENAME !~ foreign[pattern])
                offence("<" name "> does not belong here")
}
END { exit bad }
'
