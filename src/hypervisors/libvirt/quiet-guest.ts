import { LIBVIRT_ERRORS, type LibvirtDomain } from '../../formats/wire/libvirt.ts';
import { LIBVIRT_CALLS, LIBVIRT_FLAGS } from '../../formats/wire/libvirt-calls.ts';
import type { Consistency, ConsistencyLevel } from '../../formats/store/catalog/machine.ts';
import { asError } from '../../lib/as-error.ts';
import type { BackupWish } from '../base/backup-driver.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { withinLimit } from '../base/within-limit.ts';
import { attribute, element, parseXml, writeXml } from '../base/xml.ts';
import type { CallOptions } from './calls.ts';
import type { Domain } from './domain.ts';
import { isNumber, LibvirtError } from './libvirt-error.ts';
import type { LibvirtHost } from './libvirt-host.ts';
import type { Link } from './link.ts';
import { powerOf } from './machines.ts';

/*
 * A guest is quiet while its agent has frozen its file systems: programs in it stand still as soon as they write. So
 * it lasts only as long as a backup takes to begin, with a limit, and is ended in every case: before a guest is frozen,
 * its machine gets a mark of ours, which the next backup finds if this one dies.
 */

/** How long a guest stays frozen at most while a backup begins, which takes a fraction of a second. */
export const FROZEN_MS = 15_000;
/** A guest that does not freeze within this time is thawed again. */
const FREEZE_MS = 30_000;
/** How long a thaw is tried again, whatever else has been given up; then the next backup does that. */
const THAW_MS = 60_000;
/** What an earlier backup left: its agent may be away for long, and this backup is not to wait for that. */
const THAW_LEFT_MS = 3000;
const THAW_CALL_MS = 20_000;
const THAW_PAUSE_MS = 500;
const THAW_PAUSE_MAX_MS = 5000;
/** An agent that runs answers at once; libvirt waits no less than this. */
const PING_SECONDS = 5;

export interface Quiet<T> {
  readonly result: T;
  readonly consistency: Consistency;
  /** It could not be thawed: that is to be tried again, by `thawLeft`. */
  readonly mayBeFrozen: boolean;
}

interface QuietGuest {
  readonly domain: LibvirtDomain;
  readonly described: Domain;
  readonly wish: Pick<BackupWish, 'consistency' | 'fallBack'>;
  /** It is not frozen again: that has lasted too long before. */
  readonly wasLate: boolean;
  readonly signal: AbortSignal;
  readonly onNotice: (message: string) => void;
}

/**
 * Does `work` while the guest is as quiet as is wished, or as can be. Undefined: it took longer than a guest may be
 * frozen; the guest is thawed, the signal of `work` aborted, and what it has begun is to be ended. Rejects UNSUPPORTED
 * if there is less than is wished, and the wish does not allow that.
 */
