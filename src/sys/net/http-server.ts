import { chmodSync } from 'node:fs';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { createSecureContext } from 'node:tls';
import { SchemaError } from '../../lib/schema.ts';
import { type ConnectionRoom, connectionRoom, type Occupant } from './connection-room.ts';
import { clearPath, plainAddress } from './network.ts';
import { inUri, peerNetwork } from './networks.ts';
import { SystemError, systemError } from '../base/system-error.ts';
import type { X509Credentials } from './tls-credentials.ts';
import { type UnixPeer, unixPeer } from './unix-peer.ts';

/*
 * HTTP 1.1 over a unix socket, or over TLS for other hosts, within bounds: no input of a peer ends more than its own
 * connection.
 */
export interface HttpRequest {
  readonly method: string;
  /** The path without the query. */
  readonly path: string;
  /** Undefined: the kernel did not identify it. */
  readonly peer: UnixPeer | undefined;
  /** Over TLS: its address, and the credentials that it shows. */
  readonly remote?: { readonly address: string; readonly authorization: string };
  readonly accept: string;
  /** The whole body. Rejects FAILED if it is too long or its sender has gone. */
  body(): Promise<Uint8Array>;
  /** Aborted when the peer disconnects before it got its answer. */
  readonly signal: AbortSignal;
  /** Begins the answer; the connection ends with it if `close`. */
  begin(status: number, type: string, close?: boolean): void;
  /** Sends a piece of the answer that has begun. A peer that does not read it is disconnected. */
  send(text: string): void;
  end(): void;
}

export interface HttpServer extends AsyncDisposable {
  /** Refuses new connections and closes idle ones. Resolves when all requests are answered. */
  drain(): Promise<void>;
}

export interface HttpServerOptions {
  readonly at: HttpPlace;
  /** Whether a peer has any access: all peers without share a small number of connections. */
  readonly knows: (peer: UnixPeer) => boolean;
  readonly onRequest: (request: HttpRequest) => Promise<void>;
  /** The handler failed, which is our own fault; the peer is disconnected. */
  readonly onError: (error: unknown) => void;
}

export type HttpPlace =
  | { readonly kind: 'unix'; readonly path: string }
  /**
   * A listening unix socket that systemd opened: it stays open, with its waiting connections, when this process ends.
   */
  | { readonly kind: 'fd'; readonly fd: number };

const HEADERS_LENGTH_MAX = 16 * 1024;
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
const KEEP_ALIVE_MS = 5000;
const KEEP_ALIVE_PROBE_MS = 60_000;
/** A request holds names; the longest is a list of a machine's disks. */
const BODY_LENGTH_MAX = 1024 * 1024;
/** An answer waits in memory for a slow reader up to this length. */
const UNSENT_MAX = 8 * 1024 * 1024;

const LIMITS = {
  maxHeaderSize: HEADERS_LENGTH_MAX,
  headersTimeout: HEADERS_TIMEOUT_MS,
  requestTimeout: REQUEST_TIMEOUT_MS,
  keepAliveTimeout: KEEP_ALIVE_MS,
  connectionsCheckingInterval: HEADERS_TIMEOUT_MS / 2,
} as const;

interface Known {
  readonly peer: UnixPeer | undefined;
  readonly place: Occupant;
}

function admitted(socket: Socket, room: ConnectionRoom): Known | undefined {
  socket.on('error', () => {});
  const peer = unixPeer(socket);
  const place = room.enter(peer, () => socket.destroy());
  if (place) socket.once('close', place.leave);
  else socket.destroy();
  return place && { peer, place };
}

/** Every user of this machine may connect: access depends on who the user is. */
export async function serveHttp({
  at,
  knows,
  onRequest,
  onError,
}: HttpServerOptions): Promise<HttpServer> {
  if (at.kind === 'unix') await clearPath(at.path);
  const peers = new WeakMap<Socket, Known>();
  const answer: RequestListener = (message, response) => {
    const known = peers.get(message.socket);
    known?.place.busy(true);
    response.once('close', () => known?.place.busy(false));
    const request = requestOf(message, response, known?.peer);
    onRequest(request).catch((error: unknown) => {
      message.socket.destroy();
      onError(error);
    });
  };
  const server = createServer(LIMITS, answer);
  server.on('checkContinue', answer);
  const room = connectionRoom(knows);
  server.on('connection', (socket) => {
    const known = admitted(socket, room);
    if (known) peers.set(socket, known);
  });
  server.on('clientError', (_error, socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(systemError(cause, `listen on ${shown(at)}`)));
    server.listen(at.kind === 'unix' ? { path: at.path } : { fd: at.fd }, resolve);
  });
  server.on('error', () => {});
  if (at.kind === 'unix') chmodSync(at.path, 0o666);
  return httpServer(server);
}

export interface HttpsServer extends HttpServer {
  /** The port; if 0 was given, the one that was chosen. */
  readonly port: number;
  /** Later connections get the new certificate. Throws FAILED if it is not a certificate with its key. */
  renew(credentials: X509Credentials): void;
}

export interface HttpsServerOptions extends Omit<HttpServerOptions, 'at' | 'knows'> {
  readonly at: { readonly host: string; readonly port: number };
  readonly credentials: X509Credentials;
}

/** Each connection takes a descriptor. */
const CONNECTIONS_MAX = 128;
/** Connections of one host, regardless of which of its IPv6 addresses it uses: other hosts need room too. */
const CONNECTIONS_OF_NETWORK_MAX = 16;

/** Requests that are sent without waiting for answers take memory each, before their sender is authenticated. */
const REQUESTS_OF_CONNECTION_MAX = 32;

