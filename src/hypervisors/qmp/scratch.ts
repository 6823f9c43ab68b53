import { join } from 'node:path/posix';
import { SystemError } from '../../sys/base/system-error.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { QMP } from './commands.ts';
import type { QemuDisk } from './disks.ts';
import type { QmpLink } from './link.ts';
import { markOf, type QmpHost } from './qmp-host.ts';

/*
 * What the guest overwrites during a backup is kept in a scratch file for each disk. QEMU itself makes it, so that it
 * may write to it whatever user it runs as; as soon as QEMU has it open, its name is removed: so its space is free
 * again when QEMU closes it, whatever becomes of us.
 */

/** Where the scratch file of a disk is; undefined: there is no place for it. */
export function scratchPath(
  host: Pick<QmpHost, 'owner' | 'scratch'>,
  uuid: string,
  { name, medium }: QemuDisk,
): string | undefined {
  const file = `${markOf(host)}${uuid}-${name.replace(/[^\w.-]/g, '_')}.scratch`;
  if (host.scratch !== undefined) return join(host.scratch, file);
  const image = medium?.file ?? '';
  // Neither a device nor what is elsewhere has a place beside it.
  const isFile = image.startsWith('/') && !image.startsWith('/dev/');
  return isFile ? `${image}.${file}` : undefined;
}

export function noPlace(disk: string): HypervisorError {
  return new HypervisorError(
    'UNSUPPORTED',
    `disk ${disk} is not a file with an absolute path, so QEMU has no place beside it for what the guest overwrites ` +
      'during the backup: name a directory that QEMU may write to ("holdfast hypervisor change NAME --scratch DIR")',
  );
}

export interface Scratch {
  readonly host: QmpHost;
  readonly link: QmpLink;
  readonly path: string;
  /** With which the names of its job and its nodes begin. */
  readonly mark: string;
  /** Bytes of the disk. */
  readonly size: number;
  /** The node of the disk. */
  readonly node: string;
  readonly signal: AbortSignal;
  readonly onNotice: (message: string) => void;
}

/** Makes it, over the disk; resolves with the name of its node. */
export async function addScratch(scratch: Scratch): Promise<string> {
  const { host, link, path, mark, size, node, signal, onNotice } = scratch;
  const file = `${mark}f`;
  await create(scratch, { driver: 'file', filename: path, size: 0 });
  await link.call(QMP.addNode, { driver: 'file', 'node-name': file, filename: path }, signal);
  await removeScratch(host, path, onNotice);
  await create(scratch, { driver: 'qcow2', file, size });
  const over = { driver: 'qcow2', 'node-name': `${mark}s`, file, backing: node };
  await link.call(QMP.addNode, over, signal);
  return `${mark}s`;
}

export async function removeScratch(
  { files }: Pick<QmpHost, 'files'>,
  path: string,
  onNotice: (message: string) => void,
): Promise<void> {
  try {
    await files.unlink(path);
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    if (cause.code === 'NOT_FOUND') return;
    onNotice(
      `the scratch file ${path} stays (${cause.message}): remove it after the backup, or name a directory in which ` +
        'Holdfast may remove files ("holdfast hypervisor change NAME --scratch DIR")',
    );
  }
}

const POLL_MS = 5;
/** QEMU makes an empty image at once, unless its storage hangs. */
const CREATE_MS = 60_000;

async function create(
  { host: { clock }, link, path, mark, signal }: Scratch,
  options: object,
): Promise<void> {
  const job = `${mark}c`;
  const until = clock.monotonicMs() + CREATE_MS;
  await link.call(QMP.createImage, { 'job-id': job, options }, signal);
  for (;;) {
    const found = (await link.call(QMP.jobs, undefined, signal)).find(({ id }) => id === job);
    if (found?.status === 'concluded') {
      await link.call(QMP.dismissJob, { id: job }, signal);
      if (found.error === undefined) return;
      throw refused(path, found.error);
    }
    if (!found || clock.monotonicMs() > until) throw refused(path, 'it takes too long');
    await clock.sleep(POLL_MS, signal);
  }
}

function refused(path: string, why: string): HypervisorError {
  const code = /permission denied/i.test(why) ? 'DENIED' : 'FAILED';
  const isFull = /no space left/i.test(why);
  return new HypervisorError(
    isFull ? 'NO_SPACE' : code,
    `QEMU cannot make ${path}, for what the guest overwrites during the backup: ${why}. A directory in which it can ` +
      'is named with "holdfast hypervisor change NAME --scratch DIR"',
  );
}
