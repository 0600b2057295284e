# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced by tests that do the same on a regular and on a zoned disk; those that set kinds, on a
# regular one with free space caches (v1), too.

# shellcheck disable=SC2034,SC2154 # for those who source this, behind ktap.sh
with_caches="regular zoned cached"

# on_each_kind SIZE COMMAND...: makes a volume, on a regular disk of SIZE MiB and on a zoned one, on
# $scratch, runs COMMAND with the disk in $disk and its kind in $kind, and has the volume judged
# by btrfs check and by what C btrfs reads of it.
on_each_kind() {
    for kind in ${KINDS:-${kinds:-regular zoned}}; do
        on_this_kind "$@"
        drop_disks
    done
}

# on_all_kinds SIZE COMMAND...: the same on all kinds at the same time, each with a $scratch of its own.
on_all_kinds() {
    local pid pids=() failed=
    for kind in ${KINDS:-${kinds:-regular zoned}}; do
        (
            scratch=$scratch/$kind
            on_this_kind "$@"
        ) &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || failed=1
    done
    [ -z "$failed" ] || fail "not on all kinds"
    drop_disks
}

on_this_kind() { # size command...
    echo "=== $kind"
    make_volume "$1"
    "${@:2}"
    remember "$scratch" "$kind"
    umount "$scratch"
    check_volume "$disk"
    [ "$kind" != cached ] || has_caches
    mount_c "$disk" "$scratch" -o ro
    same "$scratch" "$kind"
    umount "$scratch"
}

# has_caches: some groups of $disk have theirs, which btrfs check has compared.
has_caches() {
    btrfs inspect-internal dump-tree -t root "$disk" | grep '(FREE_SPACE UNTYPED' >/dev/null ||
        fail "no group has a cache"
}

make_volume() { # size
    case $kind in
    cached)
        # Groups of less than 100 MiB have none.
        disk=$(regular_disk size=$(($1 > 2048 ? $1 : 2048)))
        mkfs.btrfs -qf -O ^free-space-tree,^block-group-tree "$disk"
        ;;
    regular)
        disk=$(regular_disk size="$1")
        mkfs.btrfs -qf "$disk"
        ;;
    zoned)
        # Large: C btrfs 7.3 can wait for ever for a zone to be finished where few are left.
        disk=$(zoned_disk size=4096 zone_size=64)
        mkfs.btrfs -qf -O zoned "$disk"
        ;;
    esac
    mount_ours "$disk" "$scratch"
}

# flusher_always: the kernel writes out what is dirty all the time.
flusher_always() {
    echo 1 >/proc/sys/vm/dirty_writeback_centisecs
    echo 1 >/proc/sys/vm/dirty_expire_centisecs
}

# flusher_as_usual: it leaves what was just written alone.
flusher_as_usual() {
    echo 500 >/proc/sys/vm/dirty_writeback_centisecs
    echo 3000 >/proc/sys/vm/dirty_expire_centisecs
}

# prepare_hammer KIND SECONDS: what the hammer (tests/programs) needs on such a disk; its command is $hammer.
prepare_hammer() {
    local source missing=()
    source=$(regular_disk size=16 irqmode=2 completion_nsec=5000000)
    # Space that is passed over in a zone cannot be written later.
    [ "$1" != zoned ] || missing=(--missing allocate)
    [ "$driver $1" != "btrfs zoned" ] || missing=(--missing "allocate,punch")
    cp /results/programs/judge /run/
    # shellcheck disable=SC2034 # for those who source this
    hammer=(in_time $(($2 * 2 + 120)) /run/judge hammer --seconds "$2" --source "$source"
        --seed "${HAMMER_SEED:-$RANDOM}" "${missing[@]}")
}
