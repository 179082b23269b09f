/** The exports of `core.wasm`: this list, and the memory. There are no imports, and no call traps on any argument. */

export { setLayout, setNumbers } from "./abi";
export { align, len, space } from "./cmsghdr";
export { putCredentials, setCredentials } from "./credentials";
export { next, open } from "./decode";
export { begin, length, put } from "./encode";
export { CONTROL, CONTROL_BYTES, FDS, FDS_CAPACITY, REGISTERS, Register } from "./memory";
export { encodeRights, putRights, readRights } from "./rights";
export { verdict } from "./verdict";
