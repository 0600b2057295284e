// SPDX-License-Identifier: GPL-2.0
//! Each rule of the gate, by a leaf or node that breaks it and nothing else.

mod block;
mod extents;
mod files;
mod fixture;
mod space;
