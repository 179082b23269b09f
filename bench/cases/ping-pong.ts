/** Two processes, a message each way in turn. */

import { type Case, contest, times } from "../case.ts";
import { Contestant, processor, usocketContestant } from "../contestant.ts";

export const pingPong: Case = {
  name: "ping-pong",
  title: "asynchronous ping-pong of two processes on one processor, 64 bytes and a descriptor each way",
  async run({ pace, skip }) {
    const cpu = processor();
    if (cpu instanceof Error) skip("both processes on one processor", cpu.message);
    const rival = usocketContestant();
    if (rival instanceof Error) skip("usocket", rival.message);
    const { ours, net, c, bare, usocket, server, socket } = await contest(
      {
        ours: Contestant.onOneProcessor("ping-pong"),
        net: Contestant.onOneProcessor("ping-pong-net"),
        c: Contestant.cOnOneProcessor("ping-pong", 1),
        bare: Contestant.cOnOneProcessor("ping-pong", 0),
        ...(rival instanceof Error ? {} : { usocket: rival }),
        server: Contestant.onOneProcessor("ping-pong-ipc", "server"),
        socket: Contestant.onOneProcessor("ping-pong-ipc", "socket"),
      },
      pace,
    );
    const what = "a descriptor each way";
    return [
      times(what, ours, "net.Socket, no descriptor", net, { atMost: 1.1 }),
      times(what, ours, "C", c, { atMost: 1.5 }),
      // What Node itself takes: the floor of this target.
      times("net.Socket, no descriptor", net, "C, a descriptor each way", c),
      // The time that the kernel takes for the descriptors alone.
      times("C, a descriptor each way", c, "C, no descriptor", bare),
      ...(usocket === undefined ? [] : [times(what, ours, "usocket", usocket)]),
      times(what, ours, "child_process.send, a net.Server", server, { atMost: 0.15 }),
      times(what, ours, "child_process.send, a net.Socket", socket, { atMost: 0.15 }),
    ];
  },
};
