import { resolve } from 'node:path/posix';
import type { Address } from '../../sys/net/network.ts';
import { inUri } from '../../sys/net/networks.ts';
import { SystemError } from '../../sys/base/system-error.ts';

/** `unix:PATH`, `tcp:HOST:PORT`, `tcp:[IPv6]:PORT` or `fd:N` (a listening socket that systemd opened). */
export function parseListenAddress(text: string): Address {
  const unix = /^unix:(.+)$/s.exec(text)?.[1];
  if (unix !== undefined) return { kind: 'unix', path: resolve(unix) };
  const tcp = /^tcp:(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const port = Number(tcp?.[3]);
  if (tcp && port < 65_536) return { kind: 'tcp', host: tcp[1] ?? tcp[2]!, port };
  const fd = /^fd:(\d{1,6})$/.exec(text)?.[1];
  if (fd !== undefined) return { kind: 'fd', fd: Number(fd) };
  throw new SystemError('INVALID', `"${text}" is not an address: unix:PATH, tcp:HOST:PORT or fd:N`);
}

/** Writes an address as `parseListenAddress` reads it. */
export function formatListenAddress(address: Address): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  if (address.kind === 'fd') return `fd:${address.fd}`;
  const { host, port } = address;
  return `tcp:${inUri(host)}:${port}`;
}
