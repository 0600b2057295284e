#![no_std]

/// The sum of the first two, where there are any.
#[no_mangle]
pub extern "Rust" fn sum(bytes: &[u32]) -> Option<u32> {
    Some(bytes[0])
}
