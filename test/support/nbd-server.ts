import { join } from 'node:path/posix';
import type { BlockDevice, WritableBlockDevice } from '../../src/block/block-device.ts';
import type { MemoryBudget } from '../../src/lib/memory-budget.ts';
import { guestMemory } from '../../src/sessions/serve/guest-memory.ts';
import type { UnixPeer } from '../../src/sys/net/unix-peer.ts';
import { systemClock } from '../../src/sys/base/clock.ts';
import { type NbdTarget, openNbdTarget } from '../../src/servers/nbd/server.ts';
import type { Export } from '../../src/servers/connection/export.ts';
import { temporaryDirectory } from './temporary.ts';

export interface TestServer extends AsyncDisposable {
  readonly target: NbdTarget;
  readonly export: Export;
  readonly uri: string;
  readonly socket: string;
}

const root = temporaryDirectory();
let count = 0;

/** One device as export `vda` on a unix socket of its own. */
export async function serveOne(
  device: BlockDevice | WritableBlockDevice,
  options: {
    readOnly?: boolean;
    socket?: string;
    tls?: Parameters<typeof openNbdTarget>[0]['tls'];
    /** For what is written, and for what is read. */
    memory?: MemoryBudget;
    reads?: MemoryBudget;
    admitsProcess?: (peer: UnixPeer) => boolean;
  } = {},
): Promise<TestServer> {
  const socket = options.socket ?? join(root, `${count++}.sock`);
  const usual = guestMemory();
  const target = await openNbdTarget({
    clock: systemClock(),
    memory: { writes: options.memory ?? usual.writes, reads: options.reads ?? usual.reads },
    listen: { kind: 'unix', path: socket },
    tls: options.tls,
    ...(options.admitsProcess && { admitsProcess: options.admitsProcess }),
  });
  const served = target.export('vda', device, {
    description: 'a disk',
    readOnly: options.readOnly ?? false,
  });
  return {
    target,
    export: served,
    uri: served.uri,
    socket,
    async [Symbol.asyncDispose]() {
      await served[Symbol.asyncDispose]();
      await target[Symbol.asyncDispose]();
    },
  };
}
