/** The exports of `unix-ancillary/core`, which runs wherever JavaScript and Wasm do. */

export {
  type Abi,
  type AbiName,
  abis,
  type CredentialsLayout,
  hostAbiName,
  type MsghdrLayout,
  type PeerCredentialsLayout,
  type TimestampLayout,
} from "./abis/table.ts";
export {
  Codec,
  type DecodedControl,
  type DecodedMessage,
  type DecodeOptions,
  type ReceiveVerdict,
  type VerdictInput,
} from "./codec.ts";
export { AncillaryError, type AncillaryErrorCode, type TruncationReason } from "./errors.ts";
export { inspect } from "./inspect.ts";
export type { ControlMessage, Credentials, DecodedPayload, Timestamp } from "./payloads.ts";
export { provideCoreModule } from "./wasm.ts";
