// A server whose connections come over the socket 3, each with the bytes that were read from it. See ../other-languages.ts.
// Rust's standard library has no SCM_RIGHTS yet (rust-lang/rust#76915), so this declares libc's recvmsg, as 64-bit Linux has it.
use std::ffi::c_void;
use std::io::{Read, Result, Write};
use std::net::TcpStream;
use std::os::fd::{FromRawFd, RawFd};
use std::ptr::null_mut;

#[repr(C)]
struct Iovec { base: *mut c_void, len: usize }

#[repr(C)]
struct Msghdr {
    name: *mut c_void, namelen: u32,
    iov: *mut Iovec, iovlen: usize,
    control: *mut c_void, controllen: usize,
    flags: i32,
}

/// A control message with one descriptor, and its padding: CMSG_SPACE(4) bytes, in which CMSG_LEN(4) is 20.
#[repr(C)]
struct Rights { len: usize, level: i32, kind: i32, fd: RawFd, padding: u32 }

const SOL_SOCKET: i32 = 1;
const SCM_RIGHTS: i32 = 1;
const MSG_CMSG_CLOEXEC: i32 = 0x4000_0000;
/// MSG_CTRUNC and MSG_TRUNC.
const TRUNCATED: i32 = 0x8 | 0x20;

extern "C" { fn recvmsg(fd: RawFd, message: *mut Msghdr, flags: i32) -> isize; }

/// The bytes that were read, and the connection; None at the end.
fn receive(front: RawFd) -> Option<(Vec<u8>, TcpStream)> {
    let mut head = vec![0u8; 65536];
    let mut rights = Rights { len: 0, level: 0, kind: 0, fd: -1, padding: 0 };
    let mut iov = Iovec { base: head.as_mut_ptr().cast(), len: head.len() };
    let mut message = Msghdr {
        name: null_mut(), namelen: 0, iov: &mut iov, iovlen: 1,
        control: (&mut rights as *mut Rights).cast(), controllen: std::mem::size_of::<Rights>(), flags: 0,
    };
    // SAFETY: the pointers are those of live variables, with their lengths.
    let received = unsafe { recvmsg(front, &mut message, MSG_CMSG_CLOEXEC) };
    if received <= 0 { return None; }
    assert!(message.flags & TRUNCATED == 0 && (rights.len, rights.level, rights.kind) == (20, SOL_SOCKET, SCM_RIGHTS));
    head.truncate(received as usize);
    // SAFETY: the kernel has just made the descriptor, and nobody else owns it.
    Some((head, unsafe { TcpStream::from_raw_fd(rights.fd) }))
}

fn serve(mut head: Vec<u8>, mut connection: TcpStream) -> Result<()> {
    // Node made the file non-blocking, for every process that has it.
    connection.set_nonblocking(false)?;
    let mut more = [0u8; 4096];
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let count = connection.read(&mut more)?;
        if count == 0 { return Ok(()); }
        head.extend_from_slice(&more[..count]);
    }
    let body = format!("Rust: {}", String::from_utf8_lossy(&head).split(' ').nth(1).unwrap_or(""));
    write!(connection, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn main() {
    while let Some((head, connection)) = receive(3) {
        std::thread::spawn(move || serve(head, connection));
    }
}
