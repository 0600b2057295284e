// SPDX-License-Identifier: GPL-2.0

//! What a mount did so far, and what its block groups hold now, in `/sys/kernel/debug/rbtrfs-DEVICE/counters`.

use crate::io::data::DataPath;
use crate::linux::debugfs::{Text, TextFile};
use crate::linux::SuperBlock;
use core::sync::atomic::{AtomicU64, Ordering};
use engine::fs::FileSystem;
use engine::space::ClassStatistics;
use kernel::fmt;
use kernel::str::CString;
use kernel::sync::Arc;
use latch::prelude::*;

/// The file; it goes when this is dropped, after the last reader.
pub(super) struct CounterFile {
    _file: TextFile<Source>,
}

struct Source {
    fs: Arc<FileSystem>,
    data: Arc<DataPath>,
}

impl CounterFile {
    /// Shows the counters of a mount.
    pub(super) fn new(sb: &SuperBlock, fs: Arc<FileSystem>, data: Arc<DataPath>) -> Result<Self> {
        let name = CString::try_from_fmt(fmt!("rbtrfs-{}", sb.name()))?;
        let source = Source { fs, data };
        let file = TextFile::new(&name, c"counters", source)?;
        Ok(Self { _file: file })
    }
}

impl Text for Source {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transactions = self.fs.transactions();
        let commits = transactions.counters();
        writeln!(f, "commits {}", commits.commits)?;
        writeln!(f, "commit_last_ns {}", commits.last_commit_ns)?;
        writeln!(f, "commit_critical_last_ns {}", commits.last_critical_ns)?;
        writeln!(
            f,
            "commit_critical_longest_ns {}",
            commits.longest_critical_ns
        )?;
        writeln!(f, "refs_run {}", commits.refs_run)?;
        writeln!(f, "refs_cancelled {}", commits.refs_cancelled)?;
        writeln!(f, "groups_emptied {}", commits.groups_emptied)?;
        let moved = self.fs.relocation().moved();
        writeln!(f, "data_groups_emptied {}", moved.groups)?;
        writeln!(f, "data_bytes_moved {}", moved.bytes.get())?;
        let forgotten = transactions.space().forgotten();
        writeln!(f, "free_space_pages_forgotten {forgotten}")?;
        let caches = transactions.space().caches_read();
        writeln!(f, "caches_believed {}", caches.believed)?;
        writeln!(f, "caches_doubted {}", caches.doubted)?;
        let order = transactions.space().write_order().statistics();
        writeln!(f, "order_holes {}", order.holes)?;
        writeln!(f, "order_skips {}", order.skips)?;
        writeln!(f, "order_again {}", order.again)?;
        writeln!(f, "order_drains {}", order.drains)?;
        writeln!(f, "order_activations {}", order.activations)?;
        writeln!(f, "order_finishes {}", order.finishes)?;
        writeln!(f, "order_forced {}", order.forced)?;
        let data = &self.data.tally;
        let shown: [(&str, &AtomicU64); 9] = [
            ("fixups_queued", &data.fixups.queued),
            ("fixups_mended", &data.fixups.mended),
            ("fixups_cancelled", &data.fixups.cancelled),
            ("fixups_failed", &data.fixups.failed),
            ("writes_copied", &data.copied),
            ("writes_put_off", data.fixups.put_offs().counter()),
            ("reads_repeated", &data.reread),
            ("writes_resent", &data.resent),
            ("writes_failed", &data.failed),
        ];
        for (name, count) in shown {
            writeln!(f, "{name} {}", count.load(Ordering::Relaxed))?;
        }
        let space = transactions.space().statistics();
        write_class(f, "data", &space.data)?;
        write_class(f, "metadata", &space.metadata)?;
        write_class(f, "system", &space.system)
    }
}

/// Writes the bytes of a class of block groups, a line for each kind, as C's `/sys/fs/btrfs/UUID/allocation` names them.
fn write_class(f: &mut fmt::Formatter<'_>, name: &str, class: &ClassStatistics) -> fmt::Result {
    let shown = [
        ("total_bytes", class.total),
        ("bytes_used", class.used),
        ("bytes_reserved", class.reserved),
        ("bytes_pinned", class.pinned),
        ("bytes_may_use", class.promised),
        ("bytes_readonly", class.read_only),
        ("bytes_zone_unusable", class.unusable),
    ];
    for (what, bytes) in shown {
        writeln!(f, "{name}_{what} {}", bytes.get())?;
    }
    Ok(())
}
