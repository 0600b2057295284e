// SPDX-License-Identifier: GPL-2.0
//! `EUCLEAN` in a comment.

use latch::prelude::{Error, EUCLEAN};

fn name(error: Error) -> bool {
    let text = "EUCLEAN";
    match error {
        EUCLEAN => true,
        other => other == EUCLEAN && text.len() > 1,
    }
}

/// Takes what a user says. `EINVAL` for nothing.
pub fn take(said: &[u8]) -> Result<u8> {
    said.first().copied().ok_or(EINVAL)
}

/// Reads what a device has.
pub fn ask(device: &dyn Device) -> Result<u8> {
    device.first().ok_or_else(|| {
        pr_err!("device has nothing\n");
        EIO
    })
}
