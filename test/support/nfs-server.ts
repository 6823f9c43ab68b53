import { memoryDevice } from '../../src/block/memory.ts';
import type { WritableBlockDevice } from '../../src/block/block-device.ts';
import type { MemoryBudget } from '../../src/lib/memory-budget.ts';
import { guestMemory } from '../../src/sessions/serve/guest-memory.ts';
import { systemClock } from '../../src/sys/base/clock.ts';
import { parseNetworks } from '../../src/sys/net/networks.ts';
import { systemRandom } from '../../src/sys/base/random.ts';
import type { SocketOwner } from '../../src/sys/net/socket-owner.ts';
import type { FileSystem } from '../../src/sys/files/file-system.ts';
import type { Export } from '../../src/servers/connection/export.ts';
import { type NfsAccess } from '../../src/servers/nfs/exports/access.ts';
import type { NfsListening } from '../../src/servers/nfs/listening.ts';
import { type NfsTarget, openNfsTarget } from '../../src/servers/nfs/server.ts';
import type { WritableFileTree } from '../../src/vfs/file-tree.ts';
import { openSessionTree } from '../../src/vfs/session-tree.ts';
import { crashingFs } from './crashing-fs.ts';
import { pattern, seeded } from './random.ts';

/** What the space monitor of the session says is left. */
export const LEFT = 123 * 2 ** 20;
export const DISK_SIZE = 65_536 + 512;

export interface NfsServer extends AsyncDisposable {
  readonly target: NfsTarget & NfsListening;
  readonly export: Export;
  readonly tree: WritableFileTree;
}

export interface NfsServerOptions {
  readonly files?: FileSystem;
  readonly device?: WritableBlockDevice;
  readonly access?: Partial<NfsAccess>;
  /** What the space monitor of the session is asked. */
  readonly left?: () => Promise<number>;
  /** The owner of the connections; default: root. */
  readonly owner?: SocketOwner;
  /** For what is written. */
  readonly writes?: MemoryBudget;
}

export const LOCAL: NfsAccess = {
  allow: parseNetworks(['127.0.0.0/8']),
  readOnly: false,
  squash: 'none',
  privilegedPorts: false,
};

/** One that shows nothing yet, on ports of its own. */
export async function listeningTarget(
  host = '127.0.0.1',
  owner: SocketOwner = 0,
  { writes }: { readonly writes: MemoryBudget } = guestMemory(),
): Promise<NfsTarget & NfsListening> {
  const owners = { of: async () => owner };
  const target = await openNfsTarget({
    clock: systemClock(),
    random: systemRandom(),
    writes,
    owners,
  });
  const ports = { nfs: 0, mount: 0, portmap: 0 };
  const { ports: found } = await target.listen({ kind: 'ports', host, ports });
  return { ...target, ports: found };
}

/** What a session shows: a disk `vda`, and a description. */
export async function sessionTree(options: NfsServerOptions = {}): Promise<WritableFileTree> {
  const { files = crashingFs(seeded(1)).files, left = async () => LEFT } = options;
  const device = options.device ?? memoryDevice(pattern(DISK_SIZE));
  await files.makeDirectory('/session');
  return openSessionTree({
    files,
    clock: systemClock(),
    random: systemRandom(),
    seal: undefined,
    directory: '/session',
    space: { tryTake: () => true, take: async () => {}, full: async () => {}, left },
    disks: new Map([['vda', device]]),
    first: {
      disks: [{ disk: 'vda', size: device.geometry.size, names: ['vda.raw', 'vda-flat.vmdk'] }],
      files: [{ name: 'vm.vmx', contents: Buffer.from('config.version = "8"\n') }],
    },
  });
}

/** A session `vm-1` with a disk `vda` on ports of its own. */
export async function serveSession(options: NfsServerOptions = {}): Promise<NfsServer> {
  const tree = await sessionTree(options);
  const { writes } = { ...guestMemory(), ...options };
  const target = await listeningTarget('127.0.0.1', options.owner, { writes });
  const exported = target.export('vm-1', tree, {
    access: [{ ...LOCAL, ...options.access }],
    tag: 77,
    generation: 5,
  });
  return {
    target,
    tree,
    export: exported,
    async [Symbol.asyncDispose]() {
      await target[Symbol.asyncDispose]();
      await tree[Symbol.asyncDispose]();
    },
  };
}
