/** usocket's UServer. */

import { EventEmitter } from "node:events";
import { wrongType } from "../core/errors.ts";
import { listenAt, type UnixListener } from "../socket/listener.ts";
import type { UnixStream } from "../socket/stream.ts";
import { newAbortController } from "../system/builtins.ts";
import { type PlatformOptions, platformFrom } from "../system/platform.ts";
import { accepted, drop } from "./socket.ts";

/** Options of {@link UServer.listen}. */
export interface UListenOptions extends PlatformOptions {
  /** Where it listens; a leading `\0` means the abstract namespace (Linux). */
  path: string;
  /** The most connections that wait to be accepted; 16 by default. */
  backlog?: number | undefined;
}

/**
 * usocket's UServer: emits `"connection"` with a {@link USocket} for each connection.
 *
 * What differs from usocket: a path where a live socket or any other file is emits `"error"` (`EADDRINUSE`); usocket removes what is
 * there.
 */
export class UServer extends EventEmitter {
  /** Whether it accepts no connections for now. */
  paused = false;
  /** Whether it listens. */
  listening = false;
  #listener: UnixListener | null = null;
  #accepting: AbortController | null = null;
  /** A connection that was accepted before the server was paused, and is emitted after. */
  #held: UnixStream | null = null;

  /** The number of the listening socket; undefined while it has none. */
  get fd(): number | undefined {
    return this.#listener?.closed === false ? this.#listener.fd : undefined;
  }

  /**
   * Listens. Emits `"listening"` or `"error"`.
   *
   * @throws Error when it listens already; TypeError when the path or the backlog is none
   */
  listen(to: string | UListenOptions, second?: number | (() => void), callback?: () => void): void {
    if (this.#listener !== null) throw new Error("listen on already listened UServer");
    const { path, backlog, platform }: UListenOptions = typeof to === "string" ? { path: to } : to;
    const most = (typeof second === "number" ? second : backlog) || 16;
    const listening = typeof second === "function" ? second : callback;
    if (typeof path !== "string") throw wrongType("path", "a string", path);
    if (typeof most !== "number") throw wrongType("backlog", "a number", most);
    if (typeof listening === "function") this.once("listening", listening);
    try {
      // A program of usocket's unlinks the file.
      this.#listener = listenAt(platformFrom({ platform }), "stream", path, undefined, most, false);
    } catch (error) {
      process.nextTick(() => this.emit("error", error));
      return;
    }
    const listener = this.#listener;
    process.nextTick(() => {
      if (listener.closed) return;
      this.listening = true;
      this.emit("listening");
      this.#accept();
    });
  }

  /** Accepts no further connections until {@link resume}. */
  pause(): void {
    this.paused = true;
    this.#accepting?.abort();
  }

  /** Accepts connections again. */
  resume(): void {
    this.paused = false;
    this.#accept();
  }

  /** Stops listening. The file at the path stays, as with usocket. */
  close(): void {
    const listener = this.#listener;
    const held = this.#held;
    this.#listener = null;
    this.#accepting = null;
    this.#held = null;
    this.listening = false;
    if (held !== null) drop(held);
    listener?.close();
  }

  #accept(): void {
    const listener = this.#listener;
    if (listener === null || !this.listening || this.paused || this.#accepting !== null) return;
    const accepting = newAbortController();
    this.#accepting = accepting;
    const over = (): boolean => {
      if (this.#accepting === accepting) this.#accepting = null;
      return listener.closed;
    };
    const held = this.#held;
    this.#held = null;
    const accept = held === null ? listener.accept({ signal: accepting.signal }) : Promise.resolve(held);
    accept.then(
      (stream) =>
        queueMicrotask(() => {
          if (over()) {
            drop(stream);
          } else if (this.paused) {
            this.#held = stream;
          } else {
            try {
              this.emit("connection", accepted(stream));
            } finally {
              // A listener that pauses gets no other connection.
              this.#accept();
            }
          }
        }),
      (error) =>
        queueMicrotask(() => {
          if (over()) return;
          // After EMFILE the listener pauses before it tries again.
          if (accepting.signal.aborted || error.code === "EMFILE" || error.code === "ENFILE") {
            this.#accept();
          } else {
            drop(listener);
            this.close();
            this.emit("error", error);
          }
        }),
    );
  }
}
