# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced first by every test.  A test is an executable bash file in this folder
# (or a folder of it); it passes by reaching its end.  Headers in its comments:
#
#   # guest: mem=4G smp=1 disk=10G     what the guest must have (one boot serves
#                                      all tests which ask for the same)
#   # limit: 300                       seconds; 120 without it
#
# Whatever the kernel complains about while a test runs fails it, and what it
# leaves mounted or loaded is taken away after it: see scripts/guest-run-tests.

set -Eeuo pipefail
trap 'echo "FAILED: ${BASH_SOURCE[0]##*/}:$LINENO: $BASH_COMMAND" >&2' ERR

here=$(dirname "${BASH_SOURCE[0]}")
. "$here/disks.sh"

# shellcheck disable=SC2034 # the tests' folder
scratch=/mnt/scratch
mkdir -p "$scratch"

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# expect VALUE WANTED [what]
expect() {
    [ "$1" = "$2" ] || fail "${3:-value}: got '$1', expected '$2'"
}

# refuses COMMAND...: it must fail (and the shell must not stop at it).
refuses() {
    if "$@"; then
        fail "succeeded, but was to be refused: $*"
    fi
}

# said REGEX: the kernel has logged this since the test began.
said() {
    dmesg | grep -E -- "$1" || fail "the kernel did not log: $1"
}

# load_module [parameters], and the modules it needs.
load_module() {
    local needed
    for needed in $(modinfo -F depends /results/rbtrfs.ko | tr ',' ' '); do
        modprobe "$needed"
    done
    insmod /results/rbtrfs.ko "$@"
}

unload_module() {
    rmmod rbtrfs
}

# mount_ours DEVICE DIR [mount options]: by this module.
mount_ours() {
    local device=$1 dir=$2
    shift 2
    mkdir -p "$dir"
    mount -t rbtrfs "$@" "$device" "$dir"
}

# mount_c DEVICE DIR [mount options]: by the kernel's own btrfs, the judge.
mount_c() {
    local device=$1 dir=$2
    shift 2
    mkdir -p "$dir"
    modprobe btrfs
    mount -t btrfs "$@" "$device" "$dir"
}

# check_volume DEVICE: btrfs check, data checksums included.
check_volume() {
    btrfs check --check-data-csum "$1" || fail "btrfs check refuses $1"
}

# checksums DIR: one line for each file below it, in a fixed order.
checksums() {
    (cd "$1" && find . -type f -print0 | sort -z | xargs -0 -r sha256sum)
}
