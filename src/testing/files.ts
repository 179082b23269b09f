/** What descriptors of the virtual kernel refer to: files, and sockets with their queues. */

import type { SocketType } from "../system/socket-type.ts";

/** A process and its user, as senders of messages. */
export interface Sender {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** What else the kernel knows of a process that has a socket. */
export interface Owner extends Sender {
  /** Supplementary groups. */
  readonly groups: readonly number[];
  /** Security label (Linux); null: no security module gives it one. */
  readonly label: string | null;
}

/** An open file description: shared by every descriptor that was duplicated or passed. */
export class OpenFile {
  readonly kind: "file" | "directory" | "socket" | "pidfd";
  /** The name by which a test knows it. */
  readonly name: string;
  nonblocking = false;
  /** Descriptors, and messages in flight, that refer to it. */
  references = 0;

  constructor(kind: OpenFile["kind"], name: string) {
    this.kind = kind;
    this.name = name;
  }

  /** Called when the last reference is dropped. */
  released(): void {}
}

/** A file whose last close waits: a TCP socket with SO_LINGER, a file of a server that does not answer. */
export class SlowFile extends OpenFile {
  readonly #closed: () => void;

  constructor(name: string, closed: () => void) {
    super("file", name);
    this.#closed = closed;
  }

  override released(): void {
    this.#closed();
  }
}

/** A memfd (Linux). Its bytes are kept, so that tests can read them. */
export class MemoryFile extends OpenFile {
  seals: number;
  bytes: Uint8Array = new Uint8Array(0);

  constructor(name: string, seals: number) {
    super("file", `/memfd:${name} (deleted)`);
    this.seals = seals;
  }
}

/** A slot of a descriptor table. */
export interface Descriptor {
  readonly file: OpenFile;
  cloexec: boolean;
}

/** Bytes that were sent together, and the control data that belong to the first of them. */
export interface Segment {
  readonly bytes: Uint8Array;
  /** How many of them were received. */
  taken: number;
  /** One list for each SCM_RIGHTS; null once delivered. */
  rights: OpenFile[][] | null;
  /** Behind how many of these the kernel adds the credentials that the sender asked for; null: it asked for none. */
  credentialsAt: number | null;
  /** Null: neither end passed credentials when it was sent. */
  readonly sender: Sender | null;
  /** The process that sent it: its user has the descriptors in flight. */
  readonly owner: Owner;
  /** The socket it was sent on. */
  readonly from: Socket;
  /** Whether it has the end of a record, where a mark ends it (FreeBSD 15). */
  readonly mark: boolean;
}

/** A Unix socket. */
export class Socket extends OpenFile {
  readonly type: SocketType;
  /** The process that made it, or that listened. */
  readonly owner: Owner;
  peer: Socket | null = null;
  /** The peer's process, for `getsockopt`; null: it was never connected. */
  peerOwner: Owner | null = null;
  /** The name of a peer that is closed. */
  lastPeerPath: Uint8Array | null = null;
  readonly queue: Segment[] = [];
  /** Connections that are not accepted yet; null: it does not listen. */
  backlog: Socket[] | null = null;
  backlogLimit = 0;
  path: Uint8Array | null = null;
  shutRead = false;
  shutWrite = false;
  /** A pending error, positive; 0: none. */
  error = 0;
  readonly options: Map<number, number> = new Map();
  readonly #unbind: (socket: Socket) => void;

  constructor(type: SocketType, owner: Owner, unbind: (socket: Socket) => void) {
    super("socket", type);
    this.type = type;
    this.owner = owner;
    this.#unbind = unbind;
  }

  get queuedBytes(): number {
    return this.queue.reduce((sum, { bytes, taken }) => sum + bytes.length - taken, 0);
  }

  /** Whether no more bytes can be received, beside those in the queue. */
  get ended(): boolean {
    return this.shutRead;
  }

  connect(peer: Socket): void {
    this.peer = peer;
    peer.peer = this;
    this.peerOwner = peer.owner;
    peer.peerOwner = this.owner;
  }

