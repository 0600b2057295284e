# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Memory-backed null_blk devices, regular and zoned, made through configfs.
# Sizes are in MiB.

nullb=/sys/kernel/config/nullb

# regular_disk [size=2048] [attribute=value ...]: print the new device's path.
regular_disk() {
    make_disk size=2048 "$@"
}

# zoned_disk [size=2048] [zone_size=64] [zone_capacity=..] [zone_nr_conv=0]
#            [zone_max_open=..] [zone_max_active=..] [attribute=value ...]
zoned_disk() {
    make_disk size=2048 zoned=1 zone_size=64 zone_nr_conv=0 "$@"
}

# Attributes are the files of the configfs folder; the last value of one counts.
make_disk() {
    local number=0 pair name
    modprobe null_blk nr_devices=0
    mountpoint -q /sys/kernel/config || mount -t configfs config /sys/kernel/config
    while ! mkdir "$nullb/disk$number" 2>/dev/null; do
        number=$((number + 1))
        [ "$number" -lt 64 ] || { echo "no null_blk device can be made" >&2; return 1; }
    done
    name=disk$number
    for pair in memory_backed=1 "$@" power=1; do
        echo "${pair#*=}" >"$nullb/$name/${pair%%=*}"
    done
    echo "/dev/$name"
}

drop_disks() {
    local dir
    for dir in "$nullb"/disk*; do
        [ -d "$dir" ] || continue
        echo 0 >"$dir/power"
        rmdir "$dir"
    done
}

# The disk with this serial number: see scripts/guest --archive.
disk_of_serial() { # serial
    local file
    # The disks of User Mode Linux have none; the one behind the root is meant.
    [ ! -e /dev/ubdb ] || { echo /dev/ubdb; return; }
    for file in /sys/block/*/serial; do
        [ "$(cat "$file")" != "$1" ] || { file=${file%/serial}; echo "/dev/${file##*/}"; return; }
    done
    echo "no disk has the serial number $1" >&2
    return 1
}
