// SPDX-License-Identifier: GPL-2.0

//! What every file of the engine and the module has in scope: the prelude of the kernel crate, the error codes which
//! that of 7.2 does not name, errors and warnings that do not flood the log, and memory that is waited for.
//!
//! C headers: `include/uapi/linux/errno.h`, `include/linux/gfp_types.h`

use core::mem::transmute;
use kernel::alloc::Flags;
use kernel::bindings;

pub use crate::{pr_debug, pr_err, pr_warn};
pub use kernel::prelude::*;

/// `GFP_KERNEL | __GFP_NOFAIL`, which the kernel crate leaves out: the allocation waits until there is memory. For all
/// that a transaction allocates, see `Documentation/transaction.md`. For a page or two from `kmalloc`; what may be
/// larger comes from `kvmalloc`. The caller may sleep.
pub const GFP_NOFAIL: Flags = {
    // SAFETY: `Flags` is one `u32`: the compiler checks here that it is as large, so the field is all of it.
    let kernel = unsafe { transmute::<Flags, u32>(GFP_KERNEL) };
    // SAFETY: A `Flags` is one `u32`, of the size that the compiler compared, and any bits are flags.
    unsafe { transmute::<u32, Flags>(kernel | 1 << bindings::___GFP_NOFAIL_BIT) }
};

/// The error of a positive errno, for constants, which `Error::from_errno` is not.
const fn error(errno: u32) -> Error {
    assert!(errno > 0 && errno <= bindings::MAX_ERRNO);
    // SAFETY: An `Error` is a negative errno (asserted below), and this is one.
    unsafe { transmute::<i32, Error>(-(errno as i32)) }
}

const _: () = {
    // SAFETY: Every value without padding can be seen as an integer of its size; that there is none is checked when
    // this is evaluated, by the compiler.
    let bytes = unsafe { transmute::<Error, i32>(ENOENT) };
    assert!(bytes == -(bindings::ENOENT as i32));
};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        $($(#[$doc])* pub const $name: Error = error(bindings::$name);)*
    };
}

codes! {
    /// File name too long.
    ENAMETOOLONG,
    /// Directory not empty.
    ENOTEMPTY,
    /// No data available.
    ENODATA,
    /// Operation not supported.
    EOPNOTSUPP,
    /// Stale file handle.
    ESTALE,
    /// Structure needs cleaning.
    EUCLEAN,
}
