# SPDX-License-Identifier: GPL-2.0
#
# Compares verdicts: awk -v device=KIND -f compare.awk known=KNOWN file=1 KNOWN
# file=2 OF_C file=3 OURS file=4 TESTS.  Verdicts are lines as tests/xfstests/verdicts.sh describes them;
# KNOWN has lines "TEST DEVICES FEATURE: REASON", TESTS one test a line.
# Prints the table; the exit code is 1 if something in it is to be mended.

function why(text) {
    sub(/^[^ ]+ [^ ]+ [^ ]+ ?/, "", text)
    return substr(text, 1, 110)
}

file == 1 {
    if ($0 ~ /^#/ || NF == 0) next
    if (NF < 4 || $2 !~ /^(both|regular|zoned)$/ || $0 !~ /: ./) {
        print known ": not a line of it: " $0
        wrong++
        next
    }
    if ($2 != "both" && $2 != device) next
    line = $0
    sub(/^[^ ]+ +[^ ]+ +/, "", line)
    reason[$1] = line
    next
}
file == 2 { c[$1] = $2; next }
file == 3 { ours[$1] = $2; text[$1] = why($0); next }

{
    count++
    if ($1 in c) by_c[c[$1]]++
    by_us[ours[$1]]++
    # Whatever C says of a test; but a test too slow for C says nothing of us.
    if (ours[$1] ~ /^(check|kernel|died|late)$/ && c[$1] != ours[$1]) {
        bad[++bads] = sprintf("%-12s %-7s %s", $1, ours[$1], text[$1])
        next
    }
    if (!($1 in c)) {
        unasked++
        next
    }
    if (c[$1] != "pass") {
        if (ours[$1] == "pass") more++
        next
    }
    if (ours[$1] == "pass") {
        both++
        if ($1 in reason)
            stale[++stales] = sprintf("%-12s %s", $1, reason[$1])
        next
    }
    if ($1 in reason) {
        feature = substr(reason[$1], 1, index(reason[$1], ":") - 1)
        if (!(feature in listed)) features[++kinds] = feature
        listed[feature] = listed[feature] sprintf("  %-12s %-7s %s\n", $1, ours[$1],
            substr(reason[$1], length(feature) + 3))
        number[feature]++
        explained++
    } else
        missing[++unexplained] = sprintf("%-12s %-7s %s", $1, ours[$1], text[$1])
}

function all_of(counts,    verdict, list) {
    for (verdict in counts)
        list = list sprintf(", %d %s", counts[verdict], verdict)
    return substr(list, 3)
}

END {
    printf "\n%d tests on %s devices\n", count, device
    printf "  C btrfs: %s\n", all_of(by_c)
    printf "  rbtrfs:  %s\n", all_of(by_us)
    printf "C passes %d; of those rbtrfs passes %d", by_c["pass"], both
    printf "; %d differ with a known reason, %d without one", explained, unexplained
    printf "; %d pass that C does not pass", more
    print ""
    for (i = 1; i <= kinds; i++)
        printf "\n%s (%d)\n%s", features[i], number[features[i]], listed[features[i]]
    if (unexplained) print "\nDIFFERENCES WITHOUT A REASON"
    for (i = 1; i <= unexplained; i++) print "  " missing[i]
    if (stales) print "\nREASONS THAT NO LONGER HOLD: these pass"
    for (i = 1; i <= stales; i++) print "  " stale[i]
    if (bads) print "\nDIED, HUNG, OR COMPLAINED OF BY THE KERNEL OR BTRFS CHECK"
    for (i = 1; i <= bads; i++) print "  " bad[i]
    if (unasked)
        printf "\nNOT COMPARED: C btrfs was not asked %d of these tests: of those this shows nothing\n", unasked
    exit (wrong + unexplained + stales + bads + unasked > 0)
}
