#![no_std]

/// The sum of the first two, where there are any.
#[no_mangle]
pub extern "Rust" fn sum(bytes: &[u32]) -> Option<u32> {
    bytes.first()?.checked_add(*bytes.get(1)?)
}

#[no_mangle]
pub extern "Rust" fn next(n: u32) -> u32 {
    n + 1
}
