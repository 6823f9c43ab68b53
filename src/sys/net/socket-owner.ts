import { networkInterfaces } from 'node:os';
import { readFile } from 'node:fs/promises';
import type { Peer } from './network.ts';
import { addressFamily, LOOPBACK, parseNetworks } from './networks.ts';

/*
 * Finds who owns the socket at the other end of a TCP connection, if that is on this machine too: any local user may
 * connect, and an address does not say which one. The kernel lists all sockets with their owners in /proc/net/tcp and
 * tcp6 (Linux, Documentation/networking/proc_net_tcp.rst). A socket that its process has closed is listed as root's
 * while it waits for its end: only one that is connected, and has an inode, counts.
 */
export type SocketOwner =
  /** A user of this machine. */
  | number
  /** The socket of another machine. */
  | 'elsewhere'
  /** It was a socket of this machine, and is no longer connected. */
  | 'gone';

export interface SocketOwners {
  /** `local` is our own end. Never rejects: for addresses of this machine an unreadable list counts as `gone`. */
  of(peer: Peer, local: Peer): Promise<SocketOwner>;
}

const loopback = parseNetworks(LOOPBACK);
const ESTABLISHED = '01';
/** The kernel gives its list in pages; a line may slip from one to another while other connections end. */
const LOOKS = 2;

/** `readTable` returns the kernel's list by the name of its file. */
export function socketOwners(readTable = readFromKernel): SocketOwners {
  let running: Promise<unknown> = Promise.resolve();
  let next: Promise<readonly string[]> | undefined;

  /** One reading at a time: callers that ask while one is under way share the next. */
  async function tables(): Promise<readonly string[]> {
    next ??= running.then(() => {
      next = undefined;
      const both = Promise.all([readTable('tcp'), readTable('tcp6')]);
      running = both;
      return both;
    });
    return next;
  }
  return {
    async of(peer, local) {
      const lines = linesOf(peer, local);
      for (let look = 0; look < LOOKS; look++) {
        for (const table of await tables()) {
          const found = lines.map((it) => ownerIn(table, it)).find((it) => it !== undefined);
          if (found !== undefined) return found;
        }
      }
      return isOwnAddress(peer.address) ? 'gone' : 'elsewhere';
    },
  };
}

function readFromKernel(name: string): Promise<string> {
  return readFile(`/proc/self/net/${name}`, 'latin1').catch(() => '');
}

function isOwnAddress(address: string): boolean {
  const plain = withoutZone(address);
  return loopback.has(plain) || ownAddresses().includes(plain);
}

/** Empty if the kernel does not list them (a sandbox without netlink): connected sockets are listed anyway. */
function ownAddresses(): string[] {
  try {
    const all = Object.values(networkInterfaces()).flatMap((it) => it ?? []);
    return all.map(({ address }) => address);
  } catch {
    return [];
  }
}

/** `ends`: both ends as the line of the socket names them. */
function ownerIn(table: string, ends: string): number | 'gone' | undefined {
  const at = table.indexOf(ends);
  if (at < 0) return undefined;
  const fields = table
    .slice(at + ends.length, table.indexOf('\n', at))
    .trim()
    .split(/\s+/);
  // st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode
  const [state, , , , user, , inode] = fields;
  if (state !== ESTABLISHED || inode === undefined || inode === '0') return 'gone';
  return Number(user);
}

/** A process that is connected with IPv4 may have a socket of either family. */
function linesOf(peer: Peer, local: Peer): string[] {
  const line = (of: (address: string) => string): string =>
    `${of(peer.address)}:${port(peer)} ${of(local.address)}:${port(local)} `;
  if (addressFamily(withoutZone(peer.address)) === 6) return [line(hexOf6)];
  return [line(hexOf4), line((address) => `0000000000000000FFFF0000${hexOf4(address)}`)];
}

function port(peer: Peer): string {
  return hex(peer.port, 4);
}

/** 32-bit words in this machine's byte order: all processors that Holdfast supports are little-endian. */
function hexOf4(address: string): string {
  return address
    .split('.')
    .toReversed()
    .map((it) => hex(Number(it), 2))
    .join('');
}

function hexOf6(address: string): string {
  const words = wordsOf(withoutZone(address));
  const bytes = words.flatMap((word) => [word >> 8, word & 255]);
  const found: string[] = [];
  for (let at = 0; at < bytes.length; at += 4) {
    found.push(
      ...bytes
        .slice(at, at + 4)
        .toReversed()
        .map((it) => hex(it, 2)),
    );
  }
  return found.join('');
}

/** The eight words of 16 bits of an IPv6 address. */
function wordsOf(address: string): number[] {
  const [head = '', tail] = address.split('::');
  const words = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((it) => Number.parseInt(it, 16));
  const [before, after] = [words(head), words(tail ?? '')];
  const missing = tail === undefined ? 0 : 8 - before.length - after.length;
  return [...before, ...Array.from({ length: missing }, () => 0), ...after];
}

function hex(value: number, length: number): string {
  return value.toString(16).toUpperCase().padStart(length, '0');
}

function withoutZone(address: string): string {
  return address.split('%')[0]!;
}
