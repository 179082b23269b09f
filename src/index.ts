/** The public list for Node. */

export { type ChannelOptions, FdChannel, type PeerPolicy } from "./channel/channel.ts";
export { ChannelError, type ChannelErrorCode } from "./channel/errors.ts";
export type { Frame } from "./channel/frame.ts";
export { type ChannelSpawnOptions, type Spawned, spawn } from "./channel/spawn.ts";
export type { AncillaryErrorCode, TruncationReason } from "./core/errors.ts";
export { AncillaryError } from "./core/errors.ts";
export { SocketAncillary } from "./node/ancillary.ts";
export type { AsFd } from "./node/as-fd.ts";
export type { ConnectOptions, SendProgress } from "./node/connected.ts";
export type { AncillaryData, ControlMessage } from "./node/control.ts";
export type { Credentials } from "./node/credentials.ts";
export { type ReceivedFrom, UnixDatagram } from "./node/datagram.ts";
export type { FdDescription } from "./node/describe.ts";
export type { WaitOptions } from "./node/endpoint.ts";
export type { SystemError } from "./node/errors.ts";
export { type FdRange, FdReader, type FdReaderOptions } from "./node/fd-reader.ts";
export { type ListenOptions, UnixListener } from "./node/listener.ts";
export type { RecvIntoOptions, RecvOptions } from "./node/message-socket.ts";
export { OwnedFd } from "./node/owned-fd.ts";
export type { Payload } from "./node/payload.ts";
export type { Platform, PlatformOptions } from "./node/platform.ts";
export type { ReceivedFds, ReceivedFdsInto } from "./node/receive.ts";
export { type MessageOptions, type RecvResult, recvmsg, sendmsg } from "./node/sendmsg.ts";
export { UnixSeqpacket } from "./node/seqpacket.ts";
export { UnixStream } from "./node/stream.ts";
export { type ListenFd, type ListenFdsOptions, listenFds, notify, notifyBarrier } from "./node/systemd.ts";
