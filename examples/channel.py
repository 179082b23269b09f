"""FdChannel's wire format (docs/wire-format.md) in Python, with the standard library alone.

Import Channel, or run it as a child of spawn() (examples/python-channel.ts): it answers each frame with the sizes of the files that
came, and with their contents in capitals, one file for each.
"""

import array
import os
import socket
import struct
import sys
import tempfile

HEADER = struct.Struct(">4sBBHIQ")  # magic, version, flags, descriptors, bytes of payload, message id
MAX_PAYLOAD = 16 * 1024 * 1024
MAX_FDS = 0xFFFF
# The most descriptors of one message: SCM_MAX_FD of Linux. Other systems: docs/core-abi.md, maxFdsPerMessage.
FDS_PER_MESSAGE = 253


class ProtocolError(Exception):
    """The peer broke the protocol. Nothing more can be received."""


class Channel:
    def __init__(self, sock):
        self.sock = sock
        self.sock.setblocking(True)
        self.next_id = 1
        self.records = sock.type == socket.SOCK_SEQPACKET
        self.record = b""  # what is left of the last record

    @classmethod
    def from_parent(cls):
        """The channel to the parent, which started this process with spawn()."""
        fd = int(os.environ.pop("UNIX_ANCILLARY_CHANNEL_FD"))
        expected = os.environ.pop("UNIX_ANCILLARY_CHANNEL_SOCKET")
        status = os.fstat(fd)
        # A program in between may have passed on the variables and not the socket.
        if expected != f"{status.st_dev}:{status.st_ino}":
            raise RuntimeError(f"descriptor {fd} is not the channel")
        os.set_inheritable(fd, False)
        return cls(socket.socket(fileno=fd))

    def send(self, payload, fds=()):
        """Sends a frame and returns its id. The descriptors stay the caller's."""
        if len(payload) > MAX_PAYLOAD or len(fds) > MAX_FDS:
            raise ValueError("the frame is too large")
        frame = memoryview(HEADER.pack(b"UANC", 1, 0, len(fds), len(payload), self.next_id) + payload)
        if len(fds) > FDS_PER_MESSAGE * len(frame):
            raise ValueError("too many descriptors for so few bytes")
        fds = list(fds)
        while len(frame) > 0:
            batch, fds = fds[:FDS_PER_MESSAGE], fds[FDS_PER_MESSAGE:]
            # While descriptors remain, a message has one byte: the next ones go with the next byte.
            size = 1 if fds else min(len(frame), 65536) if self.records else len(frame)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", batch))] if batch else []
            sent = self.sock.sendmsg([frame[:size]], rights)
            frame = frame[sent:]
        self.next_id += 1
        return self.next_id - 1

    def recv(self):
        """The next frame: (id, payload, descriptors), which the caller closes. None when the peer has finished."""
        fds = []
        try:
            header = self._read(HEADER.size, fds, may_end=True)
            if header is None:
                return None
            magic, version, flags, count, length, message_id = HEADER.unpack(header)
            if (magic, version, flags) != (b"UANC", 1, 0) or length > MAX_PAYLOAD:
                raise ProtocolError(f"not a frame of version 1: {header.hex()}")
            payload = self._read(length, fds)
            if self.record or len(fds) != count:
                raise ProtocolError(f"{count} descriptors announced, {len(fds)} came")
        except BaseException:
            for fd in fds:
                os.close(fd)
            raise
        return message_id, payload, fds

    def _read(self, length, fds, may_end=False):
        """Exactly so many bytes. Never reads beyond the frame: what arrives with these bytes belongs to the frame."""
        data = b""
        while len(data) < length:
            if not self.record:
                size = 65536 if self.records else min(length - len(data), 65536)
                room = socket.CMSG_SPACE(4 * FDS_PER_MESSAGE)
                self.record, control, flags, _ = self.sock.recvmsg(size, room, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
                for level, kind, payload in control:
                    if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                        rights = array.array("i")
                        rights.frombytes(payload[: len(payload) - len(payload) % 4])
                        fds.extend(rights)
                if flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC):
                    raise ProtocolError("the kernel delivered less than was sent")
                if not self.record:
                    if may_end and not data and not fds:
                        return None
                    raise ProtocolError("the peer finished in the middle of a frame")
            part, self.record = self.record[: length - len(data)], self.record[length - len(data) :]
            data += part
        return data


if __name__ == "__main__":
    # As a child of spawn(); or with the number of a connected socket that it has inherited.
    parent = Channel(socket.socket(fileno=int(sys.argv[1]))) if len(sys.argv) > 1 else Channel.from_parent()
    while (frame := parent.recv()) is not None:
        message_id, payload, fds = frame
        answers = []
        for fd in fds:
            with os.fdopen(fd, "rb", closefd=True) as file:
                answer = tempfile.TemporaryFile()
                answer.write(os.pread(file.fileno(), 1 << 20, 0).upper())
                answer.flush()
                answers.append(answer)
        sizes = [os.fstat(answer.fileno()).st_size for answer in answers]
        print(f"python: frame {message_id}, {len(payload)} bytes, {len(fds)} descriptors", file=sys.stderr)
        parent.send(b"%d bytes; %s" % (sum(sizes), payload[::-1]), [answer.fileno() for answer in answers])
        for answer in answers:
            answer.close()
