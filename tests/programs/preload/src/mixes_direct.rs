// SPDX-License-Identifier: GPL-2.0

//! Loaded into a program by LD_PRELOAD: of its pread(2) and pwrite(2) calls every other one does
//! the whole blocks in its middle by O_DIRECT, through a second descriptor of the same file.

use libc::{c_int, c_void, off64_t, size_t, ssize_t};
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicU64, Ordering};

const BLOCK: usize = 4096;

static CALLS: AtomicU64 = AtomicU64::new(0);
static DIRECT: AtomicU64 = AtomicU64::new(0);

/// What the program's end tells: how often there was direct IO.
#[used]
#[link_section = ".fini_array"]
static AT_THE_END: extern "C" fn() = tell;

extern "C" fn tell() {
    let text = format!("{} direct calls\n", DIRECT.load(Ordering::Relaxed));
    // SAFETY: memory of ours.
    unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
}

#[derive(Clone, Copy)]
enum Way {
    Read,
    Write,
}

/// The caller's memory, piece by piece.
#[derive(Clone, Copy)]
struct Request {
    way: Way,
    memory: *mut u8,
    len: usize,
    offset: usize,
}

impl Request {
    /// What is left of it behind `len` bytes.
    fn behind(self, len: usize) -> Self {
        Self {
            memory: self.memory.wrapping_add(len),
            len: self.len - len,
            offset: self.offset + len,
            ..self
        }
    }

    fn first(self, len: usize) -> Self {
        Self { len, ..self }
    }

    fn call(self, fd: c_int) -> ssize_t {
        let number = match self.way {
            Way::Read => libc::SYS_pread64,
            Way::Write => libc::SYS_pwrite64,
        };
        // SAFETY: what the program itself asked for, or memory of ours.
        unsafe { libc::syscall(number, fd, self.memory, self.len, self.offset) as ssize_t }
    }

    /// Whole blocks by O_DIRECT, from and to memory that is aligned for it.
    fn call_direct(self, file: &File) -> ssize_t {
        let mut room = vec![0u8; self.len + BLOCK];
        let aligned = room
            .as_mut_ptr()
            .wrapping_add(room.as_ptr().align_offset(BLOCK));
        let copy = |from: *const u8, to: *mut u8, len| {
            // SAFETY: the program's memory, which it lent us for the call, and ours.
            unsafe { std::ptr::copy_nonoverlapping(from, to, len) }
        };
        if matches!(self.way, Way::Write) {
            copy(self.memory, aligned, self.len);
        }
        let request = Self {
            memory: aligned,
            ..self
        };
        let done = request.call(file.as_raw_fd());
        if matches!(self.way, Way::Read) && done > 0 {
            copy(aligned, self.memory, done as usize);
        }
        done
    }

    /// Head and tail through the page cache, whole blocks past it; as read and write are, the
    /// bytes done until a piece falls short, or -1 if that is the first one.
    fn mixed(self, fd: c_int, file: &File) -> ssize_t {
        let head = (self.offset.next_multiple_of(BLOCK) - self.offset).min(self.len);
        let middle = (self.len - head) / BLOCK * BLOCK;
        let mut done = 0;
        for (len, direct) in [
            (head, false),
            (middle, true),
            (self.len - head - middle, false),
        ] {
            if len == 0 {
                continue;
            }
            let piece = self.behind(done).first(len);
            let now = if direct {
                DIRECT.fetch_add(1, Ordering::Relaxed);
                piece.call_direct(file)
            } else {
                piece.call(fd)
            };
            match usize::try_from(now) {
                Ok(now) => done += now,
                Err(_) if done == 0 => return -1,
                Err(_) => break,
            }
            if now as usize != len {
                break;
            }
        }
        done as ssize_t
    }
}

/// Opens the file of a descriptor once more, for direct IO; a file that has none ends the program.
fn direct(fd: c_int) -> File {
    let mut open = OpenOptions::new();
    open.read(true).write(true).custom_flags(libc::O_DIRECT);
    open.open(format!("/proc/self/fd/{fd}"))
        .unwrap_or_else(|error| {
            eprintln!("O_DIRECT: {error}");
            std::process::abort()
        })
}

fn serve(fd: c_int, request: Request) -> ssize_t {
    if request.len < BLOCK || CALLS.fetch_add(1, Ordering::Relaxed) % 2 == 0 {
        return request.call(fd);
    }
    request.mixed(fd, &direct(fd))
}

/// pread(2) in place of the C library's.
#[no_mangle]
pub extern "C" fn pread64(fd: c_int, memory: *mut c_void, len: size_t, at: off64_t) -> ssize_t {
    let (memory, offset) = (memory.cast(), at as usize);
    serve(
        fd,
        Request {
            way: Way::Read,
            memory,
            len,
            offset,
        },
    )
}

/// pwrite(2) in place of the C library's.
#[no_mangle]
pub extern "C" fn pwrite64(fd: c_int, memory: *const c_void, len: size_t, at: off64_t) -> ssize_t {
    let (memory, offset) = (memory.cast_mut().cast(), at as usize);
    serve(
        fd,
        Request {
            way: Way::Write,
            memory,
            len,
            offset,
        },
    )
}

/// [`pread64`] by its other name.
#[no_mangle]
pub extern "C" fn pread(fd: c_int, memory: *mut c_void, len: size_t, at: off64_t) -> ssize_t {
    pread64(fd, memory, len, at)
}

/// [`pwrite64`] by its other name.
#[no_mangle]
pub extern "C" fn pwrite(fd: c_int, memory: *const c_void, len: size_t, at: off64_t) -> ssize_t {
    pwrite64(fd, memory, len, at)
}
