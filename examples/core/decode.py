"""decode.c in Python: ctypes calls the module, which wasm2c and a C compiler have made a shared library. The ABI table is abis.json.

    $ echo darwin-arm64 10000000ffff00000100000007000000 | python3 decode.py libcore.so abis.json
"""

import ctypes
import json
import sys

REGISTERS, FDS, CONTROL, CONTROL_BYTES = 0, 0x10000, 0x20000, 0x10000
OFFSET, LEVEL, TYPE, DATA, DATA_LENGTH, _, FAULT_OFFSET, FAULT, COUNT, KEEP = range(10)
FAULTS = ("", "header-truncated", "length-too-small", "length-overruns")


class Core:
    def __init__(self, library):
        self.lib = ctypes.CDLL(library)
        self.lib.ua_start.restype = ctypes.c_void_p
        start = self.lib.ua_start()
        self.memory = (ctypes.c_uint8 * 0x30000).from_address(start)

    def use(self, abi):
        """Configures the module for a row: the calls, with their arguments, are in the row."""
        calls = abi["calls"]
        assert self.lib.ua_setLayout(*calls["setLayout"])
        self.lib.ua_setNumbers(*calls["setNumbers"])
        for arguments in calls["setCredentials"]:
            assert self.lib.ua_setCredentials(*arguments)

    def integer(self, at):
        return int.from_bytes(self.memory[at : at + 4], "little", signed=True)

    def register(self, position):
        return self.integer(REGISTERS + 4 * position)

    def fds(self, start, end):
        return [self.integer(FDS + 4 * i) for i in range(start, end)]


def decode(core, abi, control):
    core.use(abi)
    control = control[:CONTROL_BYTES]
    core.memory[CONTROL : CONTROL + len(control)] = control
    print(f"{abi['name']}, {len(control)} bytes")
    core.lib.ua_open(len(control), 0)
    while core.lib.ua_next():
        offset, level, kind, data, length = (core.register(i) for i in (OFFSET, LEVEL, TYPE, DATA, DATA_LENGTH))
        print(f"@{offset} cmsg_len {core.lib.ua_len(length)}, cmsg_level {level}, cmsg_type {kind}, {length} bytes")
        if (level, kind) == (abi["SOL_SOCKET"], abi["SCM_RIGHTS"]):
            core.lib.ua_readRights(0, data, length // 4)
            print("  rights:", *(core.fds(0, length // 4) or ["none"]))
    if core.register(FAULT):
        print(f"@{core.register(FAULT_OFFSET)} {FAULTS[core.register(FAULT)]}")
    outcome = core.lib.ua_verdict(len(control), 0, 2, -1, 0)
    keep, count = core.register(KEEP), core.register(COUNT)
    print(f"verdict {outcome}: keep", *(core.fds(0, keep) or ["nothing"]), end=", close ")
    print(*(core.fds(keep, count) or ["nothing"]))


if __name__ == "__main__":
    core = Core(sys.argv[1])
    with open(sys.argv[2], encoding="utf-8") as file:
        abis = json.load(file)["abis"]
    for line in sys.stdin:
        name, _, digits = line.partition(" ")
        decode(core, abis[name.strip()], bytes.fromhex(digits))
