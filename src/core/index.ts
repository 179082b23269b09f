/** The public list of `unix-ancillary/core`: anywhere JavaScript and Wasm run. */

export { type Abi, type AbiName, abis } from "./abis.ts";
export { AncillaryError, type AncillaryErrorCode } from "./errors.ts";
export { provideCoreModule } from "./wasm.ts";
