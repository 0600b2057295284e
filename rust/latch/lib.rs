// SPDX-License-Identifier: GPL-2.0

//! Sleeping locks for the engine, over the kernel's own.
//!
//! | module      | what it has                                                 |
//! |-------------|-------------------------------------------------------------|
//! | `mutex`     | [`Mutex`], [`Condvar`]                                      |
//! | `rwlock`    | [`RwLock`]                                                  |
//! | `latched`   | [`Latched`], whose guards own a reference to it, a [`LatchedRef`] |
//! | `semaphore` | the kernel's reader-writer semaphore, under both            |
//! | `class`     | what lockdep is told of a lock                              |
//! | `rank`      | the order of all locks, the one list of it                  |
//! | `nesting`   | which blocks of trees a task may hold together              |
//! | `place`     | what has a place in that order and is no lock               |
//! | `rounds`    | [`Rounds`]: work that one task does for all who wait for it |
//! | `nofs`      | allocations that must not enter a file system               |
//! | `killed`    | whether the task that waits is to end                       |
//! | `bug`       | [`Bug`]: a promise of this code that does not hold          |
//! | `log`       | lines that do not flood the log                             |
//! | `listening` | [`Listening`]: what a task has logged itself                |
//! | `prelude`   | what every file of the other crates has in scope            |
//!
//! The kernel's locks must stay where they were initialised. Here each is boxed, so that a struct which
//! owns one needs no pinning; and the guards of a [`Latched`] own a reference to it, so that a cursor can
//! keep several. All locks sleep: none is taken in interrupt context.
//!
//! | type                             | over                                             |
//! |----------------------------------|--------------------------------------------------|
//! | [`Mutex`], [`Condvar`]           | `kernel::sync::{Mutex, CondVar}`                 |
//! | [`RwLock`], [`Latched`]          | `struct rw_semaphore` (`include/linux/rwsem.h`)  |
//! | [`Rounds`]                       | a [`Mutex`]                                      |
//! | [`Place`]                        | nothing: the host checks the order               |
//! | [`NofsScope`]                    | `memalloc_nofs_save` (`include/linux/sched/mm.h`) |
//!
//! Since all others stand on this crate, it has their [`prelude`] too.

mod bug;
mod class;
mod killed;
mod latched;
mod listening;
mod log;
mod mutex;
mod nesting;
mod nofs;
mod place;
pub mod prelude;
mod rank;
mod rounds;
mod rwlock;
mod semaphore;

pub use bug::Bug;
pub use killed::is_killed;
pub use latched::{Latched, LatchedRef, ReadGuard, WriteGuard};
pub use listening::Listening;
pub use mutex::{Condvar, Mutex, MutexGuard};
pub use nesting::{Nesting, Side, TreeKind};
pub use nofs::NofsScope;
pub use place::Place;
pub use rank::Rank;
pub use rounds::Rounds;
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};

#[doc(hidden)]
pub use kernel;
#[doc(hidden)]
pub use log::{log_debug, log_error, may_log_warning};

#[doc(hidden)]
const __LOG_PREFIX: &[u8] = b"rbtrfs\0";
