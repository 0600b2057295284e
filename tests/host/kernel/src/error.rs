// SPDX-License-Identifier: GPL-2.0
//! Errors (kernel: `rust/kernel/error.rs`).

use crate::alloc::AllocError;
use core::num::{NonZeroI32, TryFromIntError};

/// A kernel error code, negative.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Error(NonZeroI32);

/// What calls return.
pub type Result<T = (), E = Error> = core::result::Result<T, E>;

impl Error {
    /// From a negative errno; `EINVAL` for anything else.
    pub fn from_errno(errno: i32) -> Error {
        match NonZeroI32::new(errno) {
            Some(number) if (-4095..0).contains(&errno) => Error(number),
            _ => code::EINVAL,
        }
    }

    /// The negative errno.
    pub fn to_errno(self) -> i32 {
        self.0.get()
    }
}

impl core::fmt::Debug for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match code::NAMES.iter().find(|(error, _)| error == self) {
            Some((_, name)) => f.write_str(name),
            None => f.debug_tuple("Error").field(&-self.0.get()).finish(),
        }
    }
}

impl From<AllocError> for Error {
    fn from(_: AllocError) -> Error {
        code::ENOMEM
    }
}

impl From<TryFromIntError> for Error {
    fn from(_: TryFromIntError) -> Error {
        code::EINVAL
    }
}

impl From<core::str::Utf8Error> for Error {
    fn from(_: core::str::Utf8Error) -> Error {
        code::EINVAL
    }
}

impl From<core::alloc::LayoutError> for Error {
    fn from(_: core::alloc::LayoutError) -> Error {
        code::ENOMEM
    }
}

impl From<core::fmt::Error> for Error {
    fn from(_: core::fmt::Error) -> Error {
        code::EINVAL
    }
}

impl From<core::convert::Infallible> for Error {
    fn from(never: core::convert::Infallible) -> Error {
        match never {}
    }
}

/// The error codes that the engine and its tests name, with the numbers of the C library.
pub mod code {
    use super::Error;
    use core::num::NonZeroI32;

    macro_rules! codes {
        ($($name:ident)*) => {
            $(
                #[doc = concat!("`", stringify!($name), "` of C.")]
                pub const $name: Error = Error(NonZeroI32::new(-libc::$name).unwrap());
            )*
            pub(super) const NAMES: &[(Error, &str)] = &[$(($name, stringify!($name))),*];
        };
    }

    codes! {
        E2BIG EAGAIN EBUSY EEXIST EFBIG EINTR EINVAL EIO EISDIR EMLINK ENAMETOOLONG ENODATA ENODEV ENOENT ENOMEM ENOSPC ENOTDIR
        ENOTEMPTY ENXIO EOPNOTSUPP EOVERFLOW EPERM ERANGE EROFS ESTALE EUCLEAN EXDEV
    }
}