export async function whileQuiet<T>(
  host: LibvirtHost,
  guest: QuietGuest,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<Quiet<T> | undefined> {
  const { domain, described, wish, signal, wasLate } = guest;
  const asked = wish.consistency;
  const crash = async (consistency: Consistency): Promise<Quiet<T>> => ({
    ...{ result: await work(signal), consistency, mayBeFrozen: false },
  });
  if (asked === 'crash') return crash({ asked, got: 'crash' });
  if (wasLate) return crash(loud(guest, LATE));
  if (described.agent !== 'connected') return crash(loud(guest, AGENTS[described.agent]));
  const silent = await ping(host, domain, signal);
  if (silent) return crash(loud(guest, silent.message));
  const got = asked === 'application' ? await reached(host, domain, signal) : 'file-system';
  if (got !== asked && !wish.fallBack) throw new HypervisorError('UNSUPPORTED', NO_APPLICATIONS);
  await mark(host, domain, signal);
  const { frozen, refused } = await freeze(host, guest);
  if (refused) return crash(loud(guest, refused.message));
  let done: { readonly result: T } | undefined;
  let thawed: Thawed | undefined;
  try {
    done = await withinLimit({ clock: host.clock, limitMs: FROZEN_MS, signal }, work);
  } finally {
    thawed = await thaw(host, guest, THAW_MS);
  }
  if (!done) return undefined;
  const consistency =
    thawed === 0 && frozen > 0
      ? loud(guest, ENDED)
      : { asked, got, ...(got !== asked && { why: NO_APPLICATIONS }) };
  return { result: done.result, consistency, mayBeFrozen: thawed === 'frozen' };
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
const LATE = `libvirt did not begin the backup within the ${FROZEN_MS / 1000} seconds that a guest stays frozen`;
const ENDED = 'they were no longer frozen when the backup had begun';
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

interface Freeze {
  /** How many file systems. */
  readonly frozen: number;
  /** Why none is. */
  readonly refused?: HypervisorError | undefined;
}

async function freeze(host: LibvirtHost, guest: QuietGuest): Promise<Freeze> {
  const { domain, signal } = guest;
  const asked = { domain, mounts: [], flags: 0 };
  try {
    const options = { timeoutMs: FREEZE_MS };
    return { frozen: await host.link.call(LIBVIRT_CALLS.freeze, asked, signal, options) };
  } catch (cause) {
    const isRefused =
      cause instanceof LibvirtError && !isNumber(cause, LIBVIRT_ERRORS.agentUnresponsive);
    // Nothing of ours is frozen then; what another program has frozen stays so.
    if (isRefused) await unmark(host, domain);
    // An agent that is silent may have frozen it, or may still do so.
    else await thaw(host, guest, THAW_MS);
    signal.throwIfAborted();
    if (!(cause instanceof HypervisorError)) throw cause;
    return { frozen: 0, refused: cause };
  }
}

/**
 * The number of file systems that were frozen until now. `off`: the machine is, or is gone, and with it whatever was
 * frozen. `frozen`: it may be frozen still.
 */
type Thawed = number | 'off' | 'frozen';

/** Never rejects. Thaws until the guest says that it is thawed, and takes the mark away, which stays otherwise. */
async function thaw(
  host: LibvirtHost,
  { domain, onNotice }: Pick<QuietGuest, 'domain' | 'onNotice'>,
  limitMs: number,
): Promise<Thawed> {
  const { clock } = host;
  const end = clock.monotonicMs() + limitMs;
  const attempts = new AsyncDisposableStack();
  let { link } = host;
  let reason: string | undefined;
  try {
    for (let pause = THAW_PAUSE_MS; ; pause = Math.min(2 * pause, THAW_PAUSE_MAX_MS)) {
      try {
        // A connection that was cut is no reason to leave a guest frozen.
        if (reason !== undefined && (await hasEnded(link))) {
          link = attempts.use(await host.reconnect(AbortSignal.timeout(THAW_CALL_MS)));
        }
        return await thawOnce({ ...host, link }, domain);
      } catch (cause) {
        reason = asError(cause).message;
      }
      if (clock.monotonicMs() + pause >= end) break;
      await clock.sleep(pause);
    }
  } finally {
    await attempts.disposeAsync();
  }
  onNotice(
    `the guest may still be frozen (${reason}): look at it, and thaw it with "virsh domfsthaw ${domain.name}". The ` +
      'next backup of the machine tries it too',
  );
  return 'frozen';
}

async function hasEnded({ ended }: Link): Promise<boolean> {
  return (await Promise.race([ended, Promise.resolve(ALIVE)])) !== ALIVE;
}

const ALIVE = Symbol('alive');

async function thawOnce(host: LibvirtHost, domain: LibvirtDomain): Promise<number | 'off'> {
  const asked = { domain, mounts: [], flags: 0 };
  const options = { isUrgent: true, timeoutMs: THAW_CALL_MS };
  try {
    const count = await host.link.call(LIBVIRT_CALLS.thaw, asked, undefined, options);
    await unmark(host, domain);
    return count;
  } catch (cause) {
    if (isNumber(cause, LIBVIRT_ERRORS.noDomain)) return 'off';
    // That is what libvirt says of any machine that does not run.
    if (!isNumber(cause, LIBVIRT_ERRORS.operationInvalid)) throw cause;
    const power = await powerOf(host, domain, AbortSignal.timeout(THAW_CALL_MS));
    if (power === 'off') return 'off';
    if (power === 'on') throw cause;
    const advice = `resume it ("virsh ${power === 'suspended' ? 'dompmwakeup' : 'resume'} ${domain.name}")`;
    throw new HypervisorError('BUSY', `the machine is ${power}: ${advice}`, { cause });
  }
}

/**
 * Thaws a guest that a backup of ours has left frozen. Resolves with what there is to report of it: also that it could
 * not be thawed, which does not keep the machine from being backed up. The mark stays then, for the next backup.
 */
export async function thawLeft(
  host: LibvirtHost,
  domain: LibvirtDomain,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const notices: string[] = [];
  const onNotice = (message: string): void => void notices.push(message);
  try {
    if (!(await isMarked(host, domain, signal))) return [];
    const thawed = await thaw(host, { domain, onNotice }, THAW_LEFT_MS);
    const wasFrozen = typeof thawed === 'number' && thawed > 0;
    return wasFrozen ? ['its guest was frozen, and was thawed'] : notices;
  } catch (cause) {
    if (!(cause instanceof HypervisorError)) throw cause;
    return [`whether an earlier backup has left its guest frozen is not known: ${cause.message}`];
  }
}

/**
 * The mark of a machine whose guest we have frozen, or are about to: metadata of the running domain, which libvirt
 * keeps over its own restart, and forgets when the machine is turned off.
 */
const NAMESPACE = 'https://holdfast.invalid/libvirt/1';
const PREFIX = 'holdfast';
const UNMARK_MS = 30_000;

/** One that may have been set, though the answer was lost, is taken away. */
async function mark(
  host: Pick<LibvirtHost, 'link' | 'owner'>,
  domain: LibvirtDomain,
  signal: AbortSignal,
): Promise<void> {
  const text = writeXml(element('frozen', { by: host.owner }));
  try {
    await setMark(host, domain, { text, signal });
  } catch (cause) {
    await unmark(host, domain);
    throw cause;
  }
}

/** A mark that stays costs the next backup one order to thaw. A machine that is gone, or was turned off, has none. */
async function unmark(host: Pick<LibvirtHost, 'link'>, domain: LibvirtDomain): Promise<void> {
  try {
    await setMark(host, domain, { text: undefined, timeoutMs: UNMARK_MS });
  } catch (cause) {
    if (!(cause instanceof HypervisorError)) throw cause;
  }
}

interface NewMark extends CallOptions {
  /** Undefined: none. */
  readonly text: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

function setMark(
  { link }: Pick<LibvirtHost, 'link'>,
  domain: LibvirtDomain,
  { text, signal, timeoutMs }: NewMark,
): Promise<unknown> {
  return link.call(
    LIBVIRT_CALLS.setMetadata,
    {
      ...{ domain, type: LIBVIRT_FLAGS.metadataType.element, metadata: text },
      ...{ key: PREFIX, uri: NAMESPACE, flags: LIBVIRT_FLAGS.setMetadata.live },
    },
    signal,
    { timeoutMs },
  );
}

async function isMarked(
  { link, owner }: Pick<LibvirtHost, 'link' | 'owner'>,
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
