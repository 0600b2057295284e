/// Reads.
///
/// # Safety
///
/// `at` is valid for reads.
#[inline]
pub(in crate::linux) unsafe fn read(at: *const u8) -> u8 {
    unsafe { *at }
}

struct Table {
    f: unsafe fn(u8),
}

unsafe extern "C" fn called_by_c() {}
