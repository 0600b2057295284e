//! See `Documentation/map.md`
const NAME: &str = "rust/engine/gone.rs";
// As in txn/gone.rs.
