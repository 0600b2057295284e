// SPDX-License-Identifier: GPL-2.0
use super::inode::Inode;
impl<T: Fn(u8) -> u8> Inode<T> {
    fn call26(&self) {}
    fn call27(&self) {}
    fn call28(&self) {}
    fn call29(&self) {}
    fn call30(&self) {}
    fn call31(&self) {}
}
