/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads.  Headers are listed by subject; which declarations of
 * them are taken is said in bindgen_parameters and inlines.
 */

/* an enum is used before it is declared: rust/bindings/bindings_helper.h */
#include <linux/hrtimer_types.h>

/* VFS */
#include <linux/dcache.h>
#include <linux/exportfs.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fileattr.h>
#include <linux/filelock.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/fserror.h>
#include <linux/fsverity.h>
#include <linux/iversion.h>
#include <linux/kdev_t.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/security.h>
#include <linux/seq_file.h>
#include <linux/statfs.h>
#include <linux/xattr.h>

/* page cache, memory */
#include <linux/backing-dev.h>
#include <linux/folio_batch.h>
#include <linux/highmem.h>
#include <linux/iomap.h>
#include <linux/memcontrol.h>
#include <linux/mempool.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/splice.h>
#include <linux/swap.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/vmalloc.h>
#include <linux/writeback.h>

/* block devices */
#include <linux/bio.h>
#include <linux/blk-cgroup.h>
#include <linux/blkdev.h>
#include <linux/blkzoned.h>

/* threads, locks, work */
#include <linux/freezer.h>
#include <linux/io_uring/cmd.h>
#include <linux/kobject.h>
#include <linux/kthread.h>
#include <linux/percpu_counter.h>
#include <linux/rwsem.h>
#include <linux/sched/mm.h>
#include <linux/sysfs.h>
#include <linux/uuid.h>
#include <linux/workqueue.h>

/* checksums */
#include <crypto/blake2b.h>
#include <crypto/sha2.h>
#include <linux/crc32.h>
#include <linux/crc32c.h>
#include <linux/xxhash.h>

#include "shim.h"

/* Macros with casts, which bindgen cannot evaluate; the prefix is cut off. */
const gfp_t RBTRFS_CONST_GFP_NOFS = GFP_NOFS;
/* What lives as long as an inode, and goes when memory is short. */
const gfp_t RBTRFS_CONST_GFP_INODE = GFP_KERNEL_ACCOUNT | __GFP_RECLAIMABLE;
const gfp_t RBTRFS_CONST_GFP_NOFS_NORETRY = GFP_NOFS | __GFP_NORETRY | __GFP_NOWARN;
const gfp_t RBTRFS_CONST_GFP_NOFS_NOFAIL = GFP_NOFS | __GFP_NOFAIL;
const int RBTRFS_CONST_FMODE_CAN_ODIRECT = (__force int)FMODE_CAN_ODIRECT;
const int RBTRFS_CONST_IOCB_DIRECT = IOCB_DIRECT;
const int RBTRFS_CONST_IOCB_NOWAIT = (__force int)IOCB_NOWAIT;
const int RBTRFS_CONST_IOCB_WAITQ = IOCB_WAITQ;
const int RBTRFS_CONST_IOCB_APPEND = (__force int)IOCB_APPEND;
const int RBTRFS_CONST_IOCB_DSYNC = (__force int)IOCB_DSYNC;
const int RBTRFS_CONST_IOCB_SYNC = (__force int)IOCB_SYNC;
const int RBTRFS_CONST_FMODE_NOWAIT = (__force int)FMODE_NOWAIT;
const int RBTRFS_CONST_FMODE_WRITE = (__force int)FMODE_WRITE;
const fop_flags_t RBTRFS_CONST_FOP_BUFFER_RASYNC = FOP_BUFFER_RASYNC;
const fop_flags_t RBTRFS_CONST_FOP_BUFFER_WASYNC = FOP_BUFFER_WASYNC;
const fop_flags_t RBTRFS_CONST_FOP_DIO_PARALLEL_WRITE = FOP_DIO_PARALLEL_WRITE;
const blk_opf_t RBTRFS_CONST_REQ_OP_MASK = REQ_OP_MASK;
const blk_opf_t RBTRFS_CONST_REQ_SYNC = REQ_SYNC;
const blk_opf_t RBTRFS_CONST_REQ_META = REQ_META;
const blk_opf_t RBTRFS_CONST_REQ_PREFLUSH = REQ_PREFLUSH;
const blk_opf_t RBTRFS_CONST_REQ_FUA = REQ_FUA;
const u32 RBTRFS_CONST_I_CTIME_QUERIED = I_CTIME_QUERIED;
const unsigned int RBTRFS_CONST_SB_RDONLY = SB_RDONLY;
const unsigned int RBTRFS_CONST_I_VERSION_QUERIED_SHIFT = I_VERSION_QUERIED_SHIFT;
const unsigned int RBTRFS_CONST_SB_NOSEC = SB_NOSEC;
const unsigned int RBTRFS_CONST_SB_I_VERSION = SB_I_VERSION;
const unsigned int RBTRFS_CONST_SB_ACTIVE = SB_ACTIVE;
const fgf_t RBTRFS_CONST_FGP_LOCK = FGP_LOCK;
const fgf_t RBTRFS_CONST_FGP_CREAT = FGP_CREAT;
const fgf_t RBTRFS_CONST_FGP_ACCESSED = FGP_ACCESSED;
const fgf_t RBTRFS_CONST_FGP_NOWAIT = FGP_NOWAIT;
const gfp_t RBTRFS_CONST_GFP_NOWAIT = GFP_NOWAIT;
const gfp_t RBTRFS_CONST___GFP_FS = __GFP_FS;
const xa_mark_t RBTRFS_CONST_PAGECACHE_TAG_DIRTY = PAGECACHE_TAG_DIRTY;
const xa_mark_t RBTRFS_CONST_PAGECACHE_TAG_WRITEBACK = PAGECACHE_TAG_WRITEBACK;
const unsigned int RBTRFS_CONST_SB_POSIXACL = SB_POSIXACL;
const unsigned int RBTRFS_CONST_SB_SYNCHRONOUS = SB_SYNCHRONOUS;
const unsigned int RBTRFS_CONST_SB_DIRSYNC = SB_DIRSYNC;
