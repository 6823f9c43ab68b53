import type { LibvirtDomain } from '../../formats/wire/libvirt.ts';
import { LIBVIRT_CALLS, LIBVIRT_FLAGS } from '../../formats/wire/libvirt-calls.ts';
import { LIBVIRT_ERRORS } from '../../formats/wire/libvirt.ts';
import type { Tracking } from '../../formats/store/catalog/machine.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { readBackupPlace, readCheckpoint, withOnly } from './backup-xml.ts';
import { isOwnPlace } from './data-way.ts';
import type { LibvirtHost } from './libvirt-host.ts';
import { isNumber, LibvirtError } from './libvirt-error.ts';
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
    try {
      const isGone = await removeCheckpoint(host, domain, { name, signal });
      if (isGone) done.push(`the checkpoint ${name} was removed, which no recovery point needs`);
    } catch (cause) {
      signal.throwIfAborted();
      // One that cannot be removed now must not keep the machine from being backed up.
      if (!(cause instanceof LibvirtError)) throw cause;
      const what = `the checkpoint ${name}, which no recovery point needs, could not be removed`;
      done.push(`${what}: ${cause.message}`);
    }
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
  const place = await backupPlace(host, domain, signal);
  if (place === undefined || !isOwnPlace(host, place)) return false;
  await endBackup(host, domain, { place, signal });
  return true;
}

/** Ends the backup that is known by that place; resolves once it has ended. Any other goes on. */
export async function endBackup(
  host: LibvirtHost,
  domain: LibvirtDomain,
  { place, signal }: { readonly place: string; readonly signal: AbortSignal },
): Promise<void> {
  if ((await backupPlace(host, domain, signal)) !== place) return;
  try {
    await host.link.call(LIBVIRT_CALLS.abortJob, { domain }, signal, { isUrgent: true });
  } catch (cause) {
    // One that is ending is still described, and is no job any longer.
    if (!isNumber(cause, LIBVIRT_ERRORS.operationInvalid)) throw cause;
  }
  // libvirt only asks QEMU to end it.
  while ((await backupPlace(host, domain, signal)) === place) {
    await host.clock.sleep(END_POLL_MS, signal);
  }
}

const END_POLL_MS = 20;

/** Rejects FAILED unless the backup that is known by that place runs: then they are as they were. */
export async function requireBackup(
  host: LibvirtHost,
  domain: LibvirtDomain,
  { place, signal }: { readonly place: string; readonly signal: AbortSignal },
): Promise<void> {
  if ((await backupPlace(host, domain, signal)) === place) return;
  throw new HypervisorError(
    'FAILED',
    `the backup of ${domain.name} ended on the hypervisor before the recovery point was made: the machine was turned ` +
      'off, QEMU gave up, or another program ended the job. Nothing was made of what was read: back it up again',
  );
}

/** By which the backup that runs is known: see `DataWay`; undefined: none runs. */
async function backupPlace(
  { link }: LibvirtHost,
  domain: LibvirtDomain,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const xml = await link.call(LIBVIRT_CALLS.backupXml, { domain, flags: 0 }, signal);
    return readBackupPlace(xml);
  } catch (cause) {
    const isNone =
      isNumber(cause, LIBVIRT_ERRORS.noBackup) || isNumber(cause, LIBVIRT_ERRORS.operationInvalid);
    if (isNone) return undefined;
    throw cause;
  }
}

/** Whether it is gone: on a machine that is off, bitmaps stay, and so does the checkpoint until the machine runs. */
export async function removeCheckpoint(
  host: LibvirtHost,
  domain: LibvirtDomain,
  { name, signal }: { readonly name: string; readonly signal: AbortSignal },
): Promise<boolean> {
  try {
    const asked = { domain, name, flags: 0 };
    const named = await host.link.call(LIBVIRT_CALLS.checkpointByName, asked, signal);
    try {
      await host.link.call(LIBVIRT_CALLS.deleteCheckpoint, { named, flags: 0 }, signal);
    } catch (cause) {
      signal.throwIfAborted();
      if (isNumber(cause, ...IS_OFF)) return false;
      if (!(cause instanceof LibvirtError) || isNumber(cause, LIBVIRT_ERRORS.noCheckpoint)) {
        throw cause;
      }
      await removeIncomplete(host, { named, domain, signal, cause });
    }
  } catch (cause) {
    if (!isNumber(cause, LIBVIRT_ERRORS.noCheckpoint)) throw cause;
  }
  return true;
}

/** How libvirt refuses what only a machine that runs can do. */
const IS_OFF = [LIBVIRT_ERRORS.operationInvalid, LIBVIRT_ERRORS.operationUnsupported];

/*
 * libvirt removes a checkpoint's bitmaps all together, and none of them if one is missing: after a power cut, or in an
 * image that took another one's place. Removing only the checkpoint would leave the others in their images for ever,
 * since nothing lists them any longer: QEMU would go on counting, and no image has room for more than some thousands.
 */

interface Incomplete {
  /** As libvirt calls it. */
  readonly named: { readonly domain: LibvirtDomain; readonly name: string };
  readonly domain: LibvirtDomain;
  readonly signal: AbortSignal;
  /** Why it could not be removed. */
  readonly cause: LibvirtError;
}

/** Removes it with those of its bitmaps that are there; rejects with `cause` if none is missing. */
async function removeIncomplete(host: LibvirtHost, it: Incomplete): Promise<void> {
  const { named, signal, cause } = it;
  const { secure } = LIBVIRT_FLAGS.checkpointXml;
  const xml = await host.link.call(LIBVIRT_CALLS.checkpointXml, { named, flags: secure }, signal);
  const { disks } = readCheckpoint(xml);
  if (!(await isMissing(host, it, xml))) throw cause;
  const stuck: string[] = [];
  // One disk after the other. The checkpoint comes back for the next one as it was.
  for (const disk of disks.length > 1 ? disks : []) {
    const only = withOnly(xml, [disk]);
    await define(host, it, only);
    if (await isRemoved(host, it)) continue;
    if (!(await isMissing(host, it, only))) stuck.push(disk);
  }
  await define(host, it, withOnly(xml, stuck.length > 0 ? stuck : disks));
  if (stuck.length > 0) throw cause;
  const { metadataOnly } = LIBVIRT_FLAGS.deleteCheckpoint;
  await host.link.call(LIBVIRT_CALLS.deleteCheckpoint, { named, flags: metadataOnly }, signal);
}

/** Whether a bitmap is missing or broken. */
async function isMissing(host: LibvirtHost, it: Incomplete, xml: string): Promise<boolean> {
  try {
    await define(host, it, xml, LIBVIRT_FLAGS.createCheckpoint.validate);
    return false;
  } catch (cause) {
    it.signal.throwIfAborted();
    if (isNumber(cause, LIBVIRT_ERRORS.checkpointInconsistent)) return true;
    throw cause;
  }
}

async function isRemoved({ link }: LibvirtHost, { named, signal }: Incomplete): Promise<boolean> {
  try {
    await link.call(LIBVIRT_CALLS.deleteCheckpoint, { named, flags: 0 }, signal);
    return true;
  } catch (cause) {
    signal.throwIfAborted();
    if (!(cause instanceof LibvirtError)) throw cause;
    return false;
  }
}

/** Only the entry: no image changes. */
async function define(
  { link }: LibvirtHost,
  { domain, signal }: Incomplete,
  xml: string,
  more = 0,
): Promise<void> {
  const flags = LIBVIRT_FLAGS.createCheckpoint.redefine | more;
  await link.call(LIBVIRT_CALLS.createCheckpoint, { domain, xml, flags }, signal);
}
