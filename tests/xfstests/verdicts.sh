# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced in the guest.  /results/verdicts has a line for each test that was run:
#
#   TEST VERDICT SECONDS WHY
#
#   pass notrun fail   as xfstests says
#   check              btrfs check complains of the device, whatever else
#   kernel             the kernel complains
#   late               over the time limit, and whether it could be ended
#   died               the guest died in it (written by the host)

# verdict TEST VERDICT SECONDS WHY: the first one counts.
verdict() {
    if ! grep -qs "^$1 " /results/verdicts; then
        printf '%s %s %s %s\n' "$1" "$2" "$3" "${4//$'\n'/ }" >>/results/verdicts
    fi
}
