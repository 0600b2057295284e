//! | layer | folder | what it is |
//! |-------|--------|------------|
//! | L1    | `disk` | the format |
//!
//! | type    | what it is |
//! |---------|------------|
//! | [`Key`] | a key      |

mod disk;
#[cfg(test)]
mod tests;
