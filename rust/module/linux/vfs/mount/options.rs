// SPDX-License-Identifier: GPL-2.0

//! Mount options, parsed as the kernel parses them, and the messages that mount(8) shows.
//!
//! C headers: `include/linux/fs_parser.h`, `include/linux/fs_context.h`

use crate::linux::bindings as b;
use crate::linux::SuperBlock;
use core::marker::PhantomData;
use core::ptr::null_mut;
use kernel::error::to_result;
use kernel::ffi::c_char;
use kernel::fmt;
use kernel::str::CString;
use latch::prelude::*;
use latch::Bug;
use units::Bytes;

/// What only the kernel's parser could have got wrong.
const UNKNOWN: Bug = Bug::new("an option was found that is not in the table");
const NO_TEXT: Bug = Bug::new("an option has no text, and needs one");

/// An option that a file system knows (C: `struct fs_parameter_spec`). One name may stand for a flag and for a value.
pub(crate) struct Parameter<O> {
    name: &'static CStr,
    kind: Kind<O>,
}

/// The kind of value that follows an option's name, and the function that takes it over.
pub(crate) enum Kind<O> {
    /// The word has no value.
    Flag(fn(&mut O)),
    /// A number, decimal, octal or hexadecimal.
    U32(fn(&mut O, u32, &Given<'_>) -> Result),
    /// A larger one.
    U64(fn(&mut O, u64, &Given<'_>) -> Result),
    /// Any text that is not empty.
    Text(fn(&mut O, &[u8], &Given<'_>) -> Result),
    /// Bytes: a number and a unit (C: `memparse`). What follows them is not minded.
    Size(fn(&mut O, Bytes)),
    /// None; the option is known and not supported.
    RefusedFlag,
    /// Any text; the option is known and not supported.
    RefusedText,
}

impl<O> Parameter<O> {
    /// An option `name`.
    pub(crate) const fn new(name: &'static CStr, kind: Kind<O>) -> Self {
        Self { name, kind }
    }
}

/// What one mount call asks for.
pub(crate) trait Options: Default + Send + Sync + 'static {
    /// All options of the file system.
    const PARAMETERS: &'static [Parameter<Self>];
}

/// An option as the user gave it.
pub(crate) struct Given<'a> {
    name: &'a [u8],
    value: Option<&'a [u8]>,
    log: &'a MountLog<'a>,
}

impl Given<'_> {
    /// What the user is told of it.
    pub(crate) fn log(&self) -> &MountLog<'_> {
        self.log
    }

    /// Says that what it asks for does not exist here.
    pub(crate) fn refuse(&self) -> Error {
        let (name, equals, value) = self.shown();
        self.log
            .error(fmt!("mount option {name}{equals}{value} is not supported"));
        EINVAL
    }

    /// Says that its value means nothing.
    pub(crate) fn bad_value(&self) -> Error {
        let (name, equals, value) = self.shown();
        self.log
            .error(fmt!("mount option {name}{equals}{value} has a bad value"));
        EINVAL
    }

    fn shown(&self) -> (&str, &str, &str) {
        let name = utf8(self.name);
        match self.value {
            None => (name, "", ""),
            Some(value) => (name, "=", utf8(value)),
        }
    }
}

/// Where a mount call finds what it is told of a failure: mount(8) shows it, and where nobody asked for it that way it
/// goes to the kernel's log (C: `struct fc_log`). Each message begins with the type and the device.
pub(crate) struct MountLog<'a> {
    /// The prefix of `log`, where it is not the context's.
    _prefix: Option<CString>,
    /// # Invariants
    ///
    /// Pointers that a context lends for `'a`.
    log: b::p_log,
    _context: PhantomData<&'a b::fs_context>,
}

impl<'a> MountLog<'a> {
    /// The log of a context.
    ///
    /// # Safety
    ///
    /// `fc` is a context of a type of ours, alive for `'a` and used by this task alone. `root`, where it has one, is that
    /// of a super block of ours.
    pub(super) unsafe fn of(fc: *mut b::fs_context) -> Self {
        // SAFETY: By the function's contract; the source is null or a string.
        let (kind, device) = unsafe {
            let device = match ((*fc).source.is_null(), (*fc).root.is_null()) {
                (false, _) => Some(utf8(text((*fc).source))),
                (true, false) => Some(SuperBlock::borrow((*(*fc).root).d_sb).name()),
                (true, true) => None,
            };
            (utf8(text((*(*fc).fs_type).name)), device)
        };
        // A message is not worth a failure: without memory it names the type alone.
        let prefix = device.and_then(|device| CString::try_from_fmt(fmt!("{kind}: {device}")).ok());
        // SAFETY: By the function's contract.
        let mut log = unsafe { (*fc).log };
        if let Some(prefix) = &prefix {
            log.prefix = prefix.as_char_ptr();
        }
        // INVARIANT: They are the context's; the prefix is this value's own.
        Self {
            _prefix: prefix,
            log,
            _context: PhantomData,
        }
    }

