/* SPDX-License-Identifier: GPL-2.0 */
/*
 * C functions for Rust: what the kernel has as a macro.  Only scalars and
 * opaque pointers cross.  Inline functions need nothing here, see `inlines`.
 */
#ifndef RBTRFS_SHIM_H
#define RBTRFS_SHIM_H

#include <linux/pagemap.h>

void rbtrfs_folio_start_writeback(struct folio *folio);

#endif
