//! Knows nothing of the crate engine: a comment that says engine::fs is no use of it.
pub(crate) mod bindings;
