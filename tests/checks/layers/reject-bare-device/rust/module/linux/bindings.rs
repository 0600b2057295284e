pub(crate) use kernel::bindings::*;
