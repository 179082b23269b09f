/** Faults, time and the order of events: the seed decides which ready socket is notified first. */

import type { Timer, Watched } from "../system/system.ts";
import { CONSTANTS, POLLERR } from "./constants.ts";
import type { Machine, Process } from "./machine.ts";
import { generator } from "./random.ts";
import { readiness } from "./readiness.ts";
import type { Events, Fault } from "./system-call.ts";

/** Turns of the microtask queue after which the program is not expected to do more. */
const QUIET_TURNS = 64;
/** Notifications in a row without effect, after which the library is taken to spin. */
const SPIN_LIMIT = 1000;

interface Watcher {
  readonly process: Process;
  readonly fd: number;
  readonly watched: Watched;
  events: number;
}

export class Scheduler implements Events {
  /** Called before each system call, with the number of calls before it; null: no faults. */
  fault: ((index: number, process: Process, name: string, fd: number) => Fault | null) | null = null;
  /** Called while a synchronous call waits. False: nothing is left to do. */
  whileWaiting: (() => boolean) | null = null;
  readonly #machine: Machine;
  /** By their numbers. */
  readonly #watchers = new Map<number, Watcher>();
  #watcherNumbers = 0;
  readonly #timers = new Set<{ at: number; fired: () => void }>();
  readonly #idle: (() => void)[] = [];
  #random: (below: number) => number;
  #calls = 0;
  #now = 0;
  #scheduled = false;
  #quiet = 0;
  #spins = 0;

  constructor(machine: Machine, seed: number) {
    this.#machine = machine;
    this.#random = generator(seed);
  }

  get calls(): number {
    return this.#calls;
  }

  get now(): number {
    return this.#now;
  }

  reset(seed: number): void {
    this.#random = generator(seed);
    this.#calls = 0;
    this.#now = 0;
    this.#watchers.clear();
    this.#timers.clear();
    this.fault = null;
    this.whileWaiting = null;
  }

  enter(process: Process, name: string, fd: number): Fault | null {
    this.#quiet = 0;
    const index = this.#calls++;
    const fault = this.fault?.(index, process, name, fd) ?? null;
    fault?.dies?.kill();
    return fault;
  }

  progressed(): void {
    this.#spins = 0;
    this.changed();
  }

  /** Something may have become ready. */
  changed(): void {
    this.#quiet = 0;
    if (this.#scheduled || (this.#watchers.size === 0 && this.#timers.size === 0 && this.#idle.length === 0)) return;
    this.#scheduled = true;
    queueMicrotask(this.#pump);
  }

  waits(milliseconds: number): boolean {
    if (this.whileWaiting?.()) return true;
    if (milliseconds === Infinity) return false;
    this.#now += milliseconds;
    return false;
  }

  watch(process: Process, fd: number, watched: Watched): number {
    this.#watchers.set(++this.#watcherNumbers, { process, fd, watched, events: 0 });
    return this.#watcherNumbers;
  }

  arm(watcher: number, events: number): void {
    const armed = this.#watchers.get(watcher);
    if (armed !== undefined) armed.events = events;
    this.changed();
  }

  unwatch(watcher: number): void {
    this.#watchers.delete(watcher);
  }

  timer(milliseconds: number, fired: () => void): Timer {
    const timer = { at: this.#now + milliseconds, fired };
    this.#timers.add(timer);
    this.changed();
    return { keepAlive() {}, close: () => void this.#timers.delete(timer) };
  }

  /** Calls back when nothing is ready, no timer runs, and nothing has happened for a while. */
  onIdle(callback: () => void): void {
    this.#idle.push(callback);
    this.changed();
  }

  /** Notifies one watcher, picked by the seed. When none has been ready for a while, lets time pass. */
  readonly #pump = (): void => {
    this.#scheduled = false;
    for (const process of this.#machine.processes) {
      if (process.inheritable > 0)
        process.violate(`went on with ${process.inheritable} descriptors that a child would inherit`);
    }
    const ready = this.#ready();
    // One turn in four is skipped, so that other things happen in between.
    if (ready.length > 0 && (this.#quiet > 8 || this.#random(4) !== 0)) {
      this.#quiet = 0;
      if (++this.#spins > SPIN_LIMIT) {
        const [{ process, fd }] = ready[0]!;
        process.violate(`was notified ${SPIN_LIMIT} times that descriptor ${fd} is ready`);
        return;
      }
      const [watcher, bits] = ready[this.#random(ready.length)]!;
      watcher.watched.ready(bits);
    } else if (this.#quiet++ >= QUIET_TURNS && ready.length === 0) {
      this.#quiet = 0;
      if (!this.#fireTimer()) {
        for (const callback of this.#idle.splice(0)) callback();
        return;
      }
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(this.#pump);
  };

  /** The watchers that something is ready for, with the bits that they are notified of. */
  #ready(): [Watcher, number][] {
    const ready: [Watcher, number][] = [];
    for (const watcher of this.#watchers.values()) {
      if (watcher.events === 0 || !watcher.process.alive) continue;
      const descriptor = watcher.process.table[watcher.fd];
      const bits = descriptor === undefined ? 0 : readiness(this.#machine, descriptor);
      // Errors and hang-ups set both bits, as in the addon.
      const notified = (bits & (POLLERR | CONSTANTS.POLLHUP)) !== 0 ? watcher.events : bits & watcher.events;
      if (notified !== 0) ready.push([watcher, notified]);
    }
    return ready;
  }

  /** Fires the next timer, at its time. False: there is none. */
  #fireTimer(): boolean {
    const timer = [...this.#timers].reduce<{ at: number; fired: () => void } | null>(
      (first, other) => (first === null || other.at < first.at ? other : first),
      null,
    );
    if (timer === null) return false;
    this.#timers.delete(timer);
    this.#spins = 0;
    this.#now = Math.max(this.#now, timer.at);
    timer.fired();
    return true;
  }
}
