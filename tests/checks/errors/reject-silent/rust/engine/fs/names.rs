// SPDX-License-Identifier: GPL-2.0
fn first(bytes: &[u8]) -> Result<u8> {
    bytes.first().copied().ok_or(EUCLEAN)
}
