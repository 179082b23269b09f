/** The caller's buffers: what they have of their own does not run between a system call and the end of a receive. */

import { UnixSeqpacket, UnixStream } from "unix-ancillary";
import * as assert from "uvu/assert";
import { errorOf, leakChecked } from "../support.ts";

const test = leakChecked("buffers");

/** A buffer whose members are all the caller's. */
function own(length: number, ran: (member: string) => void): Uint8Array {
  const bytes = new Uint8Array(length);
  for (const member of ["length", "byteLength", "byteOffset", "buffer", "subarray", "slice", "set", "constructor"])
    Object.defineProperty(bytes, member, {
      get: () => {
        ran(member);
        return undefined;
      },
    });
  return bytes;
}

for (const [name, into] of [
  ["one buffer", (ran: (member: string) => void) => own(6, ran)],
  ["a list of buffers", (ran: (member: string) => void) => [own(2, ran), own(0, ran), own(9, ran)]],
  // More than one system call takes: the library receives into one buffer, and copies.
  ["1,100 buffers", (ran: (member: string) => void) => Array.from({ length: 1100 }, () => own(1, ran))],
] as const) {
  test(`own-members-of-buffers: the bytes of a refused message are copied out of ${name}`, async () => {
    const ran: string[] = [];
    const [a, b] = UnixSeqpacket.pair();
    const text = "longer than the buffers".repeat(100);
    a.sendFdsSync(text);
    const error = await errorOf(() =>
      b.recvFdsIntoSync(
        into((member) => void ran.push(member)),
        0,
      ),
    );
    assert.is((error as { code?: string }).code, "ERR_DATA_TRUNCATED");
    const { data } = error as unknown as { data: Buffer };
    assert.ok(data.length >= 6 && text.startsWith(data.toString()), data.toString());
    assert.equal(ran, []);
    a.close();
    b.close();
  });
}

test("memory-transferred: what was received before is taken away, and receives go on in memory of their own", () => {
  const [a, b] = UnixStream.pair();
  const received = (text: string) => {
    a.sendFdsSync(text);
    return b.recvFdsSync(0).data;
  };
  // After some messages, several share their memory.
  for (let i = 0; i < 20; i++) received("to share memory");
  const { buffer } = received("transferred") as unknown as { buffer: ArrayBuffer & { transfer?(): ArrayBuffer } };
  // Node 20 copies what is marked as untransferable, Node 22 has `transfer`, which takes it, and Node 26 refuses.
  let taken: ArrayBuffer | undefined;
  try {
    taken = buffer.transfer === undefined ? structuredClone(buffer, { transfer: [buffer] }) : buffer.transfer();
  } catch (error) {
    assert.match(String(error), "not detachable");
  }
  const before = taken?.slice(0);
  for (const text of ["the first", "the second"]) assert.is(received(text).toString(), text);
  assert.equal(taken, before);
  a.close();
  b.close();
});

test.run();
