// SPDX-License-Identifier: GPL-2.0
impl From<Flaw> for Error {
    fn from(flaw: Flaw) -> Error {
        flaw.into_error()
    }
}
