import { findDisk } from './disks.ts';
import { HostError } from '../base/host-error.ts';
import type { Machine } from '../base/machine.ts';
import { output } from '../base/programs.ts';
import { writeText } from '../base/text-files.ts';

/*
 * The disk for backups: one file system on the whole of it, mounted by systemd at the service's directory. The
 * service does not start if that is missing (RequiresMountsFor=), so that nothing is ever written beside it.
 */
export interface PoolRequest {
  /** `sdb`: the name in /dev. */
  readonly disk: string;
  readonly fileSystem: 'xfs' | 'ext4';
  /** Agrees to losing the disk's contents: its serial number, or its name if it has none. */
  readonly erase: string | undefined;
}

export interface PoolView {
  readonly disk: string;
  readonly fileSystem: string;
  readonly mountedAt: string;
}

/** The service's own directory (systemd/holdfastd.service), which contains its store. */
const PLACE = '/var/lib/holdfast';
const UNIT = '/etc/systemd/system/var-lib-holdfast.mount';
const OWNER = 'holdfast:holdfast';
const MAKE_MS = 10 * 60_000;
const LABEL = 'holdfast';
/** The only entry of an empty ext4. */
const EMPTY_DISK = 'lost+found';
/** The most names in a message. */
const SHOWN_MAX = 5;

/** Rejects NOT_FOUND, and REFUSED for a disk in use, or one with contents unless `erase` agrees to losing them. */
export async function createPool(machine: Machine, request: PoolRequest): Promise<PoolView> {
  const { files, run } = machine;
  const { disk: name, fileSystem, erase } = request;
  const disk = /^[\w-]{1,32}$/.test(name) ? await findDisk(run, name) : undefined;
  if (!disk) throw new HostError('NOT_FOUND', `there is no disk ${name}: see "disk list"`);
  if (disk.inUse) refuse(`${name} is in use: ${disk.holds.join('; ')}`);
  const word = disk.serial ?? name;
  if (disk.holds.length > 0 && erase !== word) {
    refuse(
      `${name} (${disk.model ?? 'no model'}) is not empty: ${disk.holds.join('; ')}. To erase it, name ` +
        `${disk.serial === null ? 'the disk' : 'its serial number'} as the disk to erase: ${word}`,
    );
  }
  await checkPlace(machine);
  const device = `/dev/${name}`;
  await output(run, 'wipefs', ['--all', '--quiet', device]);
  if (fileSystem === 'xfs') {
    await output(run, 'mkfs.xfs', ['-q', '-f', '-L', LABEL, device], { timeoutMs: MAKE_MS });
  } else {
    // A disk only for backups needs no reserve for root.
    const args = ['-q', '-F', '-m', '0', '-L', LABEL, device];
    await output(run, 'mkfs.ext4', args, { timeoutMs: MAKE_MS });
  }
  const uuid = await output(run, 'blkid', ['-p', '-s', 'UUID', '-o', 'value', device]);
  await writeText(files, UNIT, unitText(uuid.trim(), fileSystem));
  await output(run, 'systemctl', ['daemon-reload']);
  await output(run, 'systemctl', ['enable', '--quiet', '--now', 'var-lib-holdfast.mount']);
  await output(run, 'chown', [OWNER, PLACE]);
  return { disk: name, fileSystem, mountedAt: PLACE };
}

async function checkPlace({ files, run }: Machine): Promise<void> {
  const { code } = await run('systemctl', ['is-active', '--quiet', 'var-lib-holdfast.mount']);
  if (code === 0) refuse(`a disk is mounted at ${PLACE} already`);
  const names = (await files.stat(PLACE)) === undefined ? [] : await files.list(PLACE);
  const hidden = names.filter((it) => it !== EMPTY_DISK);
  if (hidden.length === 0) return;
  const more = hidden.length > SHOWN_MAX ? ` and ${hidden.length - SHOWN_MAX} more` : '';
  refuse(
    `a disk at ${PLACE} would hide the files there: ${hidden.slice(0, SHOWN_MAX).join(', ')}${more}. Stop the ` +
      'service and move them away first; files to keep can be moved onto the disk afterwards',
  );
}

function unitText(uuid: string, fileSystem: string): string {
  return [
    '# Made by "holdfast pool create".',
    '[Unit]',
    'Description=Holdfast: the disk for backups',
    // Each request to the service tries the mount again.
    'StartLimitIntervalSec=0',
    '',
    '[Mount]',
    `What=/dev/disk/by-uuid/${uuid}`,
    `Where=${PLACE}`,
    `Type=${fileSystem}`,
    'Options=noatime,nodev,nosuid,noexec',
    '',
    // Not local-fs.target: without the disk the machine still starts, so that it can be repaired.
    '[Install]',
    'WantedBy=multi-user.target',
    '',
  ].join('\n');
}

function refuse(message: string): never {
  throw new HostError('REFUSED', message);
}
