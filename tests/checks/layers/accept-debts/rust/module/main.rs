mod linux;
mod vfs;
