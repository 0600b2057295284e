// SPDX-License-Identifier: GPL-2.0

//! What every file of the engine and the module has in scope: the prelude of the kernel crate, the error codes which
//! that of 7.2 does not name, and errors and warnings that do not flood the log.
//!
//! C header: `include/uapi/linux/errno.h`

use core::mem::transmute;
use kernel::bindings;

pub use crate::{pr_err, pr_warn};
pub use kernel::prelude::*;

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
