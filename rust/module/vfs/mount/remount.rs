// SPDX-License-Identifier: GPL-2.0

//! Between read-only and read-write, and what a remount says besides.

use super::options::settings::{check_rescue, facts};
use super::options::space_cache::{self, Belief};
use super::options::SpaceCacheWord;
use super::{Mount, MountOptions};
use crate::linux::mount::{Asked, MountAccess};
use crate::linux::options::MountLog;
use crate::linux::SuperBlock;
use crate::vfs::committer::Work;
use core::sync::atomic::Ordering;
use engine::txn::{Keep, Transactions};
use latch::prelude::*;
use latch::Listening;

impl Mount {
    /// Takes over options and access of a remount.
    pub(super) fn remount(&self, sb: &SuperBlock, asked: &Asked<'_, MountOptions>) -> Result {
        check_rescue(asked)?;
        let before = MountAccess::of_super(sb);
        let word = self.settings.lock().space_cache(asked.options.space_cache);
        let word = space_cache::of_remount(self.volume(), word, asked, before)?;
        // What is not listened to changes nothing.
        let is_heard = asked.options.space_cache.is_some() && word == asked.options.space_cache;
        let word = instead(self.transactions(), word, &asked.log);
        let said = word.filter(|_| is_heard);
        match (before, asked.access) {
            (MountAccess::ReadOnly, MountAccess::ReadWrite) => {
                self.go_on_writing(word, Belief::of(asked.options), &asked.log)?;
            }
            (MountAccess::ReadWrite, MountAccess::ReadOnly) => self.end_writing()?,
            _ => {}
        }
        if asked.access == MountAccess::ReadWrite {
            let kept = keep_as_asked(self.transactions(), said);
            kept.inspect_err(|_| {
                if before == MountAccess::ReadOnly {
                    self.volume().pause_writing();
                }
            })?;
        }
        // Last, as it cannot fail: a remount that does leaves the options as they were.
        self.set_options(asked.options, word);
        Ok(())
    }

    /// A read-only super block is to become writable, by another mount of it.
    pub(super) fn become_writable(&self, log: &MountLog<'_>) -> Result {
        let word = self.settings.lock().space_cache(None);
        space_cache::check(self.volume(), word, Belief::Believed, log)?;
        self.go_on_writing(word, Belief::Believed, log)
    }

    fn go_on_writing(
        &self,
        word: Option<SpaceCacheWord>,
        belief: Belief,
        log: &MountLog<'_>,
    ) -> Result {
        if !self.volume().writes().is_possible() {
            log.error(fmt!(
                "the volume cannot be made writable without mounting it anew"
            ));
            return Err(EROFS);
        }
        // What the engine refuses it logs.
        let listening = Listening::begin();
        let doubted = match belief {
            Belief::Cleared => self
                .transactions()
                .doubt_free_space(space_cache::keep(word)),
            Belief::Believed => Ok(()),
        };
        let begun = doubted.and_then(|()| self.begin_writing(word));
        begun.inspect_err(|_| {
            if let Some(line) = listening.heard() {
                log.repeat(line);
            }
        })
    }

    /// Begins what goes on while files may change; `word` is what was said of how free space is kept.
    pub(super) fn begin_writing(&self, word: Option<SpaceCacheWord>) -> Result {
        self.volume().data().check_copies()?;
        self.transactions().keep_free_space_as_wanted()?;
        // Before the rest, as it can fail: then nothing has become writable.
        self.committer.start(Work {
            fs: self.fs.clone(),
            cache: self.cache.clone(),
            schedule: self.schedule.clone(),
            replaced: self.replaced.clone(),
        })?;
        self.committer.pause();
        let begun = self.transactions().begin_writing(space_cache::keep(word));
        self.committer.go_on();
        begun.inspect_err(|_| stop_if_failed(self))?;
        if word == Some(SpaceCacheWord::None) {
            let given_up = self.transactions().give_up_caches();
            // The super block stays as it is.
            given_up.inspect_err(|_| {
                self.volume().pause_writing();
                stop_if_failed(self);
            })?;
        }
        self.clean_all_orphans();
        stop_if_failed(self);
        match self.has_failed() {
            // The super block was made read-only, and who asked must not make it writable again.
            true => Err(EROFS),
            false => Ok(()),
        }
    }

    /// The committer stays: what files are still writing, where the remount is forced, becomes a transaction later. What it
    /// does by itself ends before the commit.
    fn end_writing(&self) -> Result {
        // First: what changed behind the commit would wait for the committer.
        self.volume().pause_writing();
        self.committer.pause();
        let committed = self.transactions().commit();
        self.committer.go_on();
        committed.inspect_err(|_| {
            // Where it was aborted, that stays so.
            let _ = self.transactions().begin_writing(Keep::AsFound);
        })
    }

    /// Takes over what a remount says.
    fn set_options(&self, options: &MountOptions, word: Option<SpaceCacheWord>) {
        let settings = {
            let mut settings = self.settings.lock();
            settings.change(options, facts(self.volume()));
            settings.say_space_cache(word);
            *settings
        };
        self.schedule
            .interval
            .store(settings.commit_interval, Ordering::Relaxed);
        self.fs.set_options(&settings.of_files());
        self.transactions().space().set_discard(settings.discard);
    }
}

/// What counts instead of a word for caches that this mount cannot take up, as it began without: none are kept, as C has it for that
/// word.
fn instead(
    transactions: &Transactions,
    word: Option<SpaceCacheWord>,
    log: &MountLog<'_>,
) -> Option<SpaceCacheWord> {
    match word {
        Some(SpaceCacheWord::Old) if !transactions.can_keep_caches() => {
            log.warn(fmt!(
                "a remount cannot take up space cache v1, falling back to no space cache"
            ));
            Some(SpaceCacheWord::None)
        }
        word => word,
    }
}

/// Where a remount says that no free space cache is wanted, there is none from then on.
fn keep_as_asked(transactions: &Transactions, said: Option<SpaceCacheWord>) -> Result {
    match said {
        Some(SpaceCacheWord::None) => transactions.give_up_caches(),
        Some(SpaceCacheWord::Old) => transactions.take_up_caches(),
        Some(SpaceCacheWord::Tree) | None => Ok(()),
    }
}

/// Stops the committer behind an abort: it has nothing more to do.
fn stop_if_failed(mount: &Mount) {
    if mount.has_failed() {
        mount.committer.stop();
    }
}
