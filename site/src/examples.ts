/** Control buffers to begin with: what tools print, of several systems. */

import type { AbiName } from "unix-ancillary/core";

export interface Example {
  readonly name: string;
  readonly abi: AbiName;
  readonly text: string;
}

export const EXAMPLES: readonly Example[] = [
  {
    name: "Linux: credentials and two descriptors",
    abi: "linux-x86_64-glibc",
    text: `00000000: 1c00 0000 0000 0000 0100 0000 0200 0000  ................
00000010: d204 0000 e803 0000 e803 0000 0000 0000  ................
00000020: 1800 0000 0000 0000 0100 0000 0100 0000  ................
00000030: 0700 0000 0900 0000                      ........`,
  },
  {
    name: "strace: a truncated receive",
    abi: "linux-x86_64-glibc",
    text: 'recvmsg(3, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base="x", iov_len=1}], msg_iovlen=1, msg_control=[{cmsg_len=24, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[4, 5]}], msg_controllen=24, msg_flags=MSG_CTRUNC|MSG_CMSG_CLOEXEC}, MSG_CMSG_CLOEXEC) = 1',
  },
  {
    name: "macOS: no padding, another SOL_SOCKET",
    abi: "darwin-arm64",
    text: "14 00 00 00 ff ff 00 00 01 00 00 00\n05 00 00 00 06 00 00 00",
  },
  {
    name: "Big-endian: s390x, as a C array",
    abi: "linux-s390x-glibc",
    text: `unsigned char control[] = {
  0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x01,
  0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x00
};`,
  },
  {
    name: "FreeBSD: credentials of the sender",
    abi: "freebsd-amd64",
    text: `64000000 ffff0000 03000000 00000000
3b0d0000 e9030000 e9030000 e9030000
02000000 e9030000 05000000 00000000
00000000 00000000 00000000 00000000
00000000 00000000 00000000 00000000
00000000 00000000 00000000 00000000
00000000 00000000`,
  },
  {
    name: "Malformed: a length that reaches past the end",
    abi: "linux-x86_64-glibc",
    text: `14000000 00000000 01000000 01000000 07000000 00000000
ff7f0000 00000000 01000000 01000000 08000000 00000000`,
  },
  {
    name: "Wrong ABI: bytes of macOS, read as Linux's",
    abi: "linux-x86_64-glibc",
    text: "14 00 00 00 ff ff 00 00 01 00 00 00 05 00 00 00 06 00 00 00",
  },
];
