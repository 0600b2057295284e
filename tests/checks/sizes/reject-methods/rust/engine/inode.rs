// SPDX-License-Identifier: GPL-2.0
pub struct Inode<T>(T);
impl<T: Fn(u8) -> u8> Inode<T> {
    fn call1(&self) {}
    fn call2(&self) {}
    fn call3(&self) {}
    fn call4(&self) {}
    fn call5(&self) {}
    fn call6(&self) {}
    fn call7(&self) {}
}
