# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced after ktap.sh: round trips between rbtrfs and C btrfs.

: "${scratch:?source ktap.sh first}"

# round_trip DISK [mkfs options]
round_trip() {
    local disk=$1
    shift
    echo "--- mkfs.btrfs $*"
    mkfs.btrfs -qf "$@" "$disk"

    mount_ours "$disk" "$scratch"
    populate "$scratch/ours"
    remember "$scratch" first
    sync -f "$scratch"
    same "$scratch" first
    umount "$scratch"
    check_volume "$disk"

    mount_ours "$disk" "$scratch"
    same "$scratch" first
    umount "$scratch"

    mount_c "$disk" "$scratch"
    same "$scratch" first
    btrfs -q subvolume snapshot "$scratch" "$scratch/snap"
    populate "$scratch/theirs"
    rm -r "$scratch/ours/many"
    echo changed | dd of="$scratch/ours/large" bs=1 seek=5000000 conv=notrunc status=none
    remember "$scratch" second
    umount "$scratch"

    mount_ours "$disk" "$scratch"
    same "$scratch" second
    # Blocks shared with the snapshot are copied, not changed.
    mv "$scratch/ours/tree" "$scratch/theirs/moved"
    echo again | dd of="$scratch/ours/large" bs=1 seek=100000 conv=notrunc status=none
    truncate -s 12345 "$scratch/theirs/large"
    rm "$scratch/theirs/holes"
    remember "$scratch" third
    umount "$scratch"
    check_volume "$disk"

    mount_c "$disk" "$scratch"
    same "$scratch" third
    umount "$scratch"
}

# round_trip_of_linux DISK [mkfs options]: the kernel's sources, which tar compares
# with the archive byte by byte after each step.
round_trip_of_linux() {
    local disk=$1 archive
    shift
    archive=$(disk_of_serial linux-source)
    mkfs.btrfs -qf "$@" "$disk"

    step "rbtrfs unpacks"
    mount_ours "$disk" "$scratch"
    mkdir "$scratch/ours"
    tar -xf "$archive" -C "$scratch/ours"
    umount "$scratch"
    step "btrfs check"
    check_volume "$disk"

    step "rbtrfs compares"
    mount_ours "$disk" "$scratch"
    tar -df "$archive" -C "$scratch/ours"
    umount "$scratch"

    step "C btrfs compares and copies"
    mount_c "$disk" "$scratch"
    tar -df "$archive" -C "$scratch/ours"
    cp -a --reflink=never "$scratch/ours" "$scratch/theirs"
    umount "$scratch"

    step "rbtrfs compares the copy and removes the first"
    mount_ours "$disk" "$scratch"
    tar -df "$archive" -C "$scratch/theirs"
    rm -r "$scratch/ours"
    umount "$scratch"
    step "btrfs check"
    check_volume "$disk"

    step "C btrfs compares"
    mount_c "$disk" "$scratch"
    expect "$(ls "$scratch")" theirs "what is left"
    tar -df "$archive" -C "$scratch/theirs"
    umount "$scratch"
}

step() {
    echo "--- $SECONDS s: $*"
}
