/* SPDX-License-Identifier: GPL-2.0 */
/*
 * C functions for Rust: what the kernel has as a macro.  Only scalars and
 * opaque pointers cross.  Inline functions need nothing here, see `inlines`.
 */
#ifndef RBTRFS_SHIM_H
#define RBTRFS_SHIM_H

#include <linux/bio.h>
#include <linux/fs.h>
#include <linux/pagemap.h>

const char *rbtrfs_version(void);
void rbtrfs_compare_kernels(void);
void rbtrfs_folio_start_writeback(struct folio *folio);
void *rbtrfs_folio_address(struct folio *folio);
void rbtrfs_mapping_set_kernel_file(struct address_space *mapping);
void rbtrfs_new_owner(struct mnt_idmap *idmap, struct inode *dir, u32 *mode,
		      u32 *uid, u32 *gid);
bool rbtrfs_is_killed(void);
void rbtrfs_try_to_freeze(void);
bool rbtrfs_may_log_error(void);
bool rbtrfs_may_log_warning(void);
bool rbtrfs_may_log_debug(void);
void rbtrfs_get_task(struct task_struct *task);
void rbtrfs_kthread_sleep(long timeout);
struct folio *rbtrfs_page_folio(struct page *page);
void *rbtrfs_page_address(struct page *page);
size_t rbtrfs_offset_in_folio(struct folio *folio, void *address);
unsigned int rbtrfs_bio_vec_done(struct bio *bio);
bool rbtrfs_task_does_no_io(void);
bool rbtrfs_has_blake2b(void);
void rbtrfs_blake2b_256(const u8 *in, size_t len, u8 *out);

#endif
