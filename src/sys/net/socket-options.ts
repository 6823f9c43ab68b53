import type { Socket } from 'node:net';
import { libc } from '../base/libc.ts';

// socket(7), unix(7), asm-generic/socket.h and linux/socket.h.
const SOL_SOCKET = 1;
const SO_TYPE = 3;
export const SO_PEERCRED = 17;
const SO_DOMAIN = 39;
export const SO_PEERGROUPS = 59;
const SOCK_DGRAM = 2;
// netinet/tcp.h
const IPPROTO_TCP = 6;
const TCP_USER_TIMEOUT = 18;
const AF_INET6 = 10;

/** Undefined: the socket is closed. */
export function descriptorOf(socket: Socket): number | undefined {
  // Node has no public API for it; the version of Node is pinned.
  const { _handle: handle } = socket as unknown as { _handle: { readonly fd?: number } | null };
  const fd = handle?.fd;
  return fd === undefined || fd < 0 ? undefined : fd;
}

/** The value as 32-bit words; undefined: the kernel has none. */
export function socketOption(fd: number, name: number, lengthMax: number): number[] | undefined {
  const bytes = new Uint8Array(lengthMax);
  const length = Uint32Array.of(lengthMax);
  if (libc().getsockopt(fd, SOL_SOCKET, name, bytes, length) !== 0) return undefined;
  return [...new Uint32Array(bytes.buffer, 0, length[0]! / 4)];
}

/**
 * A peer counts as gone if for this time it acknowledged none of the data sent to it, or had no room for it
 * (tcp(7)). Probes of silent peers (SO_KEEPALIVE) do not cover a peer to which data is on its way.
 */
export function limitUnacknowledged(fd: number, ms: number): void {
  const value = new Uint8Array(Uint32Array.of(ms).buffer);
  libc().setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, value, value.length);
}

export function takesDatagrams(fd: number): boolean {
  return socketOption(fd, SO_TYPE, 4)?.[0] === SOCK_DGRAM;
}

export function isIpv6(fd: number): boolean {
  return socketOption(fd, SO_DOMAIN, 4)?.[0] === AF_INET6;
}
