import { equal } from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { DebianHost } from './debian-host.ts';

/** Clients that read again and again, over NFS and over NBD, and come back whenever their connection ends. */
export interface SteadyClients {
  /** Whether all of them have read some more since this was called. */
  readOn(): () => Promise<boolean>;
  /** All that they have met: `NFS read`, `NBD: what was wrong`. */
  stop(): Promise<string[]>;
}

const MAIN = new URL('./steady-clients-main.ts', import.meta.url).pathname;
const NODE = '/usr/lib/holdfast/bin/node';
const STOP = '/root/stop';

export function steadyClients(
  { tryRun, path }: DebianHost,
  addresses: readonly { readonly nbd: string; readonly nfs: string }[],
): SteadyClients {
  const fileOf = (which: number): string => `/root/seen${which}`;
  const running = addresses.map(({ nbd, nfs }, which) =>
    tryRun(NODE, MAIN, nbd, '2049', nfs, STOP, fileOf(which)),
  );
  const seen = () =>
    addresses.map((_, which) => {
      const file = path(fileOf(which));
      const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
      return JSON.parse(text === '' ? '{}' : text) as Record<string, number>;
    });
  return {
    readOn() {
      const before = seen();
      return async () => {
        const now = seen();
        return before.every((them, which) =>
          ['NFS read', 'NBD read'].every((it) => (now[which]![it] ?? 0) > (them[it] ?? 0) + 2),
        );
      };
    },
    async stop() {
      writeFileSync(path(STOP), '');
      for (const { code, stderr } of await Promise.all(running)) equal(code, 0, stderr);
      return seen().flatMap((them) => Object.keys(them));
    },
  };
}

/** What the host's port mapper answers to a datagram that asks for NFS (RFC 1833, section 3). */
export function nfsPortByDatagram({ run }: DebianHost): Promise<string> {
  return run(
    NODE,
    '-e',
    `const socket = require('node:dgram').createSocket('udp4');
    const words = [9, 0, 2, 100000, 2, 3, 0, 0, 0, 0, 100003, 3, 6, 0];
    const call = Buffer.alloc(4 * words.length);
    words.forEach((word, at) => call.writeUInt32BE(word, 4 * at));
    socket.once('message', (reply) => console.log(reply.readUInt32BE(24)) || socket.close());
    socket.send(call, 111, '127.0.0.1');`,
  );
}
