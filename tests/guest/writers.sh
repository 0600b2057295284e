# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced: the programs of btrfs-progs that write to a device. Those of `trusting` open it as anybody may and ask only
# /proc/mounts, for type btrfs; those of `careful` open it exclusively, which no mounted device lets them.

# shellcheck disable=SC2034 # used by those who source it
trusting=(
    'btrfs rescue clear-uuid-tree'
    'btrfs rescue super-recover -y'
    'btrfs rescue chunk-recover -y'
    'btrfs rescue fix-data-checksum -m 1'
    'btrfs-select-super -s 1'
)
# shellcheck disable=SC2034
careful=(
    'mkfs.btrfs -f'
    'btrfs check --clear-space-cache v2'
    'btrfs rescue zero-log'
    'btrfs rescue fix-device-size'
    'btrfstune -f -u'
)
