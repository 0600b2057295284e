// SPDX-License-Identifier: GPL-2.0
//! The crate `latch` for the host: the same interface as `rust/latch`, over `parking_lot`, where a task that takes
//! locks against the order of their ranks panics. With the feature `shuttle` a scheduler decides at each lock who goes on.
//!
//! ```text
//! Rank                                                      the module's own: the list of all locks
//! Mutex::new(value, rank) -> Result<Mutex<T>>              lock() -> MutexGuard<'_, T>, try_lock() -> Option<_>
//! RwLock::new(value, rank) -> Result<RwLock<T>>            read() -> RwLockReadGuard<'_, T>, try_read() -> Option<_>,
//!                                                           write() -> RwLockWriteGuard<'_, T>
//! Condvar::new(rank) -> Result<Condvar>                    wait(&mut MutexGuard<'_, T>), notify_one(), notify_all()
//! Latched::shared(meta, value) -> Result<LatchedRef<M, T>>  meta() -> &M, is_same(&LatchedRef, &LatchedRef)
//!     Latched::read(&LatchedRef, Nesting) -> ReadGuard<M, T>          owns a reference; guard.latched() -> &LatchedRef
//!     Latched::write(&LatchedRef, Nesting)  -> WriteGuard<M, T>      the same
//!     Latched::try_read(&LatchedRef) -> Option<ReadGuard<M, T>>
//!     Latched::try_write(&LatchedRef) -> Option<WriteGuard<M, T>>
//! is_killed() -> bool                                   kill(bool): for tests
//! NofsScope::enter() -> NofsScope                           until dropped
//! Rounds::new(rank) -> Result<Rounds>                      share(work): the module's own
//! Place::take(rank) -> Place                               until dropped
//! prelude                                                   that of the kernel crate, which lacks nothing here
//! ```
//!
//! `Result` is `kernel::error::Result`: a lock is an allocation and may fail with `ENOMEM`. `Arc` is
//! `kernel::sync::Arc`. All guards and the scope stay on their thread (`!Send`). Locks are not recursive, not even for
//! reading.

#[path = "../../../../rust/latch/bug.rs"]
mod bug;
mod condvar;
mod killed;
mod latched;
pub mod lockdep;
mod mutex;
#[path = "../../../../rust/latch/nesting.rs"]
mod nesting;
mod nofs;
mod place;
#[path = "../../../../rust/latch/rank.rs"]
mod rank;
mod raw;
#[path = "../../../../rust/latch/rounds.rs"]
mod rounds;
mod rwlock;

pub use bug::Bug;
pub use condvar::Condvar;
pub use killed::{is_killed, kill};
pub use latched::{Latched, LatchedRef, ReadGuard, WriteGuard};
pub use mutex::{Mutex, MutexGuard};
pub use nesting::{Nesting, Side, TreeKind};
pub use nofs::NofsScope;
pub use place::Place;
pub use rank::Rank;
pub use rounds::Rounds;
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use kernel::prelude;