/** Every host that reaches the port may connect, by TLS 1.3 only: each request must carry its credentials. */
export async function serveHttps({
  at,
  credentials,
  onRequest,
  onError,
}: HttpsServerOptions): Promise<HttpsServer> {
  const options = {
    ...LIMITS,
    ...secureOptions(credentials),
    handshakeTimeout: HEADERS_TIMEOUT_MS,
  };
  const answer: RequestListener = (message, response) => {
    const { authorization = '' } = message.headers;
    const address = plainAddress(message.socket.remoteAddress ?? '');
    const remote = { address, authorization };
    onRequest({ ...requestOf(message, response, undefined), remote }).catch((error: unknown) => {
      message.socket.destroy();
      onError(error);
    });
  };
  const server = createTlsServer(options, answer);
  server.on('checkContinue', answer);
  limitConnections(server);
  server.maxRequestsPerSocket = REQUESTS_OF_CONNECTION_MAX;
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  server.on('clientError', (_error, socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    const where = `${inUri(at.host)}:${at.port}`;
    server.once('error', (cause) => reject(systemError(cause, `listen on ${where}`)));
    server.listen(at, resolve);
  });
  server.on('error', () => {});
  const bound = server.address();
  return {
    ...httpServer(server),
    port: typeof bound === 'object' && bound ? bound.port : at.port,
    renew: (next) => server.setSecureContext(secureOptions(next)),
  };
}

interface Connected {
  readonly socket: Socket;
  readonly network: string;
}

/**
 * A full server does not turn away a host that has few connections: the host with the most loses its oldest one. At
 * this point nothing else is known about the peers.
 */
function limitConnections(server: TlsServer): void {
  const inside = new Set<Connected>();
  server.on('connection', (socket: Socket) => {
    socket.on('error', () => {});
    // Detects a host that vanished.
    socket.setKeepAlive(true, KEEP_ALIVE_PROBE_MS);
    const network = peerNetwork(plainAddress(socket.remoteAddress ?? ''));
    const its = [...inside].filter((it) => it.network === network).length;
    if (its >= CONNECTIONS_OF_NETWORK_MAX) {
      socket.destroy();
      return;
    }
    if (inside.size >= CONNECTIONS_MAX) {
      const hosts = [...Map.groupBy(inside, (it) => it.network).values()];
      const most = hosts.reduce((a, b) => (b.length > a.length ? b : a));
      if (most.length <= its + 1) {
        socket.destroy();
        return;
      }
      const [longest] = most;
      inside.delete(longest!);
      longest!.socket.destroy();
    }
    const it: Connected = { socket, network };
    inside.add(it);
    socket.once('close', () => inside.delete(it));
  });
}

function secureOptions({ key, certificate }: X509Credentials) {
  const options = {
    key: Buffer.from(key),
    cert: Buffer.from(certificate),
    minVersion: 'TLSv1.3',
  } as const;
  try {
    createSecureContext(options);
  } catch (cause) {
    const { message } = cause as Error;
    throw new SystemError('FAILED', `not a certificate with its key: ${message}`, { cause });
  }
  return options;
}

function shown(at: HttpPlace): string {
  return at.kind === 'unix' ? at.path : `descriptor ${at.fd}`;
}

function httpServer(server: Server | TlsServer): HttpServer {
  let closed: Promise<void> | undefined;
  function close(): Promise<void> {
    closed ??= new Promise((resolve) => void server.close(() => resolve()));
    server.closeIdleConnections();
    return closed;
  }
  return {
    drain: close,
    async [Symbol.asyncDispose]() {
      const done = close();
      server.closeAllConnections();
      await done;
    },
  };
}

function requestOf(
  message: IncomingMessage,
  response: ServerResponse,
  peer: UnixPeer | undefined,
): HttpRequest {
  const left = new AbortController();
  response.on('close', () => {
    if (response.writableFinished) return;
    left.abort(new SystemError('UNREACHABLE', 'the client has disconnected'));
  });
  message.on('error', () => {});
  response.on('error', () => {});
  return {
    method: message.method ?? '',
    path: (message.url ?? '').split('?')[0]!,
    peer,
    accept: message.headers.accept ?? '',
    body: () => bodyOf(message, response),
    signal: left.signal,
    begin(status, type, close = false) {
      response.writeHead(status, {
        ...{ 'content-type': type, 'cache-control': 'no-store' },
        ...(close && { connection: 'close' }),
      });
    },
    send(text) {
      if (response.destroyed) return;
      response.write(text);
      if (response.writableLength > UNSENT_MAX) response.destroy();
    },
    end: () => void response.end(),
  };
}

async function bodyOf(message: IncomingMessage, response: ServerResponse): Promise<Uint8Array> {
  const tooLong = new SchemaError([], `a request has at most ${BODY_LENGTH_MAX} bytes`);
  if (Number(message.headers['content-length'] ?? 0) > BODY_LENGTH_MAX) throw tooLong;
  // RFC 9110 10.1.1: a client that asks first does not send a request that would be refused, and gets the reason.
  if (message.headers.expect !== undefined) response.writeContinue();
  const parts: Buffer[] = [];
  let length = 0;
  try {
    for await (const part of message as AsyncIterable<Buffer>) {
      length += part.length;
      // Leaving the loop closes the connection: a client that does not announce its length gets no answer either.
      if (length > BODY_LENGTH_MAX) throw tooLong;
      parts.push(part);
    }
  } catch (cause) {
    if (cause === tooLong) throw tooLong;
    throw systemError(cause, 'read a request');
  }
  return Buffer.concat(parts);
}
