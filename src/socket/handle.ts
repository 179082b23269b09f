/** The descriptor of a socket, and its watcher. */

import { fileOf, reportLeak } from "../fd/leak.ts";
import type { Platform } from "../system/platform.ts";
import { POLLIN, type Watched } from "../system/system.ts";

/** Called with an endpoint whose socket is ready, while operations wait. */
let becameReady: (endpoint: object, events: number) => void;

/** Endpoint registers here. */
export function setReadyCallback(callback: (endpoint: object, events: number) => void): void {
  becameReady = callback;
}

/**
 * The descriptor of an endpoint, whose number is stored only here, and its watcher. The handle outlives the endpoint object. While
 * operations wait, it keeps the endpoint alive; otherwise the endpoint can be garbage-collected, and the handle closes the descriptor.
 */
export class Handle implements Watched {
  readonly platform: Platform;
  /** -1 after it was closed or handed over. */
  fd: number;
  readonly isStream: boolean;
  /** The endpoint, while operations wait; null otherwise. */
  waiting: object | null = null;
  /** The number of its watcher; -1 if it has none. */
  watcher = -1;
  /** The events that the watcher is armed for, and whether it keeps the process alive. */
  armed = 0;
  keepsAlive = false;

  constructor(platform: Platform, fd: number, isStream: boolean) {
    this.platform = platform;
    this.fd = fd;
    this.isStream = isStream;
  }

  ready(events: number): void {
    if (this.waiting !== null) becameReady(this.waiting, events);
    // No operation waits for this event.
    else this.arm(0);
  }

  arm(events: number): void {
    if (events === this.armed) return;
    this.armed = events;
    if (this.watcher !== -1) this.platform.system.arm(this.watcher, events);
  }

  keepAlive(on: boolean): void {
    if (on === this.keepsAlive) return;
    this.keepsAlive = on;
    this.platform.system.keepAlive(on);
  }

  unwatch(): void {
    if (this.watcher === -1) return;
    this.keepAlive(false);
    this.platform.system.unwatch(this.watcher);
    this.watcher = -1;
    // A socket that could not be handed over gets another watcher, which is not armed.
    this.armed = 0;
  }

  /** Stops watching, then closes: a descriptor must not be closed while it is watched. */
  release(): number {
    this.unwatch();
    const { system } = this.platform;
    const result = this.#hasUnread() ? system.discard([this.fd], 0, 1) : system.close(this.fd);
    // Cleared after the call: near the end of the stack, the call throws before it closes anything.
    this.fd = -1;
    return result;
  }

  /**
   * Whether something was sent and not received, or was not accepted. The kernel closes the descriptors in it together with the socket,
   * and their close may wait.
   */
  #hasUnread(): boolean {
    const { system, abi } = this.platform;
    const ready = system.poll(this.fd, POLLIN, 0);
    if (ready >= 0 && (ready & POLLIN) === 0) return false;
    if (!this.isStream) return true;
    // A stream is readable at its end too.
    return system.recvmsg(this.fd, PEEKED, 0, PEEKED.length, 0, abi.MSG_PEEK | abi.MSG_DONTWAIT, false) !== 0;
  }
}

const PEEKED = new Uint8Array(1);

/** Closes the descriptors of endpoints that were garbage-collected. */
export const registry: FinalizationRegistry<Handle> = new FinalizationRegistry<Handle>((handle) => {
  if (handle.fd === -1) return;
  const file = fileOf(handle.platform.system, handle.fd);
  handle.release();
  reportLeak(file, handle);
});
