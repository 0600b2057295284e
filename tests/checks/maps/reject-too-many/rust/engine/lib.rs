//! | layer | folder | what it is |
//! |-------|--------|------------|
//! | L1    | `disk` | the format |
//! | L2    | `txn`  | gone       |
//!
//! | type    | what it is |
//! |---------|------------|
//! | [`Key`] | a key      |

mod disk;
#[cfg(test)]
mod tests;
