// SPDX-License-Identifier: GPL-2.0
//! The log (kernel: `rust/kernel/print.rs`).
//!
//! A line goes to the [`Capture`]s of its thread, and to stderr when `RBTRFS_LOG` is set in the environment.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, OnceLock};

thread_local! {
    static CAPTURES: RefCell<Vec<Arc<Mutex<Vec<String>>>>> = const { RefCell::new(Vec::new()) };
}

/// Collects what this thread logs, until dropped. Lines start with the level: `err: ...`.
pub struct Capture {
    lines: Arc<Mutex<Vec<String>>>,
    // Belongs to one thread.
    _thread: core::marker::PhantomData<*const ()>,
}

/// Lets another thread log into a [`Capture`].
#[derive(Clone)]
pub struct CaptureHandle(Arc<Mutex<Vec<String>>>);

impl Capture {
    /// Starts collecting.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        CaptureHandle(Arc::default()).attach()
    }

    /// For other threads.
    pub fn handle(&self) -> CaptureHandle {
        CaptureHandle(self.lines.clone())
    }

    /// What was logged so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Whether a line contains `text`.
    pub fn contains(&self, text: &str) -> bool {
        self.lines
            .lock()
            .unwrap()
            .iter()
            .any(|line| line.contains(text))
    }
}

impl CaptureHandle {
    /// Collects what the calling thread logs, too.
    pub fn attach(self) -> Capture {
        CAPTURES.with_borrow_mut(|captures| captures.push(self.0.clone()));
        Capture {
            lines: self.0,
            _thread: core::marker::PhantomData,
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = CAPTURES.try_with(|captures| {
            let mut captures = captures.borrow_mut();
            if let Some(at) = captures
                .iter()
                .rposition(|lines| Arc::ptr_eq(lines, &self.lines))
            {
                captures.remove(at);
            }
        });
    }
}

/// Writes a line; called by the macros.
#[doc(hidden)]
pub fn emit(level: &str, text: core::fmt::Arguments<'_>) {
    static LOUD: OnceLock<bool> = OnceLock::new();
    let loud = *LOUD.get_or_init(|| std::env::var_os("RBTRFS_LOG").is_some());
    CAPTURES.with_borrow(|captures| {
        if !loud && captures.is_empty() {
            return;
        }
        let line = format!("{level}: {}", text.to_string().trim_end());
        if loud {
            eprintln!("{line}");
        }
        for lines in captures {
            lines.lock().unwrap().push(line.clone());
        }
    });
}

/// Logs a line at this level.
#[macro_export]
macro_rules! pr_emerg {
    ($($arg:tt)*) => { $crate::print::emit("emerg", $crate::prelude::fmt!($($arg)*)) };
}

/// Logs a line at this level.
#[macro_export]
macro_rules! pr_alert {
    ($($arg:tt)*) => { $crate::print::emit("alert", $crate::prelude::fmt!($($arg)*)) };
}

/// Logs a line at this level.
#[macro_export]
macro_rules! pr_crit {
    ($($arg:tt)*) => { $crate::print::emit("crit", $crate::prelude::fmt!($($arg)*)) };
}

/// Logs a line at this level.
#[macro_export]
macro_rules! pr_err {
    ($($arg:tt)*) => { $crate::print::emit("err", $crate::prelude::fmt!($($arg)*)) };
}

/// Logs a line at this level.
#[macro_export]
macro_rules! pr_warn {
    ($($arg:tt)*) => { $crate::print::emit("warn", $crate::prelude::fmt!($($arg)*)) };
}

/// Logs a line at this level.
#[macro_export]
macro_rules! pr_notice {
    ($($arg:tt)*) => { $crate::print::emit("notice", $crate::prelude::fmt!($($arg)*)) };
}

/// Logs a line at this level.
#[macro_export]
macro_rules! pr_info {
    ($($arg:tt)*) => { $crate::print::emit("info", $crate::prelude::fmt!($($arg)*)) };
}

/// Logs a line at this level.
#[macro_export]
macro_rules! pr_debug {
    ($($arg:tt)*) => { $crate::print::emit("debug", $crate::prelude::fmt!($($arg)*)) };
}
