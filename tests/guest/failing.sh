# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced by tests that let allocations fail, behind ktap.sh.
# shellcheck disable=SC2154 # disks.sh has nullb

# Both ways to fail, as options for the hammer, for allocations that may sleep too.
knobs=()
for name in failslab fail_page_alloc; do
    knob=/sys/kernel/debug/$name
    [ -d $knob ] || fail "this kernel lets no allocation fail: KVER=debug"
    echo N >$knob/ignore-gfp-wait
    echo -1 >$knob/times
    echo 0 >$knob/verbose
    echo Y >$knob/task-filter
    knobs+=(--failing "$knob/probability")
done
echo 0 >/sys/kernel/debug/fail_page_alloc/min-order

# What rbtrfs asks for, itself or through others, fails. Not what the disks ask for, which keep in memory what is
# written: to have none is an error of the device there, after which no file system writes. They have failures of
# their own besides.
choose_callers() {
    local knob first last
    for knob in /sys/kernel/debug/{failslab,fail_page_alloc,fail_usercopy}; do
        read -r first last < <(functions_of rbtrfs)
        echo "$first" >$knob/require-start
        echo "$last" >$knob/require-end
    done
    for knob in /sys/kernel/debug/{failslab,fail_page_alloc} "$nullb"/*/*_inject; do
        read -r first last < <(functions_of null_blk)
        echo "$first" >"$knob/reject-start"
        echo "$last" >"$knob/reject-end"
        echo 32 >"$knob/stacktrace-depth"
    done
}

# The addresses of a module's functions, from the first to the page behind the last one's.
functions_of() { # module
    local all
    mapfile -t all < <(awk -v module="[$1]" '$4 == module && $2 ~ /[tTwW]/ { print $1 }' /proc/kallsyms | sort)
    [ ${#all[@]} -gt 10 ] || fail "$1 has no functions"
    printf '0x%s 0x%x\n' "${all[0]}" $((0x${all[-1]} + 8192 & ~4095))
}
