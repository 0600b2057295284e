# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# shellcheck disable=SC2034 # used by those who source it
#
# Sourced by every script here: where things live, the one way in which a cached
# thing is made, and what is said meanwhile.  Nothing is written outside the
# checkout and the cache; mmdebstrap works in /var/tmp.

set -euo pipefail
shopt -s inherit_errexit # or what fails in $(...) is followed by the rest of it, and a failed build by the older module

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/rbtrfs
out=${OUT:-$top/out}
series=${KVER:-7.3}
# GB, of all that a cache gets, while it is made.
whole=7

export LC_ALL=C.UTF-8

# What a check looks at is this checkout, or the folder that is its argument.
folder() { # [FOLDER]
    cd "${1:-$top}" && pwd -P
}

# listed PATTERN...: the files of the current folder that these of git's patterns match, without the trees in which
# checks are tried. Those that git ignores, and those that are gone, are none.
listed() {
    git ls-files --cached --others --exclude-standard -- "$@" ':!tests/checks' |
        while IFS= read -r file; do
            [ ! -f "$file" ] || echo "$file"
        done
}

# Python programs of scripts/, by the sysroot's Python.
python() { # PROGRAM ARGS...
    "$top/scripts/in-sysroot" python3 -B "$top/scripts/$1" "${@:2}"
}

# What the sources of this checkout are, for bug reports: those of the package have it in a file; nothing without git.
commit() {
    cat "$top/commit" 2>/dev/null ||
        git -C "$top" describe --always --dirty --exclude='*' 2>/dev/null || true
}

say() { printf '[%s] %s\n' "${0##*/}" "$*" >&2; }
die() { say "error: $*"; exit 1; }

# Megabytes that the disk of a folder has left.
left() { # dir
    mkdir -p "$1"
    df -Pm "$1" | awk 'NR == 2 { print $4 }'
}

# room GB [DIR]: what takes so much of the disk of DIR, the cache by default, is not begun without it.
room() {
    local dir=${2:-$cache} megabytes
    megabytes=$(left "$dir")
    [ "$megabytes" -ge $(($1 * 1000)) ] ||
        die "this takes $1 GB, and the disk of $dir has $((megabytes / 1000)).$((megabytes % 1000 / 100)) GB left"
}

# Says each half minute that a step goes on, as long as its script does.
heartbeat() { # when it began
    local never status
    exec {never}<> <(:) # where nothing ever comes: no process waits here that would outlive this one
    while kill -0 $$ 2>/dev/null; do
        status=0
        read -rt 30 -u "$never" || status=$?
        [ "$status" -le 128 ] || say "... $((SECONDS - $1)) s"
    done
}

# What programs say without a network, and what apt says of a mirror that went on since its lists were read.
offline='Temporary failure|[Cc]ould ?n[o'"'"']t (resolve|connect)|Unable to connect|unreachable|timed out'
outdated='404 +Not Found'

# Ends what stands beside a step.
step_ends() {
    trap - EXIT INT TERM
    kill "$beat" 2>/dev/null || true
    wait "$beat" 2>/dev/null || true
}

# The one line that says why a step ended early; $log has the others.
step_fails() { # status
    step_ends
    if [ "$1" -gt 128 ]; then
        say "interrupted; what is complete stays: run it again"
    elif tail -n 1 "$log" | grep -E '^\[.*\] (error|interrupted)'; then
        : # a script that said so itself
    elif grep -q 'No space left on device' "$log" || [ "$(left "$cache")" -lt 20 ] || [ "$(left /var/tmp)" -lt 20 ]; then
        say "error: the disk of $cache or of /var/tmp is full (all of it takes $whole GB); what is complete stays: run it again"
    elif grep -qE "$offline" "$log"; then
        say "error: there is no network, or no way to the mirror ($log); what is complete stays: run it again"
    elif grep -qE "$outdated" "$log"; then
        say "error: the mirror has newer packages than this cache knows; run: scripts/sysroot --refresh"
    else
        tail -n 5 "$log" >&2
        say "error: that failed; all of it is in $log"
    fi
}

# step "WORDS" COMMAND...: what takes long and talks much. Says what it is, that it goes on, and how long it took, or in
# one line why it failed.
step() {
    local begun=$SECONDS
    log=$out/log/${0##*/}
    mkdir -p "${log%/*}"
    say "$1"
    heartbeat "$begun" &
    beat=$!
    exec {stderr}>&2
    trap 'step_fails $? 2>&$stderr' EXIT
    trap 'exit 130' INT TERM
    "${@:2}" >"$log" 2>&1 </dev/null
    step_ends
    exec {stderr}>&-
    [ $((SECONDS - begun)) -lt 3 ] || say "... done after $((SECONDS - begun)) s"
}

# once NAME COMMAND...: make $cache/NAME by COMMAND $cache/NAME.part, unless it
# is there.  COMMAND fills the .part directory; the rename at the end is what
# makes an interrupted run harmless.  Other checkouts wait for the lock.
once() {
    local name=$1 target=$cache/$1
    shift
    [ -e "$target" ] && return
    mkdir -p "$(dirname "$target")"
    exec {lock}>"$cache/.lock-${name//\//-}"
    flock -n "$lock" || { say "waiting for another run to make $name"; flock "$lock"; }
    if [ ! -e "$target" ]; then
        rm -rf "$target.part"
        mkdir "$target.part"
        "$@" "$target.part"
        mv "$target.part" "$target"
    fi
    exec {lock}>&-
}
