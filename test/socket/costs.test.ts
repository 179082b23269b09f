/** What one event costs does not grow with what is queued, open or waiting. Counted, not timed: see counted.ts. */

import { fileURLToPath } from "node:url";
import * as assert from "uvu/assert";
import { leakChecked, run, works } from "../support.ts";

const test = leakChecked("costs");

interface Cost {
  readonly steps: number;
  readonly copied: number;
  readonly allocated: number;
}

const PROGRAM = fileURLToPath(new URL("counted.js", import.meta.url));
/** Node's build for glibc dies of its inspector with musl. No event has this name, so none is counted. */
const INSPECTED = [
  works(process.execPath, ["--no-warnings", PROGRAM, "?"]),
  "an inspector that counts what runs",
] as const;

/** The counts of a second process: of everything, or of the events with a name. */
async function countsOf(...names: string[]): Promise<Record<string, Cost>> {
  const { code, stdout, stderr } = await run(process.execPath, ["--no-warnings", PROGRAM, ...names], {
    timeout: 200_000,
  });
  assert.is(code, 0, stderr);
  return JSON.parse(stdout);
}

let all: Promise<Record<string, Cost>> | undefined;

async function counted(name: string): Promise<Cost> {
  all ??= countsOf();
  const cost = (await all)[name];
  assert.ok(cost, `${name} was not counted`);
  return cost;
}

for (const name of [
  "an abort of one of many receives",
  "an abort of one of many sends",
  "an abort of one of many sends to a receiver",
  "an abort of one of many reads",
  "an abort of one of many frames",
  "an abort of a call whose signal many others have",
  "a message for the first of many receives",
  "a descriptor that is taken while many wait",
  "a receive of a stream in which many descriptors wait",
  "an acknowledgement while many descriptors wait for theirs",
  "a turn of the event loop for which many sockets wait",
  "a turn for a socket whose sends wait for many receivers",
  "unref of a socket whose sends wait for many receivers",
  "a descriptor that is closed while many are open",
])
  test.needing(...INSPECTED, name, async () => {
    let [few, many] = [await counted(`${name}: few`), await counted(`${name}: many`)];
    const grows = () => many.steps > 1.5 * few.steps + 60;
    // Some steps depend on what the event loop does meanwhile. What grows with the size does so each time.
    for (let more = 0; more < 2 && grows(); more++) {
      const again = await countsOf(name);
      [few, many] = [again[`${name}: few`]!, again[`${name}: many`]!];
    }
    assert.not(grows(), `${few.steps} steps while few wait, ${many.steps} while many do`);
  });

for (const kind of ["stream", "seqpacket"]) {
  for (const where of ["a large read", "the end of a large read", "a search"]) {
    const name = `bytes that trickle into ${where}: ${kind}`;
    test.needing(...INSPECTED, `${name}: the queue is not copied for each`, async () => {
      const { copied } = await counted(name);
      // The buffer may grow once meanwhile.
      assert.ok(copied <= 5 << 20, `${copied} bytes were copied`);
    });
  }

  test.needing(
    ...INSPECTED,
    `a frame of 4 MiB: ${kind}: its bytes are copied once, and only by the receiver`,
    async () => {
      const { copied, allocated } = await counted(`a frame of 4 MiB: ${kind}`);
      // And a part of those records that have no room in what half or a quarter of it is received into.
      assert.ok(copied <= 1.1 * (4 << 20), `${copied} bytes were copied`);
      // What it is received into, and before that half of it, a quarter of it ...
      assert.ok(allocated <= (8 << 20) + 3 * 65536, `${allocated} bytes were allocated`);
    },
  );

  test.needing(
    ...INSPECTED,
    `an announcement of 16 MiB: ${kind}: costs at most four times what has come of it`,
    async () => {
      const { allocated } = await counted(`an announcement of 16 MiB: ${kind}`);
      assert.ok(allocated <= 4 * 80_000, `${allocated} bytes were allocated`);
    },
  );
}

test.run();
