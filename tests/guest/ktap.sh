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

# What mkfs.btrfs does unless a test says otherwise. User Mode Linux has no large folios:
# nodes are as large as a page. The debug kernel's crc32c is slow, and then C btrfs 7.3
# lets parts of an extent in sequential zones change places, unnoticed.
case $(uname -r) in
*-uml) mkfs.btrfs() { command mkfs.btrfs -n 4096 "$@"; } ;;
*-dbg) mkfs.btrfs() { command mkfs.btrfs --csum xxhash "$@"; } ;;
esac

# said REGEX: the kernel has logged this since the test began.
said() {
    dmesg | grep -E -- "$1" || fail "the kernel did not log: $1"
}

# told OPTIONS REGEX: a mount of $disk with these options is refused, and mount(8) itself says why.
# shellcheck disable=SC2154 # the test has $disk
told() {
    local said
    said=$(mount_ours "$disk" "$scratch" -o "$1" 2>&1) && fail "$1 was taken"
    echo "$said"
    grep -Eq -- "$2" <<<"$said" || fail "mount does not say of $1: $2"
}

# Who is judged: this module, or with DRIVER=btrfs the kernel's own.
driver=${DRIVER:-rbtrfs}

# load_module [parameters]: a plain insmod, as on a kernel just booted.
load_module() {
    [ "$driver" = rbtrfs ] || { modprobe "$driver"; return; }
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
    mount -t "$driver" "$@" "$device" "$dir"
}

# mount_c DEVICE DIR [mount options]: by the kernel's own btrfs, the judge.
mount_c() {
    local device=$1 dir=$2
    shift 2
    mkdir -p "$dir"
    modprobe btrfs
    # Lockdep complains of how C btrfs 7.3 writes its old free space cache, and is silent
    # from then on.
    if [[ $(uname -r) == *-dbg ]] &&
        ! btrfs inspect-internal dump-super "$device" | grep FREE_SPACE_TREE >/dev/null; then
        set -- -o nospace_cache "$@"
    fi
    mount -t btrfs "$@" "$device" "$dir"
}

# counter NAME: of the mount of $disk.
# shellcheck disable=SC2154 # the test sets it
counter() {
    sed -n "s/^$1 //p" "/sys/kernel/debug/rbtrfs-${disk##*/}/counters"
}

# superblock DISK: the first of them, past the cache, which does not see that it is written.
superblock() {
    dd if="$1" bs=4096 skip=16 count=1 iflag=direct status=none
}

# data_of DISK: FIRST-LAST, in sectors, of what file data may go to: its chunks, and all behind the last chunk.
data_of() {
    btrfs inspect-internal dump-tree -t chunk "$1" | awk -v all="$(blockdev --getsz "$1")" '
        /length .* type/ { len = $2 / 512; data = /type DATA/ }
        /stripe [0-9]* devid/ {
            first = $6 / 512
            if (data) print first "-" first + len - 1
            if (first + len > end) end = first + len
        }
        END { print end "-" all - 1 }'
}

# writes DISK: requests that changed something on the device so far.
writes() {
    awk '{ print $5 + $12 }' "/sys/block/${1##*/}/stat"
}

# judge SUBCOMMAND...: see tests/programs; a copy, since shared folders are slow.
judge() {
    [ -x /run/judge ] || cp /results/programs/judge /run/
    echo "--- judge $*"
    /run/judge "$@"
}

# in_time SECONDS COMMAND...: for those whose length is chosen; a hang does not wait for the
# limit of the longest.
in_time() {
    timeout --kill-after=5 $(($1 * ${TIME_SCALE:-1})) "${@:2}"
}

# check_volume DEVICE: btrfs check, data checksums included.
check_volume() {
    btrfs check --check-data-csum "$1" || fail "btrfs check refuses $1"
}

# checksums DIR: one line for each file below it, in a fixed order. Nobody forges files here, and an emulated
# processor takes fifteen times as long for SHA-256 as for MD5.
checksums() {
    (cd "$1" && find . -type f -print0 | sort -z | xargs -0 -r md5sum)
}

# listing DIR: name, type, mode, owner, links, size, target and mtime of all in it.
# Directories' link counts and sizes are each file system's own business.
listing() {
    (cd "$1" && find . -mindepth 1 \
        \( -type d -printf '%P d %m %U:%G %T@\n' \) -o \
        -printf '%P %y %m %U:%G %n %s %l %T@\n' | sort)
    (cd "$1" && find . \( -type b -o -type c \) -exec stat -c '%n %t:%T' {} + | sort)
    (cd "$1" && getfattr -R -h -d -m - --absolute-names . 2>/dev/null)
}

# remember DIR NAME: keep its checksums and listing, to compare with later.
remember() {
    checksums "$1" >"/tmp/$2.sums"
    listing "$1" >"/tmp/$2.list"
}

# same DIR NAME: it is what it was.
same() {
    checksums "$1" | diff "/tmp/$2.sums" - || fail "contents of $1 differ"
    listing "$1" | diff "/tmp/$2.list" - || fail "attributes in $1 differ"
}

# populate DIR: something of everything.
populate() {
    local i
    mkdir -p "$1"
    mkdir "$1/tree"
    cp -a /usr/lib/x86_64-linux-gnu/gconv/[A-J]* "$1/tree/"
    (
        cd "$1"
        head -c 9000000 /dev/urandom >large
        head -c 300 /dev/urandom >inline
        : >empty
        truncate -s 64M sparse
        printf end | dd of=sparse bs=1 seek=50000000 conv=notrunc status=none
        head -c 20000 /dev/urandom | dd of=holes bs=4k seek=3 status=none
        truncate -s 100001 holes
        ln large hard-link
        ln -s ../somewhere/else symlink
        ln -s "$(printf 'x%.0s' {1..900})" long-symlink
        mkdir -p deep/a/b/c/d/e/f/g many
        touch "$(printf 'n%.0s' {1..255})" 'name with spaces' $'new\nline'
        for i in {1..120}; do echo "file $i" >many/$i; done
        rm many/1? many/10?
        mkfifo pipe
        mknod null c 1 3
        setfattr -n user.colour -v blue large
        setfattr -n trusted.secret -v "$(printf 'v%.0s' {1..2000})" inline
        chmod 4711 inline
        chown 1234:5678 empty
        touch -d '2001-02-03 04:05:06.789' empty
    )
}
