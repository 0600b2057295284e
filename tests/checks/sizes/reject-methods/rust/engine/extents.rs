// SPDX-License-Identifier: GPL-2.0
use super::inode::Inode;
impl<T: Fn(u8) -> u8> Inode<T> {
    fn call14(&self) {}
    fn call15(&self) {}
    fn call16(&self) {}
    fn call17(&self) {}
    fn call18(&self) {}
    fn call19(&self) {}
}
