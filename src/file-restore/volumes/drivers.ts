import { runProgram } from '../base/programs.ts';
import type { VolumeDriver, VolumeKind } from './volume-kinds.ts';

/** Kinds for which the kernel may have a driver, and that driver. */
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
/** Drivers that Debian's usual kernel has and the one for clouds lacks. */
const OF_LARGE_KERNELS: readonly string[] = [
  ...['hfs', 'hfsplus', 'jfs', 'f2fs', 'nilfs2', 'ufs', 'minix', 'befs', 'bfs', 'affs', 'reiserfs'],
];

/** The driver for the file system `kind`, which blkid calls `type`. `isolated`: not this host's kernel. */
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
    ? `${type}: the kernels installed here have no driver for it; that of linux-image-amd64 may have one`
    : `${type}: no program here can open it`;
  return { kind: 'none', reason };
}

/** Asks the kernel to load the driver if necessary. */
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

/** Whether an installed kernel has the driver: an appliance starts from one of them. */
async function isInstalled(type: string, signal?: AbortSignal): Promise<boolean> {
  if (!/^[a-z0-9]{2,16}$/.test(type)) return false;
  const options = { timeoutMs: LOOK_MS, ...(signal && { signal }) };
  const wanted = ['-name', `${type}.ko*`, '-o', '-name', 'modules.builtin'];
  const args = ['-P', MODULES, '-type', 'f', '(', ...wanted, ')', '-print0'];
  const found = (await runProgram('find', args, options)).stdout.toString().split('\0');
  const lists = found.filter((path) => path.endsWith('/modules.builtin'));
  // Without any list the appliance uses a kernel from elsewhere, whose drivers are unknown.
  if (lists.length === 0 || found.length - 1 > lists.length) return true;
  const { stdout } = await runProgram('cat', ['--', ...lists], options);
  return stdout.toString().includes(`/${type}.ko\n`);
}
