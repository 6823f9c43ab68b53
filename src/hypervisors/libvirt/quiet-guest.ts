import { LIBVIRT_ERRORS, type LibvirtDomain } from '../../formats/wire/libvirt.ts';
import { LIBVIRT_CALLS, LIBVIRT_FLAGS } from '../../formats/wire/libvirt-calls.ts';
import type { Consistency, ConsistencyLevel } from '../../formats/store/catalog/machine.ts';
import { asError } from '../../lib/as-error.ts';
import type { BackupWish } from '../base/backup-driver.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { attribute, element, parseXml, writeXml } from '../base/xml.ts';
import type { Domain } from './domain.ts';
import { isNumber, LibvirtError } from './libvirt-error.ts';
import type { LibvirtHost } from './libvirt-host.ts';

/*
 * A guest is quiet while its agent has frozen its file systems: programs in it stand still as soon as they write. So
 * it lasts only as long as a backup takes to begin, and is ended in every case: before a guest is frozen, its machine
 * gets a mark of ours, which the next backup finds if this one dies.
 */

/** How often a thaw is tried, and how long in all, whatever else has been given up. */
const THAW_TRIES = 5;
const THAW_PAUSE_MS = 500;
const THAW_MS = 30_000;
/** An agent that runs answers at once; libvirt waits no less than this. */
const PING_SECONDS = 5;
/** A guest that does not freeze within this time is thawed again. */
const FREEZE_MS = 30_000;

interface Quiet<T> {
  readonly result: T;
  readonly consistency: Consistency;
}

interface QuietGuest {
  readonly domain: LibvirtDomain;
  readonly described: Domain;
  readonly wish: Pick<BackupWish, 'consistency' | 'fallBack'>;
  readonly signal: AbortSignal;
  readonly onNotice: (message: string) => void;
}

/**
 * Does `work` while the guest is as quiet as is wished, or as can be. Rejects UNSUPPORTED if that is less, and the wish
 * does not allow it; then nothing was done.
 */
export async function whileQuiet<T>(
  host: LibvirtHost,
  guest: QuietGuest,
  work: () => Promise<T>,
): Promise<Quiet<T>> {
  const { domain, described, wish, signal } = guest;
  const asked = wish.consistency;
  if (asked === 'crash') return { result: await work(), consistency: { asked, got: 'crash' } };
  if (described.agent !== 'connected') {
    const consistency = loud(guest, AGENTS[described.agent]);
    return { result: await work(), consistency };
  }
  const silent = await ping(host, domain, signal);
  if (silent) {
    const consistency = loud(guest, silent.message);
    return { result: await work(), consistency };
  }
  const got = asked === 'application' ? await reached(host, domain, signal) : 'file-system';
  if (got !== asked && !wish.fallBack) throw new HypervisorError('UNSUPPORTED', NO_APPLICATIONS);
  await mark(host, domain, signal);
  const refused = await freeze(host, guest);
  try {
    if (refused) {
      // Nothing of ours is frozen; what another program has frozen stays so.
      const consistency = loud(guest, refused.message);
      await unmark(host, domain);
      return { result: await work(), consistency };
    }
    const consistency = { asked, got, ...(got !== asked && { why: NO_APPLICATIONS }) };
    return { result: await work(), consistency };
  } finally {
    if (!refused) await thaw(host, domain, guest.onNotice);
  }
}

/** Less than is wished. Throws UNSUPPORTED if that is not accepted. */
function loud({ wish, onNotice }: QuietGuest, why: string): Consistency {
  const less = `the guest's file systems could not be frozen: ${why}`;
  if (!wish.fallBack) throw new HypervisorError('UNSUPPORTED', less);
  onNotice(`${less}; the backup has the state as after a power cut`);
  return { asked: wish.consistency, got: 'crash', why };
}

const AGENTS = {
  none: 'the machine has no channel for the QEMU guest agent (org.qemu.guest_agent.0)',
  disconnected: 'the QEMU guest agent does not run in it',
} as const;
const NO_APPLICATIONS =
  'only agents of Windows guests (VSS) have programs write everything out; elsewhere file systems are frozen, and ' +
  "the agent's own hooks run";

/** The highest level that a freeze reaches in this guest. */
async function reached(
  { link }: LibvirtHost,
  domain: LibvirtDomain,
  signal: AbortSignal,
): Promise<ConsistencyLevel> {
  try {
    const asked = { domain, types: LIBVIRT_FLAGS.guestInfo.os, flags: 0 };
    const info = await link.call(LIBVIRT_CALLS.guestInfo, asked, signal);
    const id = info.find(({ field }) => field === 'os.id')?.value;
    return id === 'mswindows' ? 'application' : 'file-system';
  } catch (cause) {
    if (!(cause instanceof LibvirtError)) throw cause;
    return 'file-system';
  }
}

/**
 * Why the agent does not answer; undefined: it does. An order to freeze waits in the channel of an agent that hangs,
 * and is carried out when it wakes up, hours after the backup: such an agent gets none.
 */
