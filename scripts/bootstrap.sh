#!/bin/sh
# Installs the Debian packages that a purpose needs and that are missing:
#
#     scripts/bootstrap.sh build           to build the program and the library
#     scripts/bootstrap.sh demo            .. and to draw pictures
#     scripts/bootstrap.sh check           .. and to run the tests
#     scripts/bootstrap.sh ci              .. and to fuzz and to check models
#     scripts/bootstrap.sh --dry-run WHAT  only says what is missing; status 1 if anything is
#
# As root or through sudo.  Packages marked optional are tried and done without if they fail.
set -u

dry_run=false
if [ "${1:-}" = --dry-run ]; then
    dry_run=true
    shift
fi
purpose=${1:-build}

has_program() { command -v "$1" >/dev/null 2>&1; }
has_header() { echo "#include <$1>" | ${CC:-gcc} -E - >/dev/null 2>&1; }
has_library() { ldconfig -p 2>/dev/null | grep -q "$1" || /sbin/ldconfig -p 2>/dev/null | grep -q "$1"; }
# The fuzzer's run-time library comes apart from clang.
has_fuzzer() { has_program clang && [ -e "$(clang -print-file-name=libclang_rt.fuzzer-x86_64.a)" ]; }
has_cmocka() { printf '#include <stdarg.h>\n#include <stddef.h>\n#include <setjmp.h>\n#include <cmocka.h>\n' |
    ${CC:-gcc} -E - >/dev/null 2>&1; }

needed= optional= reasons=
want() { # PACKAGE REASON CHECK..
    package=$1 reason=$2
    shift 2
    "$@" && return
    needed="$needed $package"
    reasons="$reasons
  $package: $reason"
}
may_want() {
    package=$1 reason=$2
    shift 2
    "$@" && return
    optional="$optional $package"
    reasons="$reasons
  $package: $reason (optional)"
}

case $purpose in
build | demo | check | ci) ;;
*)
    echo "bootstrap: unknown purpose \"$purpose\"" >&2
    exit 2
    ;;
esac

want gcc "the C compiler" has_program gcc
want libc6-dev "the C library's headers" has_header stdio.h
want libhwloc-dev "finds cores and memory nodes" has_header hwloc.h
case $purpose in
demo | check | ci)
    want graphviz "lays out pictures of graphs" has_program dot
    may_want libopenblas0-pthread "makes matrix kernels faster" has_library 'libopenblas\.so\.0'
    ;;
esac
case $purpose in
check | ci)
    want libcmocka-dev "the test framework" has_cmocka
    want libjansson-dev "a second opinion about JSON, for tests" has_header jansson.h
    want pkg-config "tests that installed files are found" has_program pkg-config
    want g++ "tests the header as C++, and stands in for NVRTC" has_program g++
    ;;
esac
if [ "$purpose" = ci ]; then
    may_want clang "builds the fuzz target" has_program clang
    may_want libclang-rt-14-dev "the fuzzer" has_fuzzer
    may_want chromium "opens pages of records" has_program chromium
    may_want spin "checks models of the concurrent protocols" has_program spin
fi

[ -z "$needed$optional" ] && exit 0
# Trying again and again to get what is optional would make every call slow.
stamp=build/.bootstrap-$purpose
[ -z "$needed" ] && [ -e "$stamp" ] && exit 0

if $dry_run; then
    echo "Missing for \"$purpose\":$reasons"
    [ -z "$needed" ]
    exit
fi
if [ "$(id -u)" -eq 0 ]; then
    become=
elif has_program sudo; then
    become=sudo
fi
if [ -z "${become+set}" ] || ! has_program apt-get; then
    [ -z "$needed" ] && exit 0
    echo "Missing for \"$purpose\":$reasons" >&2
    echo "bootstrap: needs root or sudo, and apt-get.  Please install:$needed" >&2
    exit 1
fi

install_packages() { # Asks nothing.
    $become env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >"$log" 2>&1
}
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
echo "Installing what is missing for \"$purpose\":$reasons"
# shellcheck disable=SC2086 # words are package names
if ! install_packages $needed $optional; then
    $become apt-get update >"$log" 2>&1
    if [ -n "$needed" ] && ! install_packages $needed; then
        tail -n 20 "$log" >&2
        echo "bootstrap: apt-get could not install them.  Please install:$needed" >&2
        exit 1
    fi
    for package in $optional; do
        install_packages "$package" || echo "Doing without $package."
    done
fi
mkdir -p build && : >"$stamp"
