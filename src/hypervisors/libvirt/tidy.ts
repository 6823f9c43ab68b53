import type { LibvirtDomain } from '../../formats/wire/libvirt.ts';
import { LIBVIRT_CALLS, LIBVIRT_FLAGS } from '../../formats/wire/libvirt-calls.ts';
import { LIBVIRT_ERRORS } from '../../formats/wire/libvirt.ts';
import type { Tracking } from '../../formats/store/catalog/machine.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { readBackupSocket } from './backup-xml.ts';
import { isOwnSocket } from './data-way.ts';
import type { LibvirtHost } from './libvirt-host.ts';
import { isNumber } from './libvirt-error.ts';
import { thawLeft } from './quiet-guest.ts';
import { isOurs } from './tracking.ts';

/** What earlier backups have left on a machine is removed: by the mark in its name, and only that. */
export async function tidyMachine(
  host: LibvirtHost,
  domain: LibvirtDomain,
  { keep, signal }: { readonly keep: readonly Tracking[]; readonly signal: AbortSignal },
): Promise<readonly string[]> {
  const done = [...(await thawLeft(host, domain, signal))];
  if (await endOwnBackup(host, domain, signal)) {
    done.push('an unfinished backup was ended');
  }
  const kept = new Set(keep.flatMap((it) => (it.kind === 'libvirt' ? [it.checkpoint] : [])));
  for (const name of await checkpointNames(host, domain, signal)) {
    if (!isOurs(host, name) || kept.has(name)) continue;
    await removeCheckpoint(host, domain, { name, signal });
    done.push(`the checkpoint ${name} was removed, which no recovery point needs`);
  }
  return done;
}

/** Children first: libvirt merges what one counted into the one before. */
async function checkpointNames(
  { link }: LibvirtHost,
  domain: LibvirtDomain,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const flags = LIBVIRT_FLAGS.checkpoints.topological;
  const { all } = await link.call(LIBVIRT_CALLS.checkpoints, { domain, wanted: 1, flags }, signal);
  return all.map(({ name }) => name).toReversed();
}

/** Checkpoints that are not ours, of any other program. */
export async function foreignCheckpoints(
  host: LibvirtHost,
  domain: LibvirtDomain,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const names = await checkpointNames(host, domain, signal);
  return names.filter((it) => !it.startsWith('holdfast-'));
}

async function endOwnBackup(
  host: LibvirtHost,
  domain: LibvirtDomain,
  signal: AbortSignal,
): Promise<boolean> {
  const socket = await backupSocket(host, domain, signal);
  if (socket === undefined || !isOwnSocket(host, socket)) return false;
  await endBackup(host, domain, { socket, signal });
  return true;
}

/** Ends the backup that serves its disks at that socket; resolves once it has ended. Any other goes on. */
export async function endBackup(
  host: LibvirtHost,
  domain: LibvirtDomain,
  { socket, signal }: { readonly socket: string; readonly signal: AbortSignal },
): Promise<void> {
  if ((await backupSocket(host, domain, signal)) !== socket) return;
  try {
    await host.link.call(LIBVIRT_CALLS.abortJob, { domain }, signal, { isUrgent: true });
  } catch (cause) {
    // One that is ending is still described, and is no job any longer.
    if (!isNumber(cause, LIBVIRT_ERRORS.operationInvalid)) throw cause;
  }
  // libvirt only asks QEMU to end it.
  while ((await backupSocket(host, domain, signal)) === socket) {
    await host.clock.sleep(END_POLL_MS, signal);
  }
}

const END_POLL_MS = 20;

/** Where the backup that runs serves its disks; undefined: none runs. */
async function backupSocket(
  { link }: LibvirtHost,
  domain: LibvirtDomain,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const xml = await link.call(LIBVIRT_CALLS.backupXml, { domain, flags: 0 }, signal);
    return readBackupSocket(xml);
  } catch (cause) {
    const isNone =
      isNumber(cause, LIBVIRT_ERRORS.noBackup) || isNumber(cause, LIBVIRT_ERRORS.operationInvalid);
    if (isNone) return undefined;
    throw cause;
  }
}

/** Success if it is gone. */
export async function removeCheckpoint(
  { link }: LibvirtHost,
  domain: LibvirtDomain,
  { name, signal }: { readonly name: string; readonly signal: AbortSignal },
): Promise<void> {
  const { metadataOnly } = LIBVIRT_FLAGS.deleteCheckpoint;
  try {
    const named = await link.call(
      LIBVIRT_CALLS.checkpointByName,
      { domain, name, flags: 0 },
      signal,
    );
    try {
      await link.call(LIBVIRT_CALLS.deleteCheckpoint, { named, flags: 0 }, signal);
    } catch (cause) {
      signal.throwIfAborted();
      // A machine that is off keeps its bitmap, and so its entry: they go together once it runs.
      if (isNumber(cause, LIBVIRT_ERRORS.operationInvalid)) return;
      if (!(cause instanceof HypervisorError)) throw cause;
      // Its bitmap is gone from an image: the entry can go all the same.
      await link.call(LIBVIRT_CALLS.deleteCheckpoint, { named, flags: metadataOnly }, signal);
    }
  } catch (cause) {
    if (!isNumber(cause, LIBVIRT_ERRORS.noCheckpoint)) throw cause;
  }
}
