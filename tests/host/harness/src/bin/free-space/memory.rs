// SPDX-License-Identifier: GPL-2.0
//! How much memory this process has.

/// KiB that are in memory.
pub(crate) fn in_use() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .expect("a size")
}
