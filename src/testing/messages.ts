/** `sendmsg` and `recvmsg`: their arguments and results. */

import type { Abi } from "../core/abis/table.ts";
import { OUT, type System } from "../system/system.ts";
import type { Socket } from "./files.ts";
import { receive } from "./receive.ts";
import { ControlWriter } from "./rules.ts";
import { send } from "./send.ts";
import type { Caller } from "./system-call.ts";
import { rulesOf } from "./systems.ts";

type Calls = "bindControl" | "sendmsg" | "recvmsg";

export function messageCalls(caller: Caller, buffers: Pick<System, "out" | "address">): Pick<System, Calls> {
  const { process, machine, events } = caller;
  const { abi } = machine;
  const { out } = buffers;
  let control: Uint8Array = new Uint8Array(0);
  return {
    bindControl(memory, offset, capacity) {
      control = new Uint8Array(memory, offset, capacity);
    },

    sendmsg: (fd, payload, offset, length, controlLength, flags, to) =>
      caller.socketCall("sendmsg", fd, "sent on", (socket, fault) => {
        const bytes = bytesOf(payload, offset, length);
        const result = send(
          process,
          socket,
          bytes,
          control.subarray(0, controlLength),
          to,
          fault,
          (flags & abi.MSG_EOR) !== 0,
        );
        if (typeof result === "number") events.progressed();
        else if (result === "EPIPE" && !mutesSigpipe(abi, flags)) process.violate("was killed by SIGPIPE");
        else if (result === "EAGAIN" && !neverBlocks(abi, socket, flags, true)) process.violate("waited in sendmsg");
        return result;
      }),

    recvmsg(fd, payload, offset, length, controlCapacity, flags, wantAddress) {
      out[OUT.CONTROL_LENGTH] = 0;
      out[OUT.FLAGS] = 0;
      out[OUT.ADDRESS_LENGTH] = -1;
      return caller.socketCall("recvmsg", fd, "received from", (socket, fault) => {
        const pieces = piecesOf(payload, offset, length);
        const writer = new ControlWriter(abi, control.subarray(0, controlCapacity));
        const result = receive(process, socket, pieces, writer, flags, fault, wantAddress, buffers);
        if (typeof result === "string") {
          if (result === "EAGAIN" && !neverBlocks(abi, socket, flags, false)) process.violate("waited in recvmsg");
          return result;
        }
        if (writer.truncated && !abi.losesCtrunc) out[OUT.FLAGS]! |= abi.MSG_CTRUNC;
        out[OUT.FLAGS]! |= echoed(abi, flags);
        out[OUT.CONTROL_LENGTH] = writer.length;
        out[OUT.UNSETTLED] = writer.length;
        if ((flags & abi.MSG_PEEK) === 0) events.progressed();
        return result;
      });
    },
  };
}

/** The input flags that are in `msg_flags` too. */
function echoed(abi: Abi, flags: number): number {
  const { echoes } = rulesOf(abi);
  switch (echoes) {
    case "none":
      return 0;
    case "MSG_CMSG_CLOEXEC":
      return flags & (abi.MSG_CMSG_CLOEXEC ?? 0);
    case "all":
      return flags;
    default:
      return echoes satisfies never;
  }
}

function mutesSigpipe(abi: Abi, flags: number): boolean {
  const { MSG_NOSIGNAL } = abi;
  return MSG_NOSIGNAL === null || (flags & MSG_NOSIGNAL) !== 0;
}

function neverBlocks(abi: Abi, socket: Socket, flags: number, sends: boolean): boolean {
  if (socket.nonblocking) return true;
  return (flags & abi.MSG_DONTWAIT) !== 0 && !(sends && rulesOf(abi).sendIgnoresDontwait);
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