    /// Tells why the call fails.
    pub(crate) fn error(&self, message: fmt::Arguments<'_>) {
        self.write(b'e', message);
    }

    /// Tells what the kernel's log has already, unless this is where it goes anyway.
    pub(crate) fn repeat(&self, logged: &str) {
        if !self.log.log.is_null() {
            self.error(fmt!("{logged}"));
        }
    }

    /// Tells what is better known of a call that succeeds.
    pub(crate) fn warn(&self, message: fmt::Arguments<'_>) {
        self.write(b'w', message);
    }

    fn write(&self, level: u8, message: fmt::Arguments<'_>) {
        let text = CString::try_from_fmt(message);
        let text = text.as_deref().unwrap_or(c"out of memory");
        // SAFETY: The type invariant; the format takes one string. All are copied.
        unsafe {
            b::logfc(
                self.log.log,
                self.log.prefix,
                level as c_char,
                c"%s".as_char_ptr(),
                text.as_char_ptr(),
            );
        }
    }
}

/// How many options a file system may have, the end of C's array included.
const MAX: usize = 64;

/// The options of `O` for C: the place of each is its number.
struct Table<O>(PhantomData<O>);

impl<O: Options> Table<O> {
    const SPECS: [b::fs_parameter_spec; MAX] = specs(O::PARAMETERS);
}

const fn specs<O>(parameters: &[Parameter<O>]) -> [b::fs_parameter_spec; MAX] {
    assert!(parameters.len() < MAX);
    let mut specs = [const { pin_init::zeroed::<b::fs_parameter_spec>() }; MAX];
    let mut at = 0;
    while at < parameters.len() {
        specs[at].name = parameters[at].name.as_ptr().cast();
        specs[at].opt = at as u8;
        specs[at].type_ = match parameters[at].kind {
            Kind::Flag(_) | Kind::RefusedFlag => None,
            Kind::U32(_) => Some(b::fs_param_is_u32),
            Kind::U64(_) => Some(b::fs_param_is_u64),
            Kind::Text(_) | Kind::Size(_) | Kind::RefusedText => Some(b::fs_param_is_string),
        };
        at = at.wrapping_add(1);
    }
    specs
}

/// Takes one option over. `ENOPARAM` for one that is not the file system's: the VFS says so.
///
/// # Safety
///
/// `param` is what the VFS passed.
pub(super) unsafe fn parse<O: Options>(
    options: &mut O,
    log: &MountLog<'_>,
    param: *mut b::fs_parameter,
) -> Result {
    let mut c_log = log.log;
    let mut result = b::fs_parse_result::default();
    let specs: &'static [b::fs_parameter_spec; MAX] = &Table::<O>::SPECS;
    // SAFETY: The array ends by an empty element; the others are this task's.
    let found = unsafe { b::__fs_parse(&mut c_log, specs.as_ptr(), param, &mut result) };
    to_result(found)?;
    let parameter = usize::try_from(found)
        .ok()
        .and_then(|at| O::PARAMETERS.get(at))
        .ok_or(UNKNOWN)?;
    // SAFETY: `__fs_parse` took the parameter: it is a flag or a string, as its type says.
    let (name, value, bytes) = unsafe {
        let string = (*param).__bindgen_anon_1.string;
        let (value, bytes) = match (*param).type_() {
            b::fs_value_type_fs_value_is_string => {
                (Some(text(string)), b::memparse(string, null_mut()))
            }
            _ => (None, 0),
        };
        (text((*param).key), value, bytes)
    };
    let given = Given { name, value, log };
    // SAFETY: `__fs_parse` wrote the number where the kind says so; all bits are one.
    let (u32, u64) = unsafe {
        let number = &result.__bindgen_anon_1;
        (*number.uint_32.as_ref(), *number.uint_64.as_ref())
    };
    match parameter.kind {
        Kind::Flag(take) => take(options),
        Kind::U32(take) => take(options, u32, &given)?,
        Kind::U64(take) => take(options, u64, &given)?,
        Kind::Size(take) => take(options, Bytes::new(bytes)),
        Kind::Text(take) => take(options, value.ok_or(NO_TEXT)?, &given)?,
        Kind::RefusedFlag | Kind::RefusedText => return Err(given.refuse()),
    }
    Ok(())
}

/// A string of C without its zero byte.
///
/// # Safety
///
/// It ends by a zero byte and is not changed for `'a`.
#[inline(never)]
unsafe fn text<'a>(at: *const c_char) -> &'a [u8] {
    // SAFETY: By the function's contract.
    unsafe { CStr::from_char_ptr(at) }.to_bytes()
}

/// The text for a message.
fn utf8(text: &[u8]) -> &str {
    core::str::from_utf8(text).unwrap_or("?")
}
