//! Short.
