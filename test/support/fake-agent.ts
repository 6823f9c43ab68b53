import { rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import type { FakeGuest } from './fake-guest.ts';
import { lineCutter } from '../../src/formats/wire/qmp.ts';

/** A guest's agent on a socket, as QEMU's channel shows it: for one client at a time. */
export interface FakeAgent extends AsyncDisposable {
  readonly isFrozen: boolean;
  /** How many commands came. */
  readonly heard: number;
  /** As Windows does with a freeze that lasts. */
  thawItself(): void;
  /** Silent: it takes commands, and answers none until it is not. */
  setSilent(isSilent: boolean): void;
}

/** `left`: what an earlier client did not read; `guest`: files and programs, which it has none of otherwise. */
export async function fakeAgent(
  path: string,
  { left = '', guest }: { readonly left?: string; readonly guest?: FakeGuest } = {},
): Promise<FakeAgent> {
  let isFrozen = false;
  let isSilent = false;
  let heard = 0;
  const sockets = new Set<Socket>();
  const answer = (execute: string, id: unknown): unknown => {
    switch (execute) {
      case 'guest-sync-delimited':
        return id;
      case 'guest-ping':
        return {};
      case 'guest-get-osinfo':
        return { id: 'debian' };
      case 'guest-fsfreeze-freeze':
        isFrozen = true;
        return 1;
      case 'guest-fsfreeze-thaw': {
        const count = isFrozen ? 1 : 0;
        isFrozen = false;
        return count;
      }
      default:
        return undefined;
    }
  };
  rmSync(path, { force: true });
  const server = createServer((socket) => {
    // All but the first wait without an answer, as in QEMU.
    const isFirst = sockets.size === 0;
    sockets.add(socket);
    socket.write(left);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.on(
      'data',
      lineCutter((line) => {
        heard++;
        if (isSilent || !isFirst) return;
        const { execute, arguments: given } = JSON.parse(Buffer.from(line).toString()) as {
          execute: string;
          arguments?: { id?: number };
        };
        const value = answer(execute, given?.id);
        const say = (message: object): boolean => socket.write(`${JSON.stringify(message)}\n`);
        if (execute === 'guest-sync-delimited') socket.write(Buffer.of(0xff));
        if (value !== undefined) say({ return: value });
        else if (guest) {
          guest.ask(execute, given, undefined).then(
            (it) => say({ return: it }),
            (cause: Error) => say({ error: { class: 'GenericError', desc: cause.message } }),
          );
        } else say({ error: { class: 'CommandNotFound', desc: `there is no ${execute}` } });
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    get isFrozen() {
      return isFrozen;
    },
    get heard() {
      return heard;
    },
    thawItself() {
      isFrozen = false;
    },
    setSilent(value) {
      isSilent = value;
    },
    async [Symbol.asyncDispose]() {
      for (const it of sockets) it.destroy();
      server.close();
      rmSync(path, { force: true });
    },
  };
}
