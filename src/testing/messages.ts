/** `sendmsg` and `recvmsg`: what is asked of them, and what they answer. */

import type { Abi } from "../core/abis/table.ts";
import { OUT, type System } from "../system/system.ts";
import type { Socket } from "./files.ts";
import type { VirtualProcess } from "./kernel.ts";
import { receive } from "./receive.ts";
import { ControlWriter, errnoOf } from "./rules.ts";
import { send } from "./send.ts";
import { enter, socketOf, violate } from "./system-call.ts";

export function messageCalls(
  process: VirtualProcess,
  buffers: Pick<System, "out" | "address">,
): Pick<System, "bindControl" | "sendmsg" | "recvmsg"> {
  const { kernel } = process;
  const { abi } = kernel;
  const { out } = buffers;
  let control: Uint8Array = new Uint8Array(0);
  return {
    bindControl(memory, offset, capacity) {
      control = new Uint8Array(memory, offset, capacity);
    },

    sendmsg(fd, payload, offset, length, controlLength, flags, to) {
      const fault = enter(process, "sendmsg", fd);
      if (fault?.errno !== undefined) return errnoOf(fault.errno);
      const socket = socketOf(process, fd, "sent on");
      if (typeof socket === "number") return socket;
      const bytes = bytesOf(payload, offset, length);
      const result = send(process, socket, bytes, control.subarray(0, controlLength), to, fault);
      if (typeof result === "number") {
        kernel.progressed();
        return result;
      }
      if (result === "EPIPE" && !mutesSigpipe(abi, flags)) violate(process, "was killed by SIGPIPE");
      if (result === "EAGAIN" && !neverBlocks(abi, socket, flags, true)) violate(process, "waited in sendmsg");
      return errnoOf(result);
    },

    recvmsg(fd, payload, offset, length, controlCapacity, flags, wantAddress) {
      out[OUT.CONTROL_LENGTH] = 0;
      out[OUT.FLAGS] = 0;
      out[OUT.ADDRESS_LENGTH] = -1;
      const fault = enter(process, "recvmsg", fd);
      if (fault?.errno !== undefined) return errnoOf(fault.errno);
      const socket = socketOf(process, fd, "received from");
      if (typeof socket === "number") return socket;
      const pieces = piecesOf(payload, offset, length);
      const writer = new ControlWriter(abi, control.subarray(0, controlCapacity));
      const result = receive(process, socket, pieces, writer, flags, fault, wantAddress, buffers);
      if (typeof result === "string") {
        if (result === "EAGAIN" && !neverBlocks(abi, socket, flags, false)) violate(process, "waited in recvmsg");
        return errnoOf(result);
      }
      if (writer.truncated && abi.truncation !== "dragonfly") out[OUT.FLAGS]! |= abi.MSG_CTRUNC;
      out[OUT.FLAGS]! |= echoed(abi, flags);
      out[OUT.CONTROL_LENGTH] = writer.length;
      out[OUT.UNSETTLED] = writer.length;
      if ((flags & abi.MSG_PEEK) === 0) kernel.progressed();
      return result;
    },
  };
}

/** Input flags that the kernel shows again. */
function echoed(abi: Abi, flags: number): number {
  const { os, MSG_CMSG_CLOEXEC } = abi;
  if (os === "linux") return flags & (MSG_CMSG_CLOEXEC ?? 0);
  return os === "freebsd" || os === "openbsd" || os === "darwin" ? flags : 0;
}

function mutesSigpipe(abi: Abi, flags: number): boolean {
  const { MSG_NOSIGNAL } = abi;
  return MSG_NOSIGNAL === null || (flags & MSG_NOSIGNAL) !== 0;
}

/** Darwin's send waits for room in spite of MSG_DONTWAIT. */
function neverBlocks(abi: Abi, socket: Socket, flags: number, sends: boolean): boolean {
  if (socket.nonblocking) return true;
  return (flags & abi.MSG_DONTWAIT) !== 0 && !(sends && abi.truncation === "xnu");
}

function piecesOf(payload: Uint8Array | readonly Uint8Array[], offset: number, length: number): Uint8Array[] {
  if (ArrayBuffer.isView(payload)) return [payload.subarray(offset, offset + length)];
  let skip = offset;
  const pieces: Uint8Array[] = [];
  for (const piece of payload) {
    const skipped = Math.min(skip, piece.length);
    skip -= skipped;
    if (skipped < piece.length) pieces.push(piece.subarray(skipped));
  }
  return pieces;
}

function bytesOf(payload: Uint8Array | readonly Uint8Array[], offset: number, length: number): Uint8Array {
  const pieces = piecesOf(payload, offset, length);
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
}
