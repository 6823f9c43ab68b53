import {
  all,
  attribute,
  element,
  first,
  parseXml,
  textOf,
  writeXml,
  type XmlElement,
} from '../base/xml.ts';

/* What BackupBegin and checkpoints are told (libvirt.org/formatbackup.html, formatcheckpoint.html). */

export interface DiskInBackup {
  readonly name: string;
  /** The checkpoint since which changes are counted; undefined: all of it counts. */
  readonly since: string | undefined;
  /** Whether a checkpoint can count its changes from now on. */
  readonly isTracked: boolean;
  /** A file of the host for what the guest overwrites during the backup. libvirt makes and removes it. */
  readonly scratch: string;
}

/** The name of the bitmap over NBD: a disk's own. */
export function bitmapOf(disk: string): string {
  return `changed-${disk}`;
}

/** `others`: disks that are left out; libvirt takes all that are not named. */
export function backupXml(
  disks: readonly DiskInBackup[],
  others: readonly string[],
  socket: string,
): string {
  const [first] = disks.flatMap(({ since }) => (since === undefined ? [] : [since]));
  return writeXml(
    element(
      'domainbackup',
      { mode: 'pull' },
      first === undefined ? undefined : element('incremental', {}, first),
      element('server', { transport: 'unix', socket }),
      element(
        'disks',
        {},
        ...disks.map(({ name, since, scratch }) =>
          element(
            'disk',
            {
              ...{ name, backup: 'yes', type: 'file', exportname: name },
              ...(since === undefined
                ? { backupmode: first === undefined ? undefined : 'full' }
                : { backupmode: 'incremental', incremental: since, exportbitmap: bitmapOf(name) }),
            },
            element('scratch', { file: scratch }),
          ),
        ),
        ...others.map((name) => element('disk', { name, backup: 'no' })),
      ),
    ),
  );
}

/** Each disk's bitmap has the name of the checkpoint. */
export function checkpointXml(
  name: string,
  disks: readonly Pick<DiskInBackup, 'name' | 'isTracked'>[],
  others: readonly string[],
): string {
  const no = (disk: string) => element('disk', { name: disk, checkpoint: 'no' });
  return writeXml(
    element(
      'domaincheckpoint',
      {},
      element('name', {}, name),
      element('description', {}, 'made by Holdfast, for its next incremental backup'),
      element(
        'disks',
        {},
        ...disks.map((disk) =>
          disk.isTracked
            ? element('disk', { name: disk.name, checkpoint: 'bitmap', bitmap: name })
            : no(disk.name),
        ),
        ...others.map(no),
      ),
    ),
  );
}

export interface Checkpoint {
  readonly name: string;
  /** Disks that it counts. */
  readonly disks: readonly string[];
}

/** Throws HypervisorError FAILED. */
export function readCheckpoint(xml: string): Checkpoint {
  const checkpoint = parseXml(xml, 'domaincheckpoint');
  const disks = all(first(checkpoint, 'disks'), 'disk');
  return {
    name: textOf(first(checkpoint, 'name')) ?? '',
    disks: disks
      .filter((it) => attribute(it, 'checkpoint') === 'bitmap')
      .map((it) => attribute(it, 'name') ?? ''),
  };
}

/** The same checkpoint, counting only these disks. Throws HypervisorError FAILED. */
export function withOnly(xml: string, disks: readonly string[]): string {
  const checkpoint = parseXml(xml, 'domaincheckpoint');
  const only = (disk: XmlElement): XmlElement => {
    const name = attribute(disk, 'name') ?? '';
    return disks.includes(name) ? disk : element('disk', { name, checkpoint: 'no' });
  };
  const children = checkpoint.children.map((it) => {
    if (typeof it === 'string' || it.name !== 'disks') return it;
    return { ...it, children: all(it, 'disk').map(only) };
  });
  return writeXml({ ...checkpoint, children });
}

/** The socket at which a backup that runs serves its disks. Throws HypervisorError FAILED. */
export function readBackupSocket(xml: string): string | undefined {
  return attribute(first(parseXml(xml, 'domainbackup'), 'server'), 'socket');
}
