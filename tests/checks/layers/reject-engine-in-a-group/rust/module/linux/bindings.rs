pub(crate) use kernel::bindings::*;
use {engine as e, latch};
