"""The round trip in Python. Argument: descriptors per message. Reads "ROUNDS\n", prints nanoseconds per round."""

import os
import socket
import sys
import time

count = int(sys.argv[1])
left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
file = os.open(os.devnull, os.O_RDONLY)
data = bytes(64)
fds = [file] * count


def round_trips(rounds):
    start = time.perf_counter_ns()
    for _ in range(rounds):
        socket.send_fds(left, [data], fds)
        _, came, flags, _ = socket.recv_fds(right, 4096, 253)
        if len(came) != count or flags & socket.MSG_CTRUNC:
            sys.exit("descriptors are missing")
        for fd in came:
            os.close(fd)
    return (time.perf_counter_ns() - start) / rounds


for line in sys.stdin:
    print(f"{round_trips(int(line)):.3f}", flush=True)
