// SPDX-License-Identifier: GPL-2.0
//! Tests of the format's own promises.
//!
//! | file      | what it shows                                   |
//! |-----------|-------------------------------------------------|
//! | `corrupt` | no error of broken bytes is without its line     |

mod corrupt;
