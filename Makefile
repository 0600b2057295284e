# SPDX-License-Identifier: GPL-2.0
#
# Every target is a script of scripts/; this file only names them.  What Kbuild
# reads is Kbuild.  KVER=7.2, KVER=7.3.4+deb13-amd64 or KVER=debug selects another
# kernel than the newest 7.3 of Debian 13 backports; TESTS="a b" some guest tests.

.DEFAULT_GOAL := all

# ---- build ------------------------------------------------------------------
all: ## the module, for the running kernel where that is a Debian 13 one with Rust
	@scripts/make-module
install: ## the module, into the running kernel's module tree; AS_BTRFS=1: for volumes of type btrfs
	@scripts/make-module --install
uninstall: ## the module, and what came with it, out of all kernels' module trees
	@scripts/make-module --uninstall
deb: ## the Debian package rbtrfs-dkms, in out/deb
	@scripts/deb
clean: ## remove what was built (the cache stays)
	@scripts/clean
doc: ## the documentation of all crates, private items too, in out/doc
	@scripts/doc
rust-analyzer: ## write rust-project.json
	@scripts/rust-analyzer

# ---- try --------------------------------------------------------------------
run: ## make a zoned volume in a guest, work on it, let C btrfs judge it
	@scripts/run
shell: ## an interactive guest with the module in /results
	@scripts/build >/dev/null && scripts/guest

# ---- test -------------------------------------------------------------------
test: ## checks, unit and guest tests
	@scripts/test
check: ## style, lints, layers, maps, unsafe, sizes, panics, and that each check can fail
	@scripts/check
unit: ## the engine's tests, on this machine
	@scripts/unit
soak: ## on this machine: many random histories, and power cuts in every write
	@scripts/soak
fuzz: ## on this machine: mutated images, chosen by what of the engine they reach: SECONDS=600
	@scripts/fuzz $(or $(SECONDS),600)
fuzz-images: ## on this machine: what btrfs-progs keeps of fuzzers: DIR=/folder
	@scripts/fuzz-images $(DIR)
guest-test: ## tests/guest in a QEMU guest: TESTS="load disks"
	@scripts/guest-test $(TESTS)
bare: ## as root: the first minutes of a new user, in bare trees of Debian 12 and 13 (half an hour)
	@scripts/bare
debug-test: ## the same under KASAN and lockdep (builds that kernel once)
	@scripts/debug-test $(TESTS)
root-test: ## boots a Debian 13 whose root file system is of type rbtrfs
	@scripts/root-test
uml-test: ## guest tests on a kernel that is a program of this machine: quick
	@KVER=uml scripts/guest-test $(TESTS)
xfstests: ## those of XFSTESTS=FOLDER, compared with C btrfs: GROUP="rw aio" DEVICE=zoned
	@scripts/xfstests
long-test: ## round trips of the kernel's sources between rbtrfs and C btrfs
	@scripts/guest-test 'long/linux_*'
failing: ## allocations fail under the hammer and in every fsync: on the debug kernel (HAMMER_SECONDS=300)
	@scripts/debug-test 'long/failing_*'
stress: ## five minutes of writers on each kind of zoned device (STRESS_KINDS="*zone_size=4*")
	@STRESS_SECONDS=300 scripts/guest-test zoned_stress
hammer: ## half an hour of many tasks on a few files whose every byte is known, per kind of disk
	@HAMMER_SECONDS=1800 scripts/guest-test hammer
fsx: ## a million random operations with each of four seeds in each of four ways, per kind of disk
	@FSX_OPS=1000000 FSX_SEEDS=4 scripts/guest-test fsx
stress-ng: ## every stressor of stress-ng's file system class, ten minutes for each kind of disk
	@STRESS_SECONDS=$(or $(STRESS_SECONDS),8) scripts/guest-test long/stress_ng
power-cut: ## a thousand power cuts under the module, half of them on either kind of disk (CUTS=5000)
	@CUTS=$(or $(CUTS),1000) scripts/guest-test power_cut
bench: ## fio and files on rbtrfs, btrfs, XFS or f2fs: ROUNDS=5 JOBS="direct-* fsync" KINDS=zoned BASE=commit
	@scripts/bench
bench-free-space: ## mounts and allocations where free space is in small pieces: COUNTED=1
	@scripts/bench --free-space
bench-commits: ## what commits take after changes in 1 to 1,000 block groups: ROUNDS=3 BASE=commit
	@scripts/bench --commits

help: ## this list
	@sed -n 's/^\([a-z-]*\): ## /\1\t/p' Makefile | expand -t 16

.PHONY: all install uninstall deb clean doc rust-analyzer run shell test check unit bare soak fuzz fuzz-images guest-test debug-test root-test uml-test long-test failing stress hammer fsx power-cut stress-ng bench bench-commits bench-free-space help xfstests
