// The round trip in Rust: sendmsg and recvmsg of nix, descriptors owned by OwnedFd.
// Argument: descriptors per message. Reads "ROUNDS\n", prints nanoseconds per round.

use nix::cmsg_space;
use nix::sys::socket::{
    recvmsg, sendmsg, socketpair, AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType,
};
use std::fs::File;
use std::io::{stdin, stdout, BufRead, IoSlice, IoSliceMut, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Instant;

fn main() {
    let count: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let (left, right) = socketpair(AddressFamily::Unix, SockType::Stream, None, flags).unwrap();
    let file = File::open("/dev/null").unwrap();
    let fds: Vec<RawFd> = vec![file.as_raw_fd(); count];
    let data = [0u8; 64];
    let mut buffer = [0u8; 4096];
    let mut control = cmsg_space!([RawFd; 253]);
    for line in stdin().lock().lines() {
        let rounds: u32 = line.unwrap().trim().parse().unwrap();
        let start = Instant::now();
        for _ in 0..rounds {
            let rights = [ControlMessage::ScmRights(&fds)];
            let messages = if count == 0 { &rights[..0] } else { &rights[..] };
            let sent = sendmsg::<()>(left, &[IoSlice::new(&data)], messages, MsgFlags::MSG_NOSIGNAL, None).unwrap();
            assert_eq!(sent, data.len());
            let mut into = [IoSliceMut::new(&mut buffer)];
            let received = recvmsg::<()>(right, &mut into, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC).unwrap();
            assert_eq!(received.bytes, data.len());
            assert!(!received.flags.contains(MsgFlags::MSG_CTRUNC));
            let mut came = 0;
            for message in received.cmsgs() {
                if let ControlMessageOwned::ScmRights(numbers) = message {
                    for number in numbers {
                        drop(unsafe { OwnedFd::from_raw_fd(number) });
                        came += 1;
                    }
                }
            }
            assert_eq!(came, count);
        }
        println!("{:.3}", start.elapsed().as_nanos() as f64 / f64::from(rounds));
        stdout().flush().unwrap();
    }
}
