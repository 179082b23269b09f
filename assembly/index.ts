/** The exports of `core.wasm`: this list, and the memory. Nothing is imported, nothing traps on any argument. */

export { layout, numbers } from "./abi";
export { align, len, space } from "./cmsghdr";
export { credentials, putCredentials } from "./credentials";
export { next, open } from "./decode";
export { begin, length, put } from "./encode";
export { CONTROL, CONTROL_BYTES, FDS, FDS_CAPACITY, REGISTERS, Register } from "./memory";
export { encodeRights, putRights, readRights } from "./rights";
export { verdict } from "./verdict";
