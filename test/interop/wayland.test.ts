/** Wayland: a small compositor, over an FdReader, for a client of libwayland and for the one of the examples. */

import { readSync } from "node:fs";
import { OwnedFd, UnixListener, UnixStream } from "unix-ancillary";
import * as assert from "uvu/assert";
import { Client } from "../../examples/wayland/client.ts";
import { type Message, Wire } from "../../examples/wayland/wire.ts";
import { socketPath, temporaryFolder } from "../support.ts";
import { interop, type Needed, Program } from "./programs.ts";

const DISPLAY = 1;
const DELETE_ID = 1;
const GLOBALS = ["wl_compositor", "wl_shm", "xdg_wm_base"];
const [ARGB8888, XRGB8888] = [0, 1];

interface Buffer32 {
  readonly memory: OwnedFd;
  readonly width: number;
  readonly height: number;
  readonly pixels: Uint32Array;
}

/** Serves a client until it has shown so many frames; returns them. Descriptors are closed. */
async function compose(stream: UnixStream, frames: number): Promise<Buffer32[]> {
  using wire = new Wire(stream);
  const objects = new Map<number, string>([[DISPLAY, "wl_display"]]);
  const pools = new Map<number, OwnedFd>();
  const buffers = new Map<number, Buffer32>();
  const shown: Buffer32[] = [];
  const toplevels: number[] = [];
  const xdgSurfaces: number[] = [];
  const callbacks: number[] = [];
  let attached = 0;
  let serial = 0;

  const done = async (callback: number): Promise<void> => {
    // Of a frame: its time in milliseconds, which the client draws.
    await wire.send(callback, 0, 500 * ++serial);
    await wire.send(DISPLAY, DELETE_ID, callback);
  };
  const make = (request: Message, kind: string): number => {
    const id = request.uint();
    objects.set(id, kind);
    return id;
  };
  const requests: Record<string, (request: Message) => unknown> = {
    "wl_display.0": (request) => done(request.uint()),
    async "wl_display.1"(request) {
      const registry = make(request, "wl_registry");
      for (const [name, global] of GLOBALS.entries()) await wire.send(registry, 0, name, global, 1);
    },
    async "wl_registry.0"(request) {
      const [name, kind] = [request.uint(), request.string()];
      assert.equal([GLOBALS[name], request.uint()], [kind, 1]);
      const id = make(request, kind);
      if (kind === "wl_shm") for (const format of [ARGB8888, XRGB8888]) await wire.send(id, 0, format!);
    },
    "wl_compositor.0": (request) => make(request, "wl_surface"),
    "wl_shm.0"(request) {
      const id = make(request, "wl_shm_pool");
      const fd = request.fd();
      pools.set(id, fd);
      assert.is(fd.describe().size, request.int());
    },
    "wl_shm_pool.0"(request) {
      const pool = pools.get(request.object)!;
      const id = make(request, "wl_buffer");
      const [offset, width, height, stride] = [request.int(), request.int(), request.int(), request.int()];
      assert.equal([offset, stride, request.uint()], [0, 4 * width!, XRGB8888]);
      buffers.set(id, { memory: OwnedFd.from(pool), width: width!, height: height!, pixels: new Uint32Array() });
    },
    "wl_shm_pool.1"(request) {
      pools.get(request.object)!.close();
      pools.delete(request.object);
    },
    "xdg_wm_base.2": (request) => xdgSurfaces.push(make(request, "xdg_surface")),
    "xdg_surface.1": (request) => toplevels.push(make(request, "xdg_toplevel")),
    "wl_surface.1": (request) => (attached = request.uint()),
    "wl_surface.3": (request) => callbacks.push(request.uint()),
    async "wl_surface.6"() {
      const buffer = buffers.get(attached);
      if (buffer === undefined) {
        for (const toplevel of toplevels) await wire.send(toplevel, 0, 0, 0, Buffer.alloc(0));
        for (const surface of xdgSurfaces) await wire.send(surface, 0, ++serial);
        return;
      }
      const pixels = new Uint32Array(buffer.width * buffer.height);
      readSync(buffer.memory.fd, pixels, 0, pixels.byteLength, 0);
      shown.push({ ...buffer, pixels });
      // It may be drawn into again.
      await wire.send(attached, 0);
      for (const callback of callbacks.splice(0)) await done(callback);
    },
  };
  try {
    while (shown.length < frames) {
      const request = await wire.next();
      if (request === null) throw new Error(`the client ended after ${shown.length} frames`);
      const kind = objects.get(request.object) ?? `object ${request.object}`;
      await requests[`${kind}.${request.opcode}`]?.(request);
    }
    return shown;
  } finally {
    for (const pool of pools.values()) pool.close();
    for (const { memory } of buffers.values()) memory.close();
  }
}

const test = interop("wayland");
const weston: Needed = { debian: "weston", probe: ["sh", "-c", "command -v weston-simple-shm"] };

test("a client of libwayland shows frames in memory that it sends", [weston], async () => {
  await using listener = UnixListener.bind(socketPath());
  const env = { WAYLAND_DISPLAY: listener.address!, XDG_RUNTIME_DIR: temporaryFolder() };
  await using client = new Program("weston-simple-shm", [], { env });
  const frames = await compose(await client.meanwhile(listener.accept()), 4);
  for (const { width, height, pixels } of frames) {
    assert.equal([width, height], [250, 250]);
    assert.ok(new Set(pixels).size > 100, "a picture of many colours");
  }
  assert.is.not(frames[0]!.pixels.join(), frames[3]!.pixels.join());
  return `${frames.length} frames of 250 x 250 pixels, each another picture`;
});

test("the client of the examples shows its window, and the compositor has its pixels", [], async () => {
  await using listener = UnixListener.bind(socketPath());
  using client = new Client(await UnixStream.connect(listener.address!));
  const showing = client.start().then(() => client.show("test", 0x123456, 70, 50));
  const [frame] = await compose(await listener.accept(), 1);
  await showing;
  assert.equal([frame!.width, frame!.height], [70, 50]);
  assert.equal([...new Set(frame!.pixels)], [0x123456]);
  return "70 x 50 pixels of its colour";
});

test.run();
