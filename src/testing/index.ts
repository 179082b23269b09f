/** The exports of `unix-ancillary/testing`. */

export type { ErrnoName } from "./errno.ts";
export { controlBuffers, type GeneratedControl, type GeneratorOptions } from "./generators.ts";
export {
  type Call,
  type KernelOptions,
  type ProcessOptions,
  VirtualKernel,
  VirtualProcess,
} from "./kernel.ts";
export type { Fault } from "./system-call.ts";
