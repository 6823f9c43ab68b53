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

/** Where QEMU serves disks. A port is served by TLS only, and the name of each export begins with `mark`. */
export type BackupServer =
  | { readonly kind: 'unix'; readonly socket: string }
  | {
      readonly kind: 'tls';
      readonly address: string;
      readonly port: number;
      readonly mark: string;
    };

/** The name of a disk over NBD. */
export function exportOf(mark: string, disk: string): string {
  return `${mark}/${disk}`;
}

function serverXml(server: BackupServer): XmlElement {
  if (server.kind === 'unix')
    return element('server', { transport: 'unix', socket: server.socket });
  const { address, port } = server;
  return element('server', { transport: 'tcp', name: address, port: String(port), tls: 'yes' });
}

/** `others`: disks that are left out; libvirt takes all that are not named. */
export function backupXml(
  disks: readonly DiskInBackup[],
  others: readonly string[],
  server: BackupServer,
): string {
  const named = (disk: string): string =>
    server.kind === 'unix' ? disk : exportOf(server.mark, disk);
  const [first] = disks.flatMap(({ since }) => (since === undefined ? [] : [since]));
  return writeXml(
    element(
      'domainbackup',
      { mode: 'pull' },
      first === undefined ? undefined : element('incremental', {}, first),
      serverXml(server),
      element(
        'disks',
        {},
        ...disks.map(({ name, since, scratch }) =>
          element(
            'disk',
            {
              ...{ name, backup: 'yes', type: 'file', exportname: named(name) },
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

/** By which a backup that runs is known: its socket, or its mark. Throws HypervisorError FAILED. */
export function readBackupPlace(xml: string): string | undefined {
  const backup = parseXml(xml, 'domainbackup');
  const disks = all(first(backup, 'disks'), 'disk');
  const served = disks.find((it) => attribute(it, 'backup') === 'yes');
  const socket = attribute(first(backup, 'server'), 'socket');
  return socket ?? attribute(served, 'exportname')?.split('/')[0];
}
