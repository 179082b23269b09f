/** A whole program: it imports only the package, sends and receives one descriptor, and ends. */

import { UnixStream } from "unix-ancillary";

const [left, right] = UnixStream.pair();
left.sendFdsSync("x", [0]);
const { fds } = right.recvFdsSync(1);
if (fds.length !== 1) throw new Error("the descriptor is missing");
fds[0]!.close();
left.close();
right.close();
