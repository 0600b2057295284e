// SPDX-License-Identifier: GPL-2.0

//! The kernel's objects as safe types: the only folder that may say `unsafe`.

pub(crate) mod bindings;
