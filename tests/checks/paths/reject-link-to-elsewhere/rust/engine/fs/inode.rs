//! See `Documentation/map.md`
const NAME: &str = "rust/engine/gone.rs";
fn run_once() -> Clean {}
