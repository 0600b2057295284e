// SPDX-License-Identifier: GPL-2.0
//! What the engine runs on in tests.

pub mod random;
