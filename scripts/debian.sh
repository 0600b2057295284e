# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced: makes Debian 13 trees.  The addresses of the mirror are those which
# this machine's own apt uses.

mirror_of() { # label
    apt-get indextargets --format '$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
        sed -n "s/^$1|//p" | sort -u | awk 'NR == 1'
}

sources() {
    local main security
    main=$(mirror_of Debian)
    if [ -z "$main" ] && [ "$(id -u)" -eq 0 ]; then
        apt-get update -qq >&2
        main=$(mirror_of Debian)
    fi
    [ -n "$main" ] || die "apt knows no Debian mirror; run apt-get update as root"
    security=$(mirror_of Debian-Security)
    printf 'deb %s %s main\n' "$main" trixie "$main" trixie-updates "$main" trixie-backports
    if [ -n "$security" ]; then
        printf 'deb %s trixie-security main\n' "$security"
    fi
}

# debian_tree DIR "PACKAGES" "PACKAGES OF BACKPORTS" [mmdebstrap options]
debian_tree() {
    local dir=$1 packages=$2 fresh=$3 mode=root
    shift 3
    [ "$(id -u)" -eq 0 ] || mode=unshare
    room 2 /var/tmp
    sources >"$dir.sources"
    # A tar stream in between leaves the tree to whoever calls, root or not. The tree is made where also a user's other
    # identities may go, and on a disk. What the tree's apt does later, it does as the one user that it knows.
    # shellcheck disable=SC2016 # $1 is the hook's
    TMPDIR=/var/tmp mmdebstrap --quiet --mode=$mode --format=tar --include="$packages" \
        --aptopt='Acquire::Retries "3"' --aptopt='APT::Sandbox::User "root"' \
        --customize-hook='chroot "$1" apt-get install -y -qq --no-install-recommends \
            -t trixie-backports '"$fresh"' >/dev/null' \
        --skip=cleanup/apt/lists "$@" trixie - - <"$dir.sources" |
        tar -xp -C "$dir" --exclude='./dev/*' --no-same-owner --numeric-owner
    rm "$dir.sources"
}
