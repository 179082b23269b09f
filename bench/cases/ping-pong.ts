/** Two processes, a message each way in turn. */

import { type Case, contest, times } from "../case.ts";
import { Contestant } from "../contestant.ts";

export const pingPong: Case = {
  name: "ping-pong",
  title: "asynchronous ping-pong of two processes, 64 bytes and one descriptor each way",
  async run({ pace }) {
    const { ours, net, server, socket } = await contest(
      {
        ours: Contestant.node("ping-pong"),
        net: Contestant.node("ping-pong-net"),
        server: Contestant.node("ping-pong-ipc", "server"),
        socket: Contestant.node("ping-pong-ipc", "socket"),
      },
      pace,
    );
    const what = "a descriptor each way";
    return [
      times(what, ours, "net.Socket, no descriptor", net, { atMost: 1.1 }),
      times(what, ours, "child_process.send, a net.Server", server, { atMost: 0.15 }),
      times(what, ours, "child_process.send, a net.Socket", socket, { atMost: 0.15 }),
    ];
  },
};
