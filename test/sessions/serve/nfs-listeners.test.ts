import { deepEqual, equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import type { NfsPlace } from '../../../src/formats/store/sessions/session.ts';
import type { NfsTarget } from '../../../src/servers/nfs/server.ts';
import { nfsListeners } from '../../../src/sessions/serve/nfs-listeners.ts';
import { SystemError } from '../../../src/sys/base/system-error.ts';

const STANDARD = { nfs: 2049, mount: 20_048, portmap: 111 };

/** Sockets as a kernel gives them: all addresses and one of them exclude each other on a port. */
function target() {
  const open: string[] = [];
  const state = { refused: new Set<string>(), nextPort: 40_000 };
  async function listen({ kind, host = 'inherited', ports = STANDARD }: Listen) {
    const isTaken = open.some((it) => clash(it, `${host}:${ports.nfs}`));
    if (state.refused.has(host) || isTaken) throw new SystemError('BUSY', `${host} is taken`);
    const nfs = ports.nfs === 0 ? state.nextPort++ : ports.nfs;
    const name = `${host}:${nfs}`;
    if (kind === 'ports') open.push(name);
    return {
      ports: { ...ports, nfs },
      async [Symbol.asyncDispose]() {
        open.splice(open.indexOf(name), 1);
      },
    };
  }
  return { target: { listen } as unknown as NfsTarget, open, state };
}

interface Listen {
  readonly kind: 'ports' | 'inherited';
  readonly host?: string;
  readonly ports?: typeof STANDARD;
}

function clash(a: string, b: string): boolean {
  const [hostA, portA] = split(a);
  const [hostB, portB] = split(b);
  return portA === portB && (hostA === hostB || [hostA, hostB].includes('0.0.0.0'));
}

function split(name: string): [string, string] {
  const at = name.lastIndexOf(':');
  return [name.slice(0, at), name.slice(at + 1)];
}

const place = (host: string, ports = STANDARD) => ({ host, ports }) as unknown as NfsPlace;

test('sessions that want the same place share it, and the last one closes it', async () => {
  const { target: nfs, open } = target();
  const listeners = nfsListeners(nfs);
  const [one, two] = await Promise.all([
    listeners.enter(place('10.0.0.1')),
    listeners.enter(place('10.0.0.1')),
  ]);
  deepEqual(open, ['10.0.0.1:2049']);
  // Twice is once.
  await Promise.all([one[Symbol.asyncDispose](), one[Symbol.asyncDispose]()]);
  deepEqual(open, ['10.0.0.1:2049']);
  await two[Symbol.asyncDispose]();
  deepEqual(open, []);
});

test('who wants all addresses takes over from those who want one, and what is wide stays wide', async () => {
  const { target: nfs, open } = target();
  const listeners = nfsListeners(nfs);
  const narrow = await listeners.enter(place('10.0.0.1'));
  const wide = await listeners.enter(place('0.0.0.0'));
  deepEqual(open, ['0.0.0.0:2049']);
  await wide[Symbol.asyncDispose]();
  deepEqual(open, ['0.0.0.0:2049'], 'the other session is not disturbed');
  await narrow[Symbol.asyncDispose]();
  deepEqual(open, []);
});

test('where all addresses cannot be had, those that were served still are', async () => {
  const { target: nfs, open, state } = target();
  const listeners = nfsListeners(nfs);
  const narrow = await listeners.enter(place('10.0.0.1'));
  state.refused.add('0.0.0.0');
  await rejects(listeners.enter(place('0.0.0.0')), { code: 'BUSY' });
  deepEqual(open, ['10.0.0.1:2049']);
  await narrow[Symbol.asyncDispose]();
  deepEqual(open, []);
});

test('any free port is one of its own for each session', async () => {
  const { target: nfs, open } = target();
  const listeners = nfsListeners(nfs);
  const free = { ...STANDARD, nfs: 0 };
  const [one, two] = [
    await listeners.enter(place('::1', free)),
    await listeners.enter(place('::1', free)),
  ];
  equal(open.length, 2);
  equal(one.ports.nfs === two.ports.nfs, false);
});

test('sockets of systemd serve all sessions on their ports, and nothing closes them', async () => {
  const { target: nfs, open } = target();
  const listeners = nfsListeners(nfs);
  const sockets = {} as Parameters<typeof listeners.adopt>[0];
  deepEqual(await listeners.adopt(sockets), STANDARD);
  const listener = await listeners.enter(place('10.0.0.1'));
  deepEqual([listener.ports, open], [STANDARD, []]);
  await listener[Symbol.asyncDispose]();
});
