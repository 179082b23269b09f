/**
 * The exports of `core.wasm`: this list, and the memory. There are no imports, and no call traps on any argument. The host needs bulk
 * memory (`memory.copy`, `memory.fill`).
 */

export { align, len, space } from "./cmsghdr";
export { putCredentials, setCredentials } from "./credentials";
export { next, open } from "./decode";
export { begin, length, put } from "./encode";
export { CONTROL, CONTROL_BYTES, FDS, FDS_CAPACITY, REGISTERS, Register } from "./memory";
export { encodeRights, putRights, readRights } from "./rights";
export { setLayout, setNumbers } from "./target";
export { verdict } from "./verdict";
