import { chmodSync, lstatSync, readdirSync, rmSync, type Stats } from 'node:fs';
import { createConnection, createServer, type Server, Socket } from 'node:net';
import { join } from 'node:path/posix';
import { createServer as createTlsServer } from 'node:tls';
import { adoptSocket } from './adopt-socket.ts';
import { inUri, isAnyAddress } from './networks.ts';
import { descriptorOf, limitUnacknowledged } from './socket-options.ts';
import { SystemError, type SystemErrorCode, systemError } from '../base/system-error.ts';
import { secureAsClient, type TlsServer } from './tls-client.ts';
import { type UnixPeer, unixPeer } from './unix-peer.ts';

export type Address =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  /** A listening socket that another process opened and passed on (systemd). */
  | { readonly kind: 'fd'; readonly fd: number };

export type PeerAddress = Exclude<Address, { kind: 'fd' }>;

/** A host by its address: IPv4 is never written as IPv6. */
export interface Peer {
  readonly address: string;
  readonly port: number;
  /** The owner of its socket, if it is on this machine and was looked up (socket-owner.ts). */
  readonly user?: number | undefined;
}

/** A connected stream of bytes. Nothing is received before `start`. */
export interface ByteStream {
  /** Set for a stream over TCP. */
  readonly peer: Peer | undefined;
  /** Our own end of it. */
  readonly local: Peer | undefined;
  /**
   * The process at the other end of a unix socket: one that connected to a socket that is open to all users, or, where
   * the caller of `connect` asked for it, the one that listens.
   */
  readonly process: UnixPeer | undefined;
  /** `bytes` are lent until the call returns. */
  onBytes: (bytes: Uint8Array) => void;
  /** Called once, whichever side ended it; with the error that ended it. */
  onClose: (error: Error | undefined) => void;
  start(): void;
  /** `bytes` are lent until `sent` is called, which does not happen once the stream has ended. */
  write(bytes: Uint8Array, sent?: () => void): void;
  pause(): void;
  resume(): void;
  /** Ends the stream with UNREACHABLE if nothing moves for that long; undefined: silence is allowed. */
  limitSilence(ms: number | undefined): void;
  /** From now on all data is received into this one memory, instead of new memory for each piece. */
  receiveInto(memory: Uint8Array): void;
  /** Begins TLS, as the side that accepted. Rejects if the peer does not complete it. */
  secure(credentials: TlsCredentials): Promise<void>;
  /** Begins TLS, as the side that connected. Rejects DENIED if the server is not the one meant, UNREACHABLE, IO. */
  secureTo(server: TlsServer): Promise<void>;
  /** Sends all pending writes, then closes. */
  end(): void;
  destroy(): void;
}

export type TlsCredentials =
  | {
      readonly kind: 'x509';
      readonly key: Uint8Array;
      readonly certificate: Uint8Array;
      /** If given, a peer without a certificate by this authority is refused. */
      readonly authority: Uint8Array | undefined;
    }
  | { readonly kind: 'psk'; readonly keyOf: (identity: string) => Uint8Array | undefined };

/** Disposing refuses new peers; streams that are open stay. */
export interface Listener extends AsyncDisposable {
  /** The address at which it listens; if port 0 was given, with the port that was chosen. */
  readonly address: Address;
  /** The TCP port, regardless of who opened the socket. */
  readonly port: number | undefined;
}

/** From then on a silent peer is probed every second (libuv), until DEAD_AFTER_MS are over. */
const PROBE_AFTER_MS = 20_000;
/** Longer than a network's usual hiccups, and longer than a guest's host is frozen for a snapshot. */
const DEAD_AFTER_MS = 120_000;
const SERVER_OPTIONS = {
  ...{ pauseOnConnect: true, noDelay: true },
  ...{ keepAlive: true, keepAliveInitialDelay: PROBE_AFTER_MS },
};

/** A host that vanished must not keep its old connections open after it returns and makes new ones. */
function limitDeadPeer(socket: Socket): void {
  const fd = descriptorOf(socket);
  if (fd !== undefined) limitUnacknowledged(fd, DEAD_AFTER_MS);
}

export interface ListenOptions {
  /** A unix socket: all users of this machine may connect; the caller must check who they are. */
  readonly forAllUsers?: boolean;
}

/**
 * Listens. A unix socket is made for this user only, unless `forAllUsers`; one that a dead process left is replaced.
 */
