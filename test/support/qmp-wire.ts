import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { lineCutter } from '../../src/formats/wire/qmp.ts';
import type { OnCall } from '../hypervisors/rig.ts';

/** A directory of sockets that lead to those of another one, on which things go wrong. */
export interface QmpWire extends AsyncDisposable {
  readonly directory: string;
}

/** Failures of what removes something are what tidying is for. */
const REMOVALS: ReadonlySet<string> = new Set([
  ...['job-cancel', 'blockdev-del', 'nbd-server-stop', 'block-dirty-bitmap-remove'],
  'block-export-del',
]);

/** The sockets that are there now. */
export async function qmpWire(from: string, directory: string, onCall: OnCall): Promise<QmpWire> {
  mkdirSync(directory);
  const servers: Server[] = [];
  const carrying: Carrying = { open: new Set(), isCut: false, count: 0, onCall };
  for (const name of readdirSync(from).filter((it) => /\.(?:qmp|qga)$/.test(it))) {
    const server = createServer((near) => {
      if (carrying.isCut) near.destroy();
      else carry(near, createConnection(join(from, name)), carrying);
    });
    await new Promise<void>((resolve) => server.listen(join(directory, name), resolve));
    servers.push(server);
  }
  return {
    directory,
    async [Symbol.asyncDispose]() {
      for (const it of carrying.open) it.destroy();
      for (const it of servers) it.close();
    },
  };
}

interface Carrying {
  readonly open: Set<Socket>;
  readonly onCall: OnCall;
  count: number;
  /** For good: as if the process had died. */
  isCut: boolean;
}

interface Command {
  readonly execute?: string;
  readonly id?: number;
}

function carry(near: Socket, far: Socket, carrying: Carrying): void {
  /** That is carried out, and whose answer does not come. */
  let unanswered = false;
  const drop = (): void => {
    for (const it of [near, far]) it.destroy();
  };
  const cut = (): void => {
    carrying.isCut = true;
    for (const it of carrying.open) it.destroy();
  };
  for (const it of [near, far]) {
    carrying.open.add(it);
    it.on('error', drop);
    it.on('close', () => {
      carrying.open.delete(it);
      drop();
    });
  }
  let last: Promise<void> = Promise.resolve();
  near.on(
    'data',
    lineCutter((lent) => {
      const line = Buffer.concat([lent, Buffer.from('\n')]);
      last = last.then(() => forward(line), drop);
    }),
  );
  async function forward(line: Buffer): Promise<void> {
    const { execute = '', id } = JSON.parse(line.toString()) as Command;
    const name = REMOVALS.has(execute) ? `remove by ${execute}` : execute;
    const mishap = await carrying.onCall(name, ++carrying.count);
    if (mishap === 'cut-before') return cut();
    if (mishap === 'UNREACHABLE') return drop();
    if (mishap === undefined || mishap === 'cut-after') {
      if (mishap !== undefined) unanswered = true;
      if (execute === 'guest-sync-delimited') far.write(Buffer.of(0xff));
      far.write(line);
      return;
    }
    const error = { class: 'GenericError', desc: `made up: ${mishap}` };
    near.write(`${JSON.stringify({ error, id })}\r\n`);
  }
  far.on(
    'data',
    lineCutter((lent) => {
      const isEvent = 'event' in (JSON.parse(Buffer.from(lent).toString()) as object);
      if (unanswered && !isEvent) return cut();
      near.write(Buffer.concat([lent, Buffer.from('\r\n')]));
    }),
  );
}
