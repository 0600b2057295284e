// SPDX-License-Identifier: GPL-2.0

//! Between read-only and read-write, and what a remount says besides.

use super::{Mount, MountOptions};
use crate::linux::mount::{Access, Asked};
use crate::linux::options::MountLog;
use crate::linux::SuperBlock;
use crate::vfs::committer::Work;
use crate::vfs::options::SpaceCacheWord;
use crate::vfs::settings::{check_clear_cache, check_rescue, check_space_cache, facts};
use core::sync::atomic::Ordering;
use latch::prelude::*;

impl Mount {
    /// Takes over options and access of a remount.
    pub(super) fn remount(&self, sb: &SuperBlock, asked: &Asked<'_, MountOptions>) -> Result {
        check_rescue(asked)?;
        check_space_cache(self.volume(), asked)?;
        if let (Access::ReadWrite, Some(SpaceCacheWord::Old)) =
            (asked.access, asked.options.space_cache)
        {
            // Before anything becomes writable.
            self.transactions().check_keeper()?;
        }
        match (asked.access, sb.is_read_only()) {
            (Access::ReadWrite, true) => {
                check_clear_cache(self.volume(), asked)?;
                self.become_writable(&asked.log)?;
            }
            (Access::ReadOnly, false) => self.end_writing()?,
            _ => {}
        }
        if asked.access == Access::ReadWrite {
            self.keep_as_asked(asked.options.space_cache)?;
        }
        // Last, as it cannot fail: a remount that does leaves the options as they were.
        self.set_options(asked.options);
        Ok(())
    }

    /// A read-only super block is to become writable.
    pub(super) fn become_writable(&self, log: &MountLog<'_>) -> Result {
        if !self.volume().writes().is_possible() {
            log.error(fmt!(
                "the volume cannot be made writable without mounting it anew"
            ));
            return Err(EROFS);
        }
        self.begin_writing()
    }

    /// Begins what goes on while files may change.
    pub(super) fn begin_writing(&self) -> Result {
        self.volume().data().check_copies()?;
        self.transactions().settle_free_space()?;
        // Before the rest, as it can fail: then nothing has become writable.
        self.committer.start(Work {
            fs: self.fs.clone(),
            cache: self.cache.clone(),
            schedule: self.schedule.clone(),
            replaced: self.replaced.clone(),
        })?;
        self.transactions().begin_writing()?;
        self.keep_as_asked(None)?;
        self.clean_all_orphans();
        if self.has_failed() {
            // The super block was made read-only, and who asked must not make it writable again.
            self.committer.stop();
            return Err(EROFS);
        }
        Ok(())
    }

    /// Where no free space cache is wanted, there is none from the first write on. `word` is what a remount says.
    fn keep_as_asked(&self, word: Option<SpaceCacheWord>) -> Result {
        let said = self.settings.lock().space_cache(word);
        match said {
            Some(SpaceCacheWord::None) => self.transactions().give_up_caches(),
            Some(SpaceCacheWord::Old) if word.is_some() => self.transactions().take_up_caches(),
            Some(SpaceCacheWord::Old | SpaceCacheWord::Tree) | None => Ok(()),
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
            let _ = self.transactions().begin_writing();
        })
    }

    /// Takes over what a remount says.
    fn set_options(&self, options: &MountOptions) {
        let settings = {
            let mut settings = self.settings.lock();
            settings.change(options, facts(self.volume()));
            *settings
        };
        self.schedule
            .interval
            .store(settings.commit_interval, Ordering::Relaxed);
        self.fs
            .set_file_options(settings.max_inline, settings.makes_checksums());
        self.transactions().space().set_discard(settings.discard);
    }
}
