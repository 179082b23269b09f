//! decode.c in Rust: the standard library alone. wasm2c and a C compiler have made a shared library of the module and of host.c.
//!
//!     $ rustc --edition 2021 -O decode.rs -L . -l core -C link-arg=-Wl,-rpath,$PWD
//!     $ echo darwin-arm64 10000000ffff00000100000007000000 | ./decode

use std::ffi::{c_char, CString};
use std::io;

/// `struct ua_abi` of core.h.
#[repr(C)]
struct Abi {
    name: *const c_char,
    max_fds_per_message: i32,
    layout: [i32; 9],
    numbers: [i32; 8],
    credentials: [[i32; 6]; 3],
}

extern "C" {
    fn ua_start() -> *mut u8;
    fn ua_use(name: *const c_char) -> *const Abi;
    fn ua_len(n: i32) -> i32;
    fn ua_open(length: i32, clamp: i32);
    fn ua_next() -> i32;
    fn ua_readRights(from: u32, data: u32, count: u32) -> u32;
    fn ua_verdict(length: i32, flags: i32, max_fds: i32, exactly: i32, allow_truncated: i32) -> i32;
}

// Addresses and registers of core.h.
const REGISTERS: usize = 0;
const FDS: usize = 0x10000;
const CONTROL: usize = 0x20000;
const CONTROL_BYTES: usize = 0x10000;
const OFFSET: usize = 0;
const LEVEL: usize = 1;
const TYPE: usize = 2;
const DATA: usize = 3;
const DATA_LENGTH: usize = 4;
const FAULT_OFFSET: usize = 6;
const FAULT: usize = 7;
const COUNT: usize = 8;
const KEEP: usize = 9;
const FAULTS: [&str; 4] = ["", "header-truncated", "length-too-small", "length-overruns"];

/// The memory of the module, which never moves and never grows.
struct Core(*mut u8);

impl Core {
    /// Integers of the module are little-endian, whatever the host.
    fn integer(&self, at: usize) -> i32 {
        // SAFETY: the registers and the table lie in the memory, and nothing writes to it meanwhile.
        i32::from_le(unsafe { self.0.add(at).cast::<i32>().read_unaligned() })
    }

    fn register(&self, position: usize) -> i32 {
        self.integer(REGISTERS + 4 * position)
    }

    /// Entries of the descriptor table, as text.
    fn fds(&self, from: i32, to: i32, none: &str) -> String {
        let fds: Vec<_> = (from..to).map(|i| self.integer(FDS + 4 * i as usize).to_string()).collect();
        if fds.is_empty() { none.to_owned() } else { fds.join(" ") }
    }

    fn decode(&mut self, name: &str, control: &[u8]) {
        let terminated = CString::new(name).expect("a name without NUL");
        // SAFETY: ua_use reads the name alone; the rows are constants of the library.
        let abi = unsafe { ua_use(terminated.as_ptr()).as_ref() }.unwrap_or_else(|| panic!("unknown ABI {name}"));
        let control = &control[..control.len().min(CONTROL_BYTES)];
        let length = control.len() as i32;
        // SAFETY: the control area has CONTROL_BYTES. No call of the module traps, or touches anything but its memory.
        unsafe {
            self.0.add(CONTROL).copy_from_nonoverlapping(control.as_ptr(), control.len());
            ua_open(length, 0);
        }
        println!("{name}, {length} bytes");
        while unsafe { ua_next() } != 0 {
            let [offset, level, kind, data, bytes] = [OFFSET, LEVEL, TYPE, DATA, DATA_LENGTH].map(|i| self.register(i));
            let len = unsafe { ua_len(bytes) };
            println!("@{offset} cmsg_len {len}, cmsg_level {level}, cmsg_type {kind}, {bytes} bytes");
            if (level, kind) == (abi.numbers[0], abi.numbers[1]) {
                unsafe { ua_readRights(0, data as u32, bytes as u32 / 4) };
                println!("  rights: {}", self.fds(0, bytes / 4, "none"));
            }
        }
        if self.register(FAULT) != 0 {
            println!("@{} {}", self.register(FAULT_OFFSET), FAULTS[self.register(FAULT) as usize]);
        }
        // What a receiver does: it asks the verdict, keeps the first descriptors, and closes the others.
        let outcome = unsafe { ua_verdict(length, 0, 2, -1, 0) };
        let [keep, count] = [KEEP, COUNT].map(|i| self.register(i));
        println!("verdict {outcome}: keep {}, close {}", self.fds(0, keep, "nothing"), self.fds(keep, count, "nothing"));
    }
}

fn main() -> io::Result<()> {
    // SAFETY: once, before anything else.
    let mut core = Core(unsafe { ua_start() });
    for line in io::stdin().lines() {
        let line = line?;
        let (name, digits) = line.split_once(' ').expect("the name of an ABI, a space, and bytes in hex");
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two hex digits for each byte");
        core.decode(name, &(0..digits.len() / 2).map(|i| byte(2 * i)).collect::<Vec<_>>());
    }
    Ok(())
}