async function ping(
  { link }: LibvirtHost,
  domain: LibvirtDomain,
  signal: AbortSignal,
): Promise<LibvirtError | undefined> {
  try {
    const command = '{"execute":"guest-ping"}';
    const asked = { domain, command, timeoutSeconds: PING_SECONDS, flags: 0 };
    await link.call(LIBVIRT_CALLS.agentCommand, asked, signal);
    return undefined;
  } catch (cause) {
    if (cause instanceof LibvirtError) return cause;
    throw cause;
  }
}

/** Why the guest refused; undefined: it is frozen, or may be. */
async function freeze(
  host: LibvirtHost,
  { domain, signal, onNotice }: QuietGuest,
): Promise<LibvirtError | undefined> {
  const options = { timeoutMs: FREEZE_MS };
  try {
    await host.link.call(LIBVIRT_CALLS.freeze, { domain, mounts: [], flags: 0 }, signal, options);
    return undefined;
  } catch (cause) {
    // An agent that is silent may have frozen it, or may still do so.
    const isRefused =
      cause instanceof LibvirtError && !isNumber(cause, LIBVIRT_ERRORS.agentUnresponsive);
    if (isRefused) return cause;
    await thaw(host, domain, onNotice);
    signal.throwIfAborted();
    if (cause instanceof LibvirtError) return cause;
    throw cause;
  }
}

/** Never rejects. Thaws until the guest says that it is thawed, and takes the mark away. */
async function thaw(
  host: LibvirtHost,
  domain: LibvirtDomain,
  onNotice: (message: string) => void,
): Promise<void> {
  const signal = AbortSignal.timeout(THAW_MS);
  let reason = '';
  for (let tries = 0; tries < THAW_TRIES && !signal.aborted; tries++) {
    try {
      const asked = { domain, mounts: [], flags: 0 };
      await host.link.call(LIBVIRT_CALLS.thaw, asked, signal, { isUrgent: true });
      return await unmark(host, domain);
    } catch (cause) {
      if (isNumber(cause, LIBVIRT_ERRORS.noDomain, LIBVIRT_ERRORS.operationInvalid)) return;
      reason = asError(cause).message;
      await host.clock.sleep(THAW_PAUSE_MS);
    }
  }
  onNotice(
    `the guest may still be frozen (${reason}): look at it, and thaw it with "virsh domfsthaw". The next backup of ` +
      'the machine tries it too',
  );
}

/** Thaws a guest that a backup of ours has left frozen; whether there was one. */
export async function thawLeft(
  host: LibvirtHost,
  domain: LibvirtDomain,
  signal: AbortSignal,
): Promise<boolean> {
  if (!(await isMarked(host, domain, signal))) return false;
  let failure: string | undefined;
  await thaw(host, domain, (message) => (failure = message));
  if (failure !== undefined) throw new HypervisorError('FAILED', failure);
  return true;
}

const NAMESPACE = 'https://holdfast.invalid/libvirt/1';
const PREFIX = 'holdfast';

async function mark(host: LibvirtHost, domain: LibvirtDomain, signal: AbortSignal): Promise<void> {
  await setMark(host, domain, { text: writeXml(element('frozen', { by: host.owner })), signal });
}

/** A machine that is gone, or was turned off, has no mark. */
async function unmark(host: LibvirtHost, domain: LibvirtDomain): Promise<void> {
  try {
    await setMark(host, domain, { text: undefined, signal: AbortSignal.timeout(THAW_MS) });
  } catch (cause) {
    if (!(cause instanceof HypervisorError)) throw cause;
  }
}

function setMark(
  { link }: LibvirtHost,
  domain: LibvirtDomain,
  { text, signal }: { readonly text: string | undefined; readonly signal: AbortSignal },
): Promise<unknown> {
  return link.call(
    LIBVIRT_CALLS.setMetadata,
    {
      ...{ domain, type: LIBVIRT_FLAGS.metadataType.element, metadata: text },
      ...{ key: PREFIX, uri: NAMESPACE, flags: LIBVIRT_FLAGS.setMetadata.live },
    },
    signal,
  );
}

async function isMarked(
  { link, owner }: LibvirtHost,
  domain: LibvirtDomain,
  signal: AbortSignal,
): Promise<boolean> {
  const type = LIBVIRT_FLAGS.metadataType.element;
  const asked = { domain, type, uri: NAMESPACE, flags: LIBVIRT_FLAGS.metadata.live };
  try {
    const text = await link.call(LIBVIRT_CALLS.metadata, asked, signal);
    return attribute(parseXml(text, 'frozen'), 'by') === owner;
  } catch (cause) {
    const isNone =
      isNumber(cause, LIBVIRT_ERRORS.noMetadata) ||
      isNumber(cause, LIBVIRT_ERRORS.operationInvalid);
    if (!isNone) throw cause;
    return false;
  }
}
