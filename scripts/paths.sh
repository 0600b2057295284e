# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# shellcheck disable=SC2034 # used by those who source it
#
# Sourced by every script here: where things live, and the one way in which a
# cached thing is made.  Nothing is written outside the checkout and the cache.

set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/rbtrfs
out=${OUT:-$top/out}
series=${KVER:-7.3}

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
