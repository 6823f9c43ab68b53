import { SystemError } from '../../sys/base/system-error.ts';
import type { Clock } from '../../sys/base/clock.ts';
import { connect } from '../../sys/net/network.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { QMP } from './commands.ts';
import type { QmpLink } from './link.ts';
import { QmpError } from './qmp-error.ts';
import { markOf, type QmpHost } from './qmp-host.ts';
import { frozenMark } from './quiet-guest.ts';
import { removeScratch } from './scratch.ts';

/*
 * A backup is ended by the names of what it has made, whatever of that there is: first the jobs, then what serves the
 * disks, then the nodes. Nothing without our mark is touched.
 */

export interface Ending {
  /** Where the server of a backup of ours listens. */
  readonly socket: string;
  /** Paths of scratch files. */
  readonly scratch: readonly string[];
  readonly signal: AbortSignal;
  readonly onNotice: (message: string) => void;
}

/** Resolves once it has ended, with whether there was one. */
export async function endBackup(
  host: QmpHost,
  link: QmpLink,
  { socket, scratch, signal, onNotice }: Ending,
): Promise<boolean> {
  const mark = markOf(host);
  const hadJobs = await endJobs(link, { mark, clock: host.clock, signal });
  const hadServer = await endServer(host, link, { mark, socket, signal });
  const nodes = await link.call(QMP.nodes, { flat: true }, signal);
  const ours = nodes
    .map(({ name }) => name)
    .filter((it) => it.startsWith(mark) && it !== frozenMark(host));
  // An image before the file under it: "0s", "0f".
  for (const name of ours.toSorted().toReversed()) {
    await link.call(QMP.removeNode, { 'node-name': name }, signal);
  }
  for (const path of scratch) await removeScratch(host, path, onNotice);
  return hadJobs || hadServer || ours.length > 0;
}

const POLL_MS = 10;

interface Marked {
  readonly mark: string;
  readonly signal: AbortSignal;
}

async function endJobs(
  link: QmpLink,
  { mark, clock, signal }: Marked & { readonly clock: Clock },
): Promise<boolean> {
  const asked = new Set<string>();
  for (;;) {
    const jobs = await link.call(QMP.jobs, undefined, signal);
    const ours = jobs.filter(({ id }) => id.startsWith(mark));
    if (ours.length === 0) return asked.size > 0;
    for (const { id, status } of ours) {
      if (status === 'concluded') await link.call(QMP.dismissJob, { id }, signal);
      else if (!asked.has(id)) await cancel(link, id, signal);
      asked.add(id);
    }
    await clock.sleep(POLL_MS, signal);
  }
}

/** One that has ended in the meantime, or cannot be canceled where it is, ends by itself. */
async function cancel(link: QmpLink, id: string, signal: AbortSignal): Promise<void> {
  try {
    await link.call(QMP.cancelJob, { id }, signal);
  } catch (cause) {
    if (!(cause instanceof QmpError) || !/not found|cannot accept/i.test(cause.message))
      throw cause;
  }
}

async function endServer(
  host: QmpHost,
  link: QmpLink,
  { mark, socket, signal }: Marked & { readonly socket: string },
): Promise<boolean> {
  const all = await link.call(QMP.exports, undefined, signal);
  const ours = all.filter((it) => it.startsWith(mark));
  const isServing = await isListenedAt(host, socket, signal);
  if (!isServing && ours.length === 0) return false;
  if (isServing && ours.length === all.length) {
    await link.call(QMP.stopServer, undefined, signal);
    return true;
  }
  // Others have put theirs beside ours.
  for (const id of ours) await link.call(QMP.removeExport, { id, mode: 'hard' }, signal);
  while ((await link.call(QMP.exports, undefined, signal)).some((it) => it.startsWith(mark))) {
    await host.clock.sleep(POLL_MS, signal);
  }
  return true;
}

/** A socket of ours at which no QEMU listens is removed: it was killed. */
async function isListenedAt(
  { files }: QmpHost,
  path: string,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const stream = await connect({ kind: 'unix', path }, signal);
    stream.destroy();
    return true;
  } catch (cause) {
    signal.throwIfAborted();
    if (!(cause instanceof SystemError)) throw cause;
    if (cause.code === 'UNREACHABLE') {
      await files.unlink(path).catch(() => {});
      return false;
    }
    return cause.code !== 'NOT_FOUND';
  }
}

/** Removes those that `isUnwanted` from all images; resolves with their names. */
export async function removeBitmaps(
  link: QmpLink,
  isUnwanted: (name: string) => boolean,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const removed = new Set<string>();
  const nodes = await link.call(QMP.nodes, { flat: true }, signal);
  for (const { name: node, isReadOnly, bitmaps } of nodes) {
    // In an image that is only the base of another one, none can be removed.
    if (isReadOnly) continue;
    for (const { name } of bitmaps) {
      if (name === undefined || !isUnwanted(name)) continue;
      await remove(link, { node, name }, signal);
      removed.add(name);
    }
  }
  return [...removed];
}

async function remove(
  link: QmpLink,
  bitmap: { readonly node: string; readonly name: string },
  signal: AbortSignal,
): Promise<void> {
  try {
    await link.call(QMP.removeBitmap, bitmap, signal);
  } catch (cause) {
    if (!(cause instanceof QmpError)) throw cause;
    const { name, node } = bitmap;
    throw new HypervisorError(
      cause.code,
      `the bitmap ${name} of ${node} cannot be removed: ${cause.message}`,
      { cause, native: cause.native },
    );
  }
}
