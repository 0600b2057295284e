//! Only for tests: no map has it.
