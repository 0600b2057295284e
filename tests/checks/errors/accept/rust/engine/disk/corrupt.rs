// SPDX-License-Identifier: GPL-2.0
impl Corrupt {
    pub fn report(self) -> Error {
        EUCLEAN
    }
}
