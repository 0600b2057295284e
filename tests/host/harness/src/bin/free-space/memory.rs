// SPDX-License-Identifier: GPL-2.0
//! How much memory this process has, and how long it was busy.

/// KiB that are in memory.
pub(crate) fn in_use() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .expect("a size")
}

/// Nanoseconds for which a processor did this task's work: devices are in memory, and others may use the machine.
pub(crate) fn busy() -> u128 {
    let status = std::fs::read_to_string("/proc/self/schedstat").expect("procfs");
    let number = status.split_whitespace().next();
    number
        .and_then(|number| number.parse().ok())
        .expect("a time")
}
