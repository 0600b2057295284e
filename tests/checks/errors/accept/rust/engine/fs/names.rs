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
