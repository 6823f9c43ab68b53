import { libc } from './libc.ts';

// socket(7), unix(7), asm-generic/socket.h and linux/socket.h.
const SOL_SOCKET = 1;
const SO_TYPE = 3;
export const SO_PEERCRED = 17;
const SO_DOMAIN = 39;
export const SO_PEERGROUPS = 59;
const SOCK_DGRAM = 2;
const AF_INET6 = 10;

/** As 32-bit words; undefined: the kernel has no answer. */
export function socketOption(fd: number, name: number, lengthMax: number): number[] | undefined {
  const bytes = new Uint8Array(lengthMax);
  const length = Uint32Array.of(lengthMax);
  if (libc().getsockopt(fd, SOL_SOCKET, name, bytes, length) !== 0) return undefined;
  return [...new Uint32Array(bytes.buffer, 0, length[0]! / 4)];
}

export function takesDatagrams(fd: number): boolean {
  return socketOption(fd, SO_TYPE, 4)?.[0] === SOCK_DGRAM;
}

export function isIpv6(fd: number): boolean {
  return socketOption(fd, SO_DOMAIN, 4)?.[0] === AF_INET6;
}
