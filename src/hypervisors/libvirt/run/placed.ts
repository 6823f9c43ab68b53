import { LIBVIRT_ERRORS, type LibvirtDomain } from '../../../formats/wire/libvirt.ts';
import { LIBVIRT_CALLS, LIBVIRT_FLAGS } from '../../../formats/wire/libvirt-calls.ts';
import { HypervisorError } from '../../base/hypervisor-error.ts';
import type { MachineId } from '../../base/machines.ts';
import type { Look, PlacedMachine, RunPower } from '../../base/run-driver.ts';
import { parseXml, type XmlElement } from '../../base/xml.ts';
import { readDomain } from '../domain.ts';
import { isNumber } from '../libvirt-error.ts';
import type { LibvirtHost } from '../libvirt-host.ts';
import { placedDisks, type PlacedDisk } from './layers.ts';
import { type MadeMark, markIn, type RunMark } from './mark.ts';

/** A machine, as libvirt says it is at this moment. */
export interface Seen {
  readonly domain: LibvirtDomain;
  readonly xml: XmlElement;
  /** The text of `xml`. */
  readonly text: string;
  readonly power: RunPower;
  readonly mark: RunMark | undefined;
}

export interface SeenOurs extends Seen {
  readonly mark: MadeMark;
}

/** Undefined: there is none with that ID. */
export async function seen(
  { link }: LibvirtHost,
  id: MachineId,
  signal: AbortSignal,
): Promise<Seen | undefined> {
  try {
    const domain = await link.call(LIBVIRT_CALLS.domainByUuid, { uuid: id }, signal);
    const text = await link.call(LIBVIRT_CALLS.domainXml, { domain, flags: 0 }, signal);
    const { state, reason } = await link.call(
      LIBVIRT_CALLS.domainState,
      { domain, flags: 0 },
      signal,
    );
    const xml = parseXml(text, 'domain');
    const found = powerOf(state, reason);
    const isFull = found === 'paused-io' && (await lacksSpace(link, domain, signal));
    return { ...{ domain, xml, text, mark: markIn(xml) }, power: isFull ? 'paused-space' : found };
  } catch (cause) {
    if (isNumber(cause, LIBVIRT_ERRORS.noDomain)) return undefined;
    throw cause;
  }
}

/** More than a machine has. */
const DISKS_MAX = 256;

/** Whether a disk of a machine that stopped has no space left. */
async function lacksSpace(
  link: LibvirtHost['link'],
  domain: LibvirtDomain,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const asked = { domain, max: DISKS_MAX, flags: 0 };
    const { errors } = await link.call(LIBVIRT_CALLS.diskErrors, asked, signal);
    return errors.some(({ kind }) => kind === 'no-space');
  } catch (cause) {
    // It is off in the meantime.
    if (isNumber(cause, LIBVIRT_ERRORS.operationInvalid)) return false;
    throw cause;
  }
}

/** virDomainPausedReason. */
const PAUSED_IO = 5;
const POWER: Readonly<Record<string, RunPower>> = {
  ...{ running: 'on', blocked: 'on', 'shutting-down': 'on' },
  ...{ off: 'off', crashed: 'off', suspended: 'suspended' },
};

function powerOf(state: string, reason: number): RunPower {
  if (state === 'paused') return reason === PAUSED_IO ? 'paused-io' : 'paused';
  return POWER[state] ?? 'unknown';
}

/** A machine of that session. Rejects NOT_FOUND, CONFLICT. */
export async function seenOurs(
  host: LibvirtHost,
  { id, session }: PlacedMachine,
  signal: AbortSignal,
): Promise<SeenOurs> {
  const found = await seen(host, id, signal);
  if (!found) throw new HypervisorError('NOT_FOUND', `there is no machine ${id} on ${host.name}`);
  const { mark } = found;
  if (mark?.kind === 'made' && mark.session === session) return { ...found, mark };
  const whose = mark?.kind === 'made' ? `is of the session ${mark.session}` : 'is not of a session';
  throw new HypervisorError(
    'CONFLICT',
    `the machine ${found.domain.name} (${id}) on ${host.name} ${whose}, and stays as it is`,
  );
}

/** Where its disks are, and where they would be at its next start. */
export async function disksOf(
  host: LibvirtHost,
  { domain, xml, power, mark }: Seen,
  { session, signal }: { readonly session: string; readonly signal: AbortSignal },
): Promise<readonly PlacedDisk[]> {
  const definitions = [xml];
  if (power !== 'off') {
    const flags = LIBVIRT_FLAGS.domainXml.inactive;
    const kept = await host.link.call(LIBVIRT_CALLS.domainXml, { domain, flags }, signal);
    definitions.push(parseXml(kept, 'domain'));
  }
  return placedDisks(host, definitions, {
    ...{ session, signal, machine: domain.uuid },
    mark: mark?.kind === 'made' ? mark : undefined,
  });
}

export async function lookAt(
  host: LibvirtHost,
  { id, session }: PlacedMachine,
  signal: AbortSignal,
): Promise<Look> {
  const found = await seen(host, id, signal);
  if (!found) return { isThere: false };
  const { domain, text, power, mark } = found;
  const disks = await disksOf(host, found, { session, signal });
  return {
    isThere: true,
    session: mark?.kind === 'made' ? mark.session : undefined,
    ...{ name: domain.name, power },
    disks: Object.fromEntries(disks.map(({ name, place }) => [name, place])),
    covered: disks.filter(({ isCovered }) => isCovered).map(({ name }) => name),
    heartbeat: power === 'on' && readDomain(text).agent === 'connected',
  };
}

/** The machine that was made for a session: by its mark, whatever its name and UUID. */
export async function findMade(
  { link }: LibvirtHost,
  session: string,
  signal: AbortSignal,
): Promise<MachineId | undefined> {
  const { domains } = await link.call(LIBVIRT_CALLS.listDomains, { wanted: 1, flags: 0 }, signal);
  const marked = await Promise.all(
    domains.map(async (domain) => {
      try {
        const xml = await link.call(LIBVIRT_CALLS.domainXml, { domain, flags: 0 }, signal);
        return markIn(parseXml(xml, 'domain'));
      } catch (cause) {
        // It is gone since the list was made.
        if (isNumber(cause, LIBVIRT_ERRORS.noDomain)) return undefined;
        throw cause;
      }
    }),
  );
  const at = marked.findIndex((it) => it?.kind === 'made' && it.session === session);
  return domains[at]?.uuid;
}
