/** `sendFdsAll`: sends the descriptors once, then every byte. */

import { type AsFd, checkNumbers, NO_FDS, NO_NUMBERS, readNumbers } from "../fd/as-fd.ts";
import { byteLength, type Iovec } from "../message/iovec.ts";
import { checkLength, type SendTarget, sendOnce, waitOrThrow } from "../message/send.ts";
import { Operation, WAIT } from "./operation.ts";

/** Properties of the error of an unfinished `sendFdsAll`. */
export interface SendProgress {
  /** Bytes that the kernel had accepted. */
  readonly bytesSent: number;
  /** Whether the descriptors were sent with them. They are never sent twice. */
  readonly fdsSent: boolean;
}

/** Sends the descriptors with the first `sendmsg`, then every byte. */
export class SendAll extends Operation<void> {
  readonly syscall: string = "sendmsg";
  readonly #target: SendTarget;
  readonly #payload: Iovec;
  readonly #length: number;
  /** The descriptors that are still to be sent. */
  #fds: readonly AsFd[];
  #numbers = NO_NUMBERS;
  readonly #count: number;
  #sent = 0;

  constructor(target: SendTarget, payload: Iovec, fds: readonly AsFd[]) {
    super();
    this.#target = target;
    this.#payload = payload;
    this.#length = byteLength(payload);
    this.#fds = fds;
    this.#count = fds.length;
  }

  override prepare(): void {
    if (this.#fds.length > 0) this.#numbers = readNumbers(this.#target.platform, this.#fds);
  }

  override check(): void {
    checkNumbers(this.#target.platform, this.#fds, this.#numbers);
  }

  override get runsCallersCode(): boolean {
    return this.#numbers !== NO_NUMBERS;
  }

  perform(fd: number): undefined | typeof WAIT {
    try {
      checkLength(this.#payload, this.#length);
      // At least once: a record may be empty.
      do {
        const left = this.#length - this.#sent;
        const sent = sendOnce(this.#target, fd, this.#payload, this.#sent, left, this.#fds, this.#numbers, null);
        if (sent < 0) {
          this.retryAfter = waitOrThrow(this.#target, fd, sent, this.#fds, this.#numbers, null, this.retryAfter);
          return WAIT;
        }
        this.#sent += sent;
        this.#fds = NO_FDS;
        this.retryAfter = 0;
      } while (this.#sent < this.#length);
    } catch (error) {
      throw this.failed(error as Error);
    }
  }

  /** The caller's reason when nothing was sent. Else a new error: the reason may be shared by other operations. */
  override withdrawn(reason: unknown): unknown {
    return this.#sent === 0 ? reason : this.#progress(abortedHalfWay(reason));
  }

  override failed(error: Error): Error & SendProgress {
    return this.#progress(error);
  }

  #progress<E extends Error>(error: E): E & SendProgress {
    return Object.assign(error, { bytesSent: this.#sent, fdsSent: this.#sent > 0 && this.#count > 0 });
  }
}

/** The error of a send that was aborted after a part was sent. */
export function abortedHalfWay(reason: unknown): Error {
  const error = new Error("the operation was aborted half-way", { cause: reason });
  return Object.assign(error, { name: "AbortError", code: "ABORT_ERR" });
}