  /** Shuts directions, on both ends of a connection. */
  shut(read: boolean, write: boolean): void {
    this.shutRead ||= read;
    this.shutWrite ||= write;
    if (this.type === "dgram" || this.peer === null) return;
    this.peer.shutRead ||= write;
    this.peer.shutWrite ||= read;
  }

  override released(): void {
    const { peer } = this;
    this.shut(true, true);
    if (peer !== null && peer.peer === this && this.type !== "dgram") {
      if ((this.resetsUnread && this.#unread) || this.peerNotAccepted) peer.error = this.resetError;
      peer.lastPeerPath = this.path;
      peer.peer = null;
    }
    this.peer = null;
    for (const segment of this.queue.splice(0)) discard(segment);
    for (const waiting of this.backlog?.splice(0) ?? []) unreference(waiting);
    this.#unbind(this);
  }

  /** Whether messages are unread. Where a first one without bytes does not count was measured on Linux 5.10, 6.1 and 6.18. */
  get #unread(): boolean {
    const [first] = this.queue;
    return this.queue.length > (first?.bytes.length === 0 && !this.emptyFirstIsUnread ? 1 : 0);
  }

  /** ECONNRESET of the host, positive; set when it is made. */
  resetError = 0;
  /** Whether its close with unread messages resets the peer (Linux, unix_release_sock). */
  resetsUnread = false;
  /** Whether a first message without bytes counts as unread then. */
  emptyFirstIsUnread = false;
  /** It is in a backlog; the close of the listener resets the peer. */
  peerNotAccepted = false;
}

/** Whether bytes of several sends may be received together, and a part of one: on a stream, and of records that end at marks. */
export function isStreamed({ type }: Socket, { recordMark }: { readonly recordMark: boolean }): boolean {
  return type === "stream" || (type === "seqpacket" && recordMark);
}

/** Whether it is a record without bytes and control data. */
export function isEmptyRecord({ type }: Socket, segment: Segment): boolean {
  return type === "seqpacket" && segment.bytes.length === 0 && !isCarrier(segment);
}

export function unreference(file: OpenFile): void {
  if (--file.references === 0) file.released();
}

/** Drops the descriptors in flight of a segment. */
export function discard(segment: Segment): void {
  const { rights } = segment;
  segment.rights = null;
  for (const files of rights ?? []) for (const file of files) unreference(file);
}

/** Whether it has control data. */
export function isCarrier({ rights, credentialsAt }: Segment): boolean {
  return rights !== null || credentialsAt !== null;
}

/** Sockets in flight that can never be received: neither a descriptor table nor the queues behind one lead to them. */
export function unreachable(roots: Iterable<OpenFile>, inFlight: Iterable<Segment>): Socket[] {
  const reached = new Set<OpenFile>();
  const open = [...roots];
  for (let file = open.pop(); file !== undefined; file = open.pop()) {
    if (reached.has(file)) continue;
    reached.add(file);
    if (!(file instanceof Socket)) continue;
    open.push(...(file.backlog ?? []));
    for (const { rights } of file.queue) if (rights !== null) open.push(...rights.flat());
  }
  const lost = new Set<Socket>();
  for (const { rights } of inFlight)
    for (const file of rights?.flat() ?? []) if (file instanceof Socket && !reached.has(file)) lost.add(file);
  return [...lost];
}

/**
 * Sockets that only messages refer to, and that no open socket which is in flight itself would receive (XNU, unp_gc: its list has
 * only files in flight, so the queues of other sockets are not searched).
 */
export function onlyInFlight(inFlight: Iterable<Segment>): Socket[] {
  const counts = new Map<OpenFile, number>();
  for (const { rights } of inFlight)
    for (const file of rights?.flat() ?? []) counts.set(file, (counts.get(file) ?? 0) + 1);
  const reached = new Set<OpenFile>();
  const open = [...counts].filter(([file, count]) => file.references > count).map(([file]) => file);
  for (let file = open.pop(); file !== undefined; file = open.pop()) {
    if (reached.has(file)) continue;
    reached.add(file);
    if (file instanceof Socket) for (const { rights } of file.queue) open.push(...(rights?.flat() ?? []));
  }
  return [...counts.keys()].filter((file) => file instanceof Socket && !reached.has(file)) as Socket[];
}
