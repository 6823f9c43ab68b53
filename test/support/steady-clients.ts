import { deepEqual, equal } from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { DebianHost } from './debian-host.ts';
import { OPEN_NFS } from './nfs-client.ts';

const MAIN = new URL('./steady-clients-main.ts', import.meta.url).pathname;
const NODE = '/usr/lib/holdfast/bin/node';
const STOP = '/root/stop';

interface Addresses {
  readonly nbd: string;
  readonly nfs: string;
}

/**
 * What clients of two sessions, over NFS and over NBD, have met while the service was started again, each way once:
 * `NFS read`, `NBD: what was wrong`. They go on each time, before the next.
 */
export async function metOver(
  host: DebianHost,
  restarts: readonly (() => Promise<unknown>)[],
  until: (what: string, isSo: () => Promise<boolean>) => Promise<void>,
): Promise<string[]> {
  const sessions = [await recover(host), await recover(host)];
  const clients = steadyClients(
    host,
    sessions.map((it) => it.addresses),
  );
  await until('read', clients.readOn());
  for (const restart of restarts) {
    await restart();
    await until('read on', clients.readOn());
  }
  const met = await clients.stop();
  for (const { session } of sessions) {
    await host.run('holdfast', 'session', 'stop', session);
    await host.run('holdfast', 'session', 'discard', session);
  }
  return met;
}

async function recover({ run }: DebianHost) {
  const ask = async <T>(...words: string[]): Promise<T> =>
    JSON.parse((await run('holdfast', ...words, '--json')).trim().split('\n').at(-1)!) as T;
  type Started = { session: string; nfs: { ports: object; directory: string } };
  const started = await ask<Started>('recover', 'vm@latest', '--detach', '--nfs', ...OPEN_NFS);
  const { session, nfs } = started;
  deepEqual(nfs.ports, { nfs: 2049, mount: 20_048, portmap: 111 });
  const shown = await ask<{ addresses: string[] }>('session', 'show', session);
  const nbd = `nbd://127.0.0.1:10809/${session}/vda`;
  deepEqual(shown.addresses, [`nfs://127.0.0.1${nfs.directory}`, nbd]);
  return { session, addresses: { nbd, nfs: nfs.directory } };
}

/** Programs that read again and again, and come back whenever their connection ends. */
function steadyClients({ tryRun, path }: DebianHost, addresses: readonly Addresses[]) {
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
    /** Whether all of them have read some more since this was called. */
    readOn() {
      const before = seen();
      return async () => {
        const now = seen();
        return before.every((them, which) =>
          ['NFS read', 'NBD read'].every((it) => (now[which]![it] ?? 0) > (them[it] ?? 0) + 2),
        );
      };
    },
    async stop(): Promise<string[]> {
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
