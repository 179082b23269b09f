/** A client of Wayland: a window in shared memory. */

import { memfd, type OwnedFd, type UnixStream } from "unix-ancillary";
import { type Argument, type Message, Wire } from "./wire.ts";

/** An interface that the compositor has, as its registry names it. */
interface Global {
  readonly name: number;
  readonly version: number;
}

/** The requests that are used, by interface: their opcodes (wayland.xml, xdg-shell.xml, weston-screenshooter.xml). */
const DISPLAY = { id: 1, sync: 0, getRegistry: 1 } as const;
const BIND = 0;
const CREATE_SURFACE = 0;
const CREATE_POOL = 0;
const CREATE_BUFFER = 0;
const SURFACE = { attach: 1, damage: 2, frame: 3, commit: 6 } as const;
const GET_XDG_SURFACE = 2;
const PONG = 3;
const XDG_SURFACE = { getToplevel: 1, ackConfigure: 4 } as const;
const SET_TITLE = 2;
const SHOOT = 0;
const XRGB8888 = 1;

export class Client implements Disposable {
  readonly #wire: Wire;
  readonly #globals = new Map<string, Global>();
  readonly #listeners = new Map<number, (event: Message) => unknown>();
  #lastId: number = DISPLAY.id;

  constructor(stream: UnixStream) {
    this.#wire = new Wire(stream);
  }

  /** The interfaces of the compositor. */
  get globals(): readonly string[] {
    return [...this.#globals.keys()];
  }

  /** Gets the list of interfaces. */
  async start(): Promise<void> {
    this.#listeners.set(DISPLAY.id, (event) => {
      if (event.opcode !== 0) return;
      const [object, code, text] = [event.uint(), event.uint(), event.string()];
      throw new Error(`the compositor reports error ${code} of object ${object}: ${text}`);
    });
    await this.#create(DISPLAY.id, DISPLAY.getRegistry, [], (event) => {
      if (event.opcode !== 0) return;
      const [name, interfaceName, version] = [event.uint(), event.string(), event.uint()];
      this.#globals.set(interfaceName, { name, version });
    });
    await this.roundTrip();
  }

  /** Waits until the compositor has processed everything before. */
  async roundTrip(): Promise<void> {
    let done = false;
    await this.#create(DISPLAY.id, DISPLAY.sync, [], () => (done = true));
    while (!done) await this.#dispatch();
  }

  /** An object of a global interface. */
  async bind(name: string, listener?: (event: Message) => unknown): Promise<number> {
    const global = this.#globals.get(name);
    if (global === undefined) throw new Error(`the compositor has no ${name}`);
    // The registry is the object after the display; a new object without an interface comes with its name and version.
    return await this.#create(DISPLAY.id + 1, BIND, [global.name, name, 1], listener);
  }

  /** A buffer over memory: the descriptor goes to the compositor. */
  async buffer(memory: OwnedFd, width: number, height: number): Promise<number> {
    const shm = await this.bind("wl_shm");
    const size = 4 * width * height;
    const pool = await this.#create(shm, CREATE_POOL, [], undefined, [{ fd: memory }, size]);
    return await this.#create(pool, CREATE_BUFFER, [], undefined, [0, width, height, 4 * width, XRGB8888]);
  }

  /** Shows a window of one colour, and waits until the compositor has drawn it. */
  async show(title: string, colour: number, width: number, height: number): Promise<void> {
    const pixels = Buffer.from(new Uint32Array(width * height).fill(colour).buffer);
    const memory = memfd("window", { data: pixels });
    const buffer = await this.buffer(memory, width, height);
    // The compositor has its own descriptor.
    memory.close();
    const surface = await this.#create(await this.bind("wl_compositor"), CREATE_SURFACE);
    const shell: number = await this.bind("xdg_wm_base", (event) => this.#wire.send(shell, PONG, event.uint()));
    let serial: number | undefined;
    const xdgSurface = await this.#create(shell, GET_XDG_SURFACE, [], (event) => (serial = event.uint()), [surface]);
    const toplevel = await this.#create(xdgSurface, XDG_SURFACE.getToplevel);
    await this.#wire.send(toplevel, SET_TITLE, title);
    await this.#wire.send(surface, SURFACE.commit);
    while (serial === undefined) await this.#dispatch();
    await this.#wire.send(xdgSurface, XDG_SURFACE.ackConfigure, serial);
    await this.#wire.send(surface, SURFACE.attach, buffer, 0, 0);
    await this.#wire.send(surface, SURFACE.damage, 0, 0, width, height);
    let drawn = false;
    await this.#create(surface, SURFACE.frame, [], () => (drawn = true));
    await this.#wire.send(surface, SURFACE.commit);
    while (!drawn) await this.#dispatch();
  }

  /** Weston's: what is on its output, in memory of ours; the width and height are those of the output. */
  async shoot(memory: OwnedFd, width: number, height: number): Promise<void> {
    let done = false;
    const screenshooter = await this.bind("weston_screenshooter", () => (done = true));
    const output = await this.bind("wl_output");
    await this.#wire.send(screenshooter, SHOOT, output, await this.buffer(memory, width, height));
    while (!done) await this.#dispatch();
  }

  [Symbol.dispose](): void {
    this.#wire[Symbol.dispose]();
  }

  /** Makes an object: its number is the argument between `before` and `after`. */
  async #create(
    object: number,
    opcode: number,
    before: readonly Argument[] = [],
    listener: (event: Message) => unknown = () => {},
    after: readonly Argument[] = [],
  ): Promise<number> {
    const id = ++this.#lastId;
    this.#listeners.set(id, listener);
    await this.#wire.send(object, opcode, ...before, id, ...after);
    return id;
  }

  async #dispatch(): Promise<void> {
    const event = await this.#wire.next();
    if (event === null) throw new Error("the compositor has closed the connection");
    await this.#listeners.get(event.object)?.(event);
  }
}
