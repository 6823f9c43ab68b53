import { memoryDevice } from '../../src/block/memory.ts';
import type { SpaceGuard } from '../../src/block/space-guard.ts';
import { systemClock } from '../../src/sys/base/clock.ts';
import type { File, FileSystem } from '../../src/sys/files/file-system.ts';
import { systemRandom } from '../../src/sys/base/random.ts';
import type { FirstFiles } from '../../src/vfs/initial-files.ts';
import type { NewNode, WritableFileTree } from '../../src/vfs/file-tree.ts';
import type { TreeSeal } from '../../src/vfs/sealed-contents.ts';
import { openSessionTree } from '../../src/vfs/session-tree.ts';
import { crashingFs } from './crashing-fs.ts';
import { noise, pattern, seeded } from './random.ts';

export const HOME = '/session';
export const PLENTY: SpaceGuard = {
  tryTake: () => true,
  take: async () => {},
  full: async () => {},
  left: async () => 1000,
};
export const FILE: NewNode = { kind: 'file', mode: 0o644, uid: 0, gid: 0 };
export const DIRECTORY: NewNode = { kind: 'directory', mode: 0o755, uid: 0, gid: 0 };

export const SEAL: TreeSeal = {
  session: 'vm-1',
  key: { suite: 2, overlayKey: noise(32, 99) },
  takesPlain: false,
  places: 32,
};

export const FIRST: FirstFiles = {
  disks: [{ disk: 'vda', size: 65_536, names: ['vda.raw', 'vda-flat.vmdk'] }],
  files: [{ name: 'vm.vmx', contents: Buffer.from('config.version = "8"\n') }],
};

export async function treeOn(
  files: FileSystem,
  {
    space = PLENTY,
    seal = SEAL,
  }: { readonly space?: SpaceGuard; readonly seal?: TreeSeal | 'none' } = {},
): Promise<WritableFileTree> {
  await files.makeDirectory(HOME);
  return openSessionTree({
    files,
    clock: systemClock(),
    random: systemRandom(),
    seal: seal === 'none' ? undefined : seal,
    directory: HOME,
    space,
    disks: new Map([['vda', memoryDevice(pattern(65_536))]]),
    first: FIRST,
  });
}
export const fresh = (): FileSystem => crashingFs(seeded(1)).files;

/** Writes and syncs of what files hold, and making such a file, wait for `gate`. */
export function gatedFs(inner: FileSystem, gate: (what: GatedCall) => Promise<void>): FileSystem {
  const isGated = (path: string): boolean => /file-\d+$/.test(path);
  const gated = (file: File): File => ({
    ...file,
    async write(from, offset) {
      if (isGated(file.path)) await gate('write');
      await file.write(from, offset);
    },
    async sync() {
      if (isGated(file.path)) await gate('sync');
      await file.sync();
    },
  });
  return {
    ...inner,
    async create(path) {
      if (isGated(path)) await gate('create');
      return gated(await inner.create(path));
    },
    open: async (path, access) => gated(await inner.open(path, access)),
  };
}
type GatedCall = 'write' | 'sync' | 'create';
