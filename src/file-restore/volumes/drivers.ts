import { runProgram } from '../base/programs.ts';
import type { VolumeDriver, VolumeKind } from './volume-kinds.ts';

/** Kinds that the kernel may have a driver for, and that driver. */
export const KERNEL_DRIVERS: Readonly<Partial<Record<VolumeKind, string>>> = {
  ext2: 'ext4',
  ext3: 'ext4',
  ext4: 'ext4',
  xfs: 'xfs',
  btrfs: 'btrfs',
  vfat: 'vfat',
  exfat: 'exfat',
  iso9660: 'iso9660',
  udf: 'udf',
};

const LOOK_MS = 60_000;
const MODULES = '/lib/modules';
/** What a Debian kernel of a machine has and one for clouds leaves out. */
const OF_LARGE_KERNELS: readonly string[] = [
  ...['hfs', 'hfsplus', 'jfs', 'f2fs', 'nilfs2', 'ufs', 'minix', 'befs', 'bfs', 'affs', 'reiserfs'],
];

/** What opens the file system `kind`, which blkid calls `type`. `isolated`: not this host's kernel. */
export async function fileSystemDriver(
  { kind, type }: { readonly kind: VolumeKind; readonly type: string },
  { isolated, signal }: { readonly isolated: boolean; readonly signal?: AbortSignal },
): Promise<VolumeDriver> {
  const driver = KERNEL_DRIVERS[kind];
  if (!isolated && kind === 'ntfs') return { kind: 'ntfs-3g' };
  if (!isolated && driver !== undefined && (await kernelHas(driver, signal)))
    return { kind: 'kernel' };
  if (kind !== 'unknown' || (await isInstalled(type, signal))) return { kind: 'guestfs' };
  const reason = OF_LARGE_KERNELS.includes(type)
    ? `${type}: the kernels that are installed here have no driver for it; that of linux-image-amd64 may`
    : `${type}: nothing here can open that`;
  return { kind: 'none', reason };
}

/** Asks the kernel to load it if need be. */
async function kernelHas(driver: string, signal?: AbortSignal): Promise<boolean> {
  const options = { timeoutMs: LOOK_MS, ...(signal && { signal }) };
  const isThere = async (): Promise<boolean> => {
    const { stdout } = await runProgram('cat', ['/proc/filesystems'], options);
    return new RegExp(`^\\t${driver}$`, 'm').test(stdout.toString());
  };
  if (await isThere()) return true;
  await runProgram('modprobe', ['--quiet', '--', driver], options).catch(() => {});
  return isThere();
}

/** Whether a kernel that is installed has the driver: an appliance is started from one of them. */
async function isInstalled(type: string, signal?: AbortSignal): Promise<boolean> {
  if (!/^[a-z0-9]{2,16}$/.test(type)) return false;
  const options = { timeoutMs: LOOK_MS, ...(signal && { signal }) };
  const wanted = ['-name', `${type}.ko*`, '-o', '-name', 'modules.builtin'];
  const args = ['-P', MODULES, '-type', 'f', '(', ...wanted, ')', '-print0'];
  const found = (await runProgram('find', args, options)).stdout.toString().split('\0');
  const lists = found.filter((path) => path.endsWith('/modules.builtin'));
  // Without any, the appliance has a kernel from elsewhere, and only it knows.
  if (lists.length === 0 || found.length - 1 > lists.length) return true;
  const { stdout } = await runProgram('cat', ['--', ...lists], options);
  return stdout.toString().includes(`/${type}.ko\n`);
}