export async function listen(
  address: Address,
  onStream: (stream: ByteStream) => void,
  { forAllUsers = false }: ListenOptions = {},
): Promise<Listener> {
  const isOpen = forAllUsers && address.kind === 'unix';
  if (address.kind === 'unix') await clearPath(address.path);
  const server = createServer(SERVER_OPTIONS, (socket) => {
    if (address.kind !== 'unix') limitDeadPeer(socket);
    onStream(streamOf(socket, isOpen ? unixPeer(socket) : undefined));
  });
  const begin = (at: Address): Promise<void> =>
    new Promise((resolve, reject) => {
      server.once('error', (cause) => reject(systemError(cause, `listen on ${shown(at)}`)));
      server.listen(listenOptions(at), resolve);
    });
  await anyFamily(address, begin);
  // A peer that cannot be accepted (no descriptors left) must affect no other peer.
  server.on('error', () => {});
  if (address.kind === 'unix') {
    const { path } = address;
    try {
      doing(`restrict ${path} to its users`, () => chmodSync(path, isOpen ? 0o666 : 0o600));
    } catch (cause) {
      server.close();
      throw cause;
    }
  }
  return {
    address: address.kind === 'tcp' ? { ...address, port: portOf(server) ?? 0 } : address,
    port: portOf(server),
    async [Symbol.asyncDispose]() {
      // Without a callback, which would wait for all streams.
      server.close();
    },
  };
}

export interface ConnectOptions {
  /** `ByteStream.process` is to be known. */
  readonly isPeerWanted?: boolean;
}

/** Rejects UNREACHABLE, NOT_FOUND (no such socket); anything if `signal` is aborted before it is connected. */
export async function connect(
  address: PeerAddress,
  signal?: AbortSignal,
  { isPeerWanted = false }: ConnectOptions = {},
): Promise<ByteStream> {
  const socket =
    address.kind === 'unix'
      ? createConnection({ path: address.path })
      : createConnection({ host: address.host, port: address.port, noDelay: true });
  socket.pause();
  const leave = (): void => void socket.destroy(new SystemError('UNREACHABLE', 'it was canceled'));
  signal?.addEventListener('abort', leave, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', (cause) => reject(systemError(cause, `connect to ${shown(address)}`)));
      socket.once('connect', resolve);
    });
  } finally {
    signal?.removeEventListener('abort', leave);
  }
  socket.removeAllListeners('error');
  return streamOf(socket, isPeerWanted ? unixPeer(socket) : undefined);
}

/** With `ipv6.disable=1` the kernel has no IPv6 at all, and all addresses are those of IPv4. */
const NO_FAMILY = 'EAFNOSUPPORT';

/** Calls `begin` to listen at a place. If that means all addresses and there is no IPv6: at all IPv4 addresses. */
export async function anyFamily<At extends object, T>(
  at: At,
  begin: (at: At) => Promise<T>,
): Promise<T> {
  try {
    return await begin(at);
  } catch (cause) {
    const isAll = 'host' in at && typeof at.host === 'string' && isAnyAddress(at.host);
    const { code } = ((cause as Error).cause ?? {}) as NodeJS.ErrnoException;
    if (!isAll || code !== NO_FAMILY) throw cause;
    return begin({ ...at, host: '0.0.0.0' });
  }
}

function shown(address: Address): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  return address.kind === 'tcp' ? `tcp:${inUri(address.host)}:${address.port}` : `fd:${address.fd}`;
}

function listenOptions(address: Address) {
  if (address.kind === 'unix') return { path: address.path };
  if (address.kind === 'fd') return { fd: address.fd };
  return { host: address.host, port: address.port };
}

function portOf(server: Server): number | undefined {
  const bound = server.address();
  return typeof bound === 'object' && bound ? bound.port : undefined;
}

const MAPPED_V4 = '::ffff:';

/** A socket for both families calls IPv4 peers by an IPv6 name. */
export function plainAddress(address: string): string {
  return address.startsWith(MAPPED_V4) && address.includes('.')
    ? address.slice(MAPPED_V4.length)
    : address;
}

/** The kernel's own limit for the path of a unix socket. */
const UNIX_PATH_MAX = 107;

/** Makes a path free for a socket: removes one that a dead process left. Rejects BUSY, EXISTS, DENIED, IO. */
export async function clearPath(path: string): Promise<void> {
  if (Buffer.byteLength(path) > UNIX_PATH_MAX) {
    throw new SystemError('IO', `${path}: a socket's path has at most ${UNIX_PATH_MAX} bytes`);
  }
  const status = statusOf(path);
  if (!status) return;
  if (!status.isSocket()) throw new SystemError('EXISTS', `${path} is in the way of a socket`);
  if (await isListenedAt(path))
    throw new SystemError('BUSY', `${path}: another process listens there`);
  doing(`remove ${path}`, () => rmSync(path, { force: true }));
}

function statusOf(path: string): Stats | undefined {
  return doing(`look at ${path}`, () => lstatSync(path, { throwIfNoEntry: false }));
}

/** If in doubt (its queue is full, it belongs to another user), the answer is yes. */
async function isListenedAt(path: string): Promise<boolean> {
  try {
    const probe = await connect({ kind: 'unix', path });
    probe.destroy();
    return true;
  } catch (cause) {
    return !(cause instanceof SystemError && DEAD.has(cause.code));
  }
}

