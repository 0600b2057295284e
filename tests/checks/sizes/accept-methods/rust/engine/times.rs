// SPDX-License-Identifier: GPL-2.0
use super::inode::Inode;
impl<T: Fn(u8) -> u8> Inode<T> {
    fn call20(&self) {}
    fn call21(&self) {}
    fn call22(&self) {}
    fn call23(&self) {}
    fn call24(&self) {}
    fn call25(&self) {}
}
