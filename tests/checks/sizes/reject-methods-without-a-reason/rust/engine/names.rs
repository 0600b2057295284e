// SPDX-License-Identifier: GPL-2.0
use super::inode::Inode;
impl<T: Fn(u8) -> u8> Inode<T> {
    fn call8(&self) {}
    fn call9(&self) {}
    fn call10(&self) {}
    fn call11(&self) {}
    fn call12(&self) {}
    fn call13(&self) {}
}