/** No process listens, or the socket has gone in the meantime. */
const DEAD: ReadonlySet<SystemErrorCode> = new Set(['UNREACHABLE', 'NOT_FOUND']);

/**
 * Removes those of this user's sockets in a directory whose names match and at which no process listens any longer,
 * and returns their paths. Rejects if the directory cannot be read.
 */
export async function clearSockets(
  directory: string,
  isOurs: (name: string) => boolean,
): Promise<string[]> {
  const removed: string[] = [];
  for (const name of doing(`list ${directory}`, () => readdirSync(directory))) {
    const path = join(directory, name);
    const status = isOurs(name) ? statusOf(path) : undefined;
    if (!status?.isSocket() || status.uid !== process.getuid?.()) continue;
    if (await isListenedAt(path)) continue;
    doing(`remove ${path}`, () => rmSync(path, { force: true }));
    removed.push(path);
  }
  return removed;
}

/** Node refuses some paths itself before it asks the kernel, with errors unlike the kernel's. */
function doing<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw systemError(cause, what);
  }
}

function peerOf(address: string | undefined, port: number | undefined): Peer | undefined {
  if (address === undefined || port === undefined) return undefined;
  return { address: plainAddress(address), port };
}

function streamOf(accepted: Socket, process?: UnixPeer): ByteStream {
  let socket = accepted;
  let closed = false;
  let failure: Error | undefined;
  let silenceMs: number | undefined;

  function wire(next: Socket): void {
    socket = next;
    next.on('error', (cause) => (failure ??= cause));
    next.on('close', () => {
      if (closed || next !== socket) return;
      closed = true;
      stream.onClose(failure);
    });
    // A peer that closes its half sends no further requests.
    next.on('end', () => next.end());
  }
  function flow(): void {
    socket.on('data', (bytes: Uint8Array) => stream.onBytes(bytes));
    socket.resume();
  }
  function unwire(): void {
    socket.removeAllListeners('data');
    socket.removeAllListeners('end');
  }
  const { remoteAddress, remotePort, localAddress, localPort } = accepted;
  const stream: ByteStream = {
    peer: peerOf(remoteAddress, remotePort),
    local: peerOf(localAddress, localPort),
    process,
    onBytes() {},
    onClose() {},
    start: flow,
    write(bytes, sent) {
      if (socket.destroyed) return;
      socket.write(bytes, sent && ((cause) => void (cause || sent())));
    },
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    limitSilence(ms) {
      silenceMs = ms;
      socket.removeAllListeners('timeout');
      socket.setTimeout(ms ?? 0);
      if (ms === undefined) return;
      const seconds = Math.ceil(ms / 1000);
      const silent = new SystemError('UNREACHABLE', `nothing was heard for ${seconds} s`);
      socket.once('timeout', () => socket.destroy(silent));
    },
    receiveInto(memory) {
      if (!(socket instanceof Socket) || 'encrypted' in socket) return;
      const old = socket;
      if (old.writableLength > 0) {
        // The last bytes of a handshake are still on their way.
        old.write('', () => closed || stream.receiveInto(memory));
        return;
      }
      const next = adoptSocket(old, memory, (bytes) => stream.onBytes(bytes));
      if (!next) return;
      old.setTimeout(0);
      unwire();
      wire(next);
      stream.limitSilence(silenceMs);
      next.resume();
    },
    async secure(credentials) {
      unwire();
      const plain = socket;
      const server = createTlsServer(serverOptions(credentials));
      const next = await new Promise<Socket>((resolve, reject) => {
        server.once('secureConnection', resolve);
        server.once('tlsClientError', reject);
        plain.once('close', () => reject(new SystemError('UNREACHABLE', 'peer left during TLS')));
        server.emit('connection', plain);
      });
      wire(next);
      flow();
    },
    async secureTo(server) {
      const limit = silenceMs;
      stream.limitSilence(undefined);
      unwire();
      wire(await secureAsClient(socket, server, limit));
      stream.limitSilence(limit);
      flow();
    },
    end: () => void socket.end(),
    destroy: () => void socket.destroy(),
  };
  wire(accepted);
  return stream;
}

const PSK_CIPHERS = 'PSK:DEFAULT';

function serverOptions(credentials: TlsCredentials) {
  if (credentials.kind === 'psk') {
    const { keyOf } = credentials;
    return {
      ciphers: PSK_CIPHERS,
      pskCallback: (_socket: unknown, identity: string) => keyOf(identity) ?? null,
    };
  }
  const { key, certificate, authority } = credentials;
  return {
    key: Buffer.from(key),
    cert: Buffer.from(certificate),
    ...(authority && { ca: Buffer.from(authority), requestCert: true, rejectUnauthorized: true }),
  };
}
