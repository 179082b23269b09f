/** The public list for Node. */

export { type ChannelOptions, FdChannel, type PeerPolicy } from "./channel/channel.ts";
export { ChannelError, type ChannelErrorCode } from "./channel/errors.ts";
export type { Frame } from "./channel/frame.ts";
export { type ChannelSpawnOptions, type Spawned, spawn } from "./channel/spawn.ts";
export type { AncillaryErrorCode, TruncationReason } from "./core/errors.ts";
export { AncillaryError } from "./core/errors.ts";
export type { AsFd } from "./fd/as-fd.ts";
export type { FdDescription } from "./fd/describe.ts";
export { OwnedFd } from "./fd/owned-fd.ts";
export { SocketAncillary } from "./message/ancillary.ts";
export type { Credentials } from "./message/credentials.ts";
export type { Payload } from "./message/iovec.ts";
export type { ReceivedFds, ReceivedFdsInto } from "./message/receive.ts";
export type { AncillaryData, ControlMessage } from "./message/received.ts";
export type { ConnectOptions, SendProgress } from "./socket/connected.ts";
export { type ReceivedFrom, UnixDatagram } from "./socket/datagram.ts";
export type { WaitOptions } from "./socket/endpoint.ts";
export { type FdRange, FdReader, type FdReaderOptions } from "./socket/fd-reader.ts";
export { type ListenOptions, UnixListener } from "./socket/listener.ts";
export type { RecvIntoOptions, RecvOptions } from "./socket/message-socket.ts";
export { type MessageOptions, type RecvResult, recvmsg, sendmsg } from "./socket/sendmsg.ts";
export { UnixSeqpacket } from "./socket/seqpacket.ts";
export { UnixStream } from "./socket/stream.ts";
export type { SystemError } from "./system/errno.ts";
export type { Platform, PlatformOptions } from "./system/platform.ts";
export { type ListenFd, type ListenFdsOptions, listenFds, notify, notifyBarrier } from "./systemd.ts";
