// SPDX-License-Identifier: GPL-2.0
/*
 * Weak, so that the module loads without libblake2b.ko, which few volumes need:
 * the crypto API does not have the algorithm in the stock kernel, and
 * symbol_get() takes GPL-only symbols alone.
 */
#pragma weak blake2b_update
#pragma weak blake2b_final
#include <crypto/blake2b.h>
#include <linux/cred.h>
#include <linux/freezer.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/ratelimit.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/utsname.h>
#include <generated/utsversion.h>
#include "shim.h"

/* For modinfo(8), and what module! of Rust has no word for. */
MODULE_VERSION(RBTRFS_VERSION);

const char *rbtrfs_version(void)
{
	return RBTRFS_VERSION;
}

/*
 * The release says the kernel itself where it loads a module; that of Debian
 * stays the same from one package to the next, and the version does not.
 */
void rbtrfs_compare_kernels(void)
{
	const char *version = init_utsname()->version;

	if (strcmp(UTS_VERSION, version))
		pr_warn("rbtrfs: built for the kernel %s, but this is %s: build it anew\n",
			UTS_VERSION, version);
}

void rbtrfs_folio_start_writeback(struct folio *folio)
{
	folio_start_writeback(folio);
}

struct folio *rbtrfs_page_folio(struct page *page)
{
	return page_folio(page);
}

void *rbtrfs_page_address(struct page *page)
{
	return page_address(page);
}

void *rbtrfs_folio_address(struct folio *folio)
{
	return folio_address(folio);
}

/* Not charged to the memory cgroup of whoever reads first. */
void rbtrfs_mapping_set_kernel_file(struct address_space *mapping)
{
	set_bit(AS_KERNEL_FILE, &mapping->flags);
}

/* A signal is there that ends the task. */
bool rbtrfs_is_killed(void)
{
	return fatal_signal_pending(current);
}

/* Returns when nobody wants the task to be frozen any more. */
void rbtrfs_try_to_freeze(void)
{
	try_to_freeze();
}

/* What inode_init_owner() sets, before there is an inode. */
void rbtrfs_new_owner(struct mnt_idmap *idmap, struct inode *dir, u32 *mode,
		      u32 *uid, u32 *gid)
{
	struct user_namespace *ns = i_user_ns(dir);

	*uid = from_kuid(ns, mapped_fsuid(idmap, ns));
	*gid = from_kgid(ns, mapped_fsgid(idmap, ns));
	if (dir->i_mode & S_ISGID) {
		*gid = i_gid_read(dir);
		if (S_ISDIR(*mode))
			*mode |= S_ISGID;
	}
}

/* As many lines as C btrfs. */
bool rbtrfs_may_log_error(void)
{
	static DEFINE_RATELIMIT_STATE(limit, DEFAULT_RATELIMIT_INTERVAL, 100);

	return __ratelimit(&limit);
}

bool rbtrfs_may_log_warning(void)
{
	static DEFINE_RATELIMIT_STATE(limit, DEFAULT_RATELIMIT_INTERVAL, 100);

	return __ratelimit(&limit);
}

bool rbtrfs_may_log_debug(void)
{
	static DEFINE_RATELIMIT_STATE(limit, DEFAULT_RATELIMIT_INTERVAL, 100);

	return __ratelimit(&limit);
}

void rbtrfs_get_task(struct task_struct *task)
{
	get_task_struct(task);
}

/*
 * Not lost: kthread_stop(), kthread_park() and wake_up_process() make the task
 * running.
 */
void rbtrfs_kthread_sleep(long timeout)
{
	set_current_state(TASK_IDLE);
	if (!kthread_should_stop() && !kthread_should_park())
		schedule_timeout(timeout);
	__set_current_state(TASK_RUNNING);
	if (kthread_should_park())
		kthread_parkme();
}

size_t rbtrfs_offset_in_folio(struct folio *folio, void *address)
{
	return offset_in_folio(folio, address);
}

/* The field is bi_bvec_done in 7.2 and bi_offset in 7.3. */
unsigned int rbtrfs_bio_vec_done(struct bio *bio)
{
	const struct bio_vec *vec = &bio->bi_io_vec[bio->bi_iter.bi_idx];

	return mp_bvec_iter_offset(bio->bi_io_vec, bio->bi_iter) - vec->bv_offset;
}

bool rbtrfs_task_does_no_io(void)
{
	return current->flags & PF_MEMALLOC_NOIO;
}

bool rbtrfs_has_blake2b(void)
{
	return blake2b_update && blake2b_final;
}

/* Only where rbtrfs_has_blake2b(). */
void rbtrfs_blake2b_256(const u8 *in, size_t len, u8 *out)
{
	blake2b(NULL, 0, in, len, out, BLAKE2B_256_HASH_SIZE);
}
