import { LIBVIRT_ERRORS, type LibvirtDomain } from '../../../formats/wire/libvirt.ts';
import { LIBVIRT_CALLS, LIBVIRT_FLAGS } from '../../../formats/wire/libvirt-calls.ts';
import { HypervisorError } from '../../base/hypervisor-error.ts';
import type { MachineId } from '../../base/machines.ts';
import { all, first, parseXml } from '../../base/xml.ts';
import { readDomain } from '../domain.ts';
import { isNumber } from '../libvirt-error.ts';
import type { LibvirtHost } from '../libvirt-host.ts';
import { type AsideMark, setMark } from './mark.ts';
import { seen, type Seen } from './placed.ts';

/*
 * A machine whose place a session's machine takes: it gets another name, and no longer starts with the host, where both
 * would have the same addresses. libvirt gives no other name to a machine with checkpoints, and every one that was
 * backed up has some: what libvirt knows of them is kept in the mark, forgotten for the moment of the change, and
 * told again. Their bitmaps are in the images and are not touched.
 */

interface Aside {
  readonly id: MachineId;
  readonly session: string;
  readonly signal: AbortSignal;
}

export async function setAside(host: LibvirtHost, aside: Aside): Promise<void> {
  const { id, session, signal } = aside;
  const { domain, power, mark } = await present(host, id, signal);
  if (mark?.kind === 'made') throw whose(domain, `belongs to the session ${mark.session}`);
  if (mark && mark.session !== session) throw heldBy(domain, mark.session);
  const to = asideName(mark?.name ?? domain.name, session);
  if (domain.name === to && mark?.checkpoints.length === 0) return;
  if (power !== 'off') {
    throw new HypervisorError('BUSY', `the machine ${domain.name} runs: shut it down first`);
  }
  await requireNameable(host, domain, signal);
  let noted = mark;
  if (!noted) {
    const autostart = (await host.link.call(LIBVIRT_CALLS.autostart, { domain }, signal)) !== 0;
    noted = { kind: 'aside', session, name: domain.name, autostart, checkpoints: [] };
    await setMark(host, domain, { mark: noted, isOn: false, signal });
  }
  if (noted.autostart) {
    await host.link.call(LIBVIRT_CALLS.setAutostart, { domain, autostart: 0 }, signal);
  }
  await rename(host, domain, { to, mark: noted, signal });
}

export async function putBack(host: LibvirtHost, aside: Aside): Promise<void> {
  const { id, session, signal } = aside;
  const found = await seen(host, id, signal);
  if (found?.mark?.kind !== 'aside') return;
  const { domain, power, mark } = found;
  if (mark.session !== session) throw heldBy(domain, mark.session);
  if (domain.name !== mark.name || mark.checkpoints.length > 0) {
    if (power !== 'off') {
      throw new HypervisorError('BUSY', `the machine ${domain.name} runs: shut it down first`);
    }
    await requireNameable(host, domain, signal);
    await requireFree(host, mark.name, { but: id, signal });
    await rename(host, domain, { to: mark.name, mark, signal });
  }
  if (mark.autostart) {
    await host.link.call(LIBVIRT_CALLS.setAutostart, { domain, autostart: 1 }, signal);
  }
  await setMark(host, domain, { mark: undefined, isOn: power !== 'off', signal });
}

export async function leaveAside(host: LibvirtHost, aside: Aside): Promise<void> {
  const { id, session, signal } = aside;
  const found = await seen(host, id, signal);
  if (found?.mark?.kind !== 'aside') return;
  const { domain, power, mark } = found;
  if (mark.session !== session) throw heldBy(domain, mark.session);
  await setMark(host, domain, { mark: undefined, isOn: power !== 'off', signal });
}

/** Returns where its disks are, which stay. */
export async function removeAside(host: LibvirtHost, aside: Aside): Promise<readonly string[]> {
  const { id, session, signal } = aside;
  const found = await seen(host, id, signal);
  if (!found) return [];
  const { domain, power, mark } = found;
  if (mark?.kind !== 'aside') throw whose(domain, `was not set aside by the session ${session}`);
  if (mark.session !== session) throw heldBy(domain, mark.session);
  if (domain.name !== asideName(mark.name, session)) {
    throw whose(domain, 'has got another name since it was set aside');
  }
  if (power !== 'off') {
    throw new HypervisorError('BUSY', `the machine ${domain.name} runs: it is not removed`);
  }
  const xml = await host.link.call(LIBVIRT_CALLS.domainXml, { domain, flags: 0 }, signal);
  const { managedSave, firmwareVariables, checkpoints } = LIBVIRT_FLAGS.undefineDomain;
  const flags = managedSave | firmwareVariables | checkpoints;
  const kept = await keepTpm(host, { domain, xml, signal });
  await host.link.call(LIBVIRT_CALLS.undefineDomain, { domain, flags: flags | kept }, signal);
  return readDomain(xml).disks.flatMap(({ described: { source, excluded } }) =>
    source === undefined || excluded?.reason === 'removable' ? [] : [source],
  );
}

const KEEPS_TPM_SINCE = 8_009_000;

/** The flag with which the state of its TPM stays: keys of its disks may be in there. Rejects CONFLICT without it. */
async function keepTpm(
  { link, name }: LibvirtHost,
  {
    domain,
    xml,
    signal,
  }: { readonly domain: LibvirtDomain; readonly xml: string; readonly signal: AbortSignal },
): Promise<number> {
  const hasTpm = all(first(parseXml(xml, 'domain'), 'devices'), 'tpm').length > 0;
  if (!hasTpm) return 0;
  const version = await link.call(LIBVIRT_CALLS.libVersion, undefined, signal);
  if (version >= KEEPS_TPM_SINCE) return LIBVIRT_FLAGS.undefineDomain.keepTpm;
  throw whose(domain, `has a TPM, whose state libvirt on ${name} would remove with it`);
}

const asideName = (name: string, session: string): string => `${name}-replaced-${session}`;

async function present(host: LibvirtHost, id: MachineId, signal: AbortSignal): Promise<Seen> {
  const found = await seen(host, id, signal);
  if (found) return found;
  throw new HypervisorError('NOT_FOUND', `there is no machine ${id} on ${host.name}`);
}

function heldBy(domain: LibvirtDomain, session: string): HypervisorError {
  return whose(domain, `was set aside by the session ${session}`);
}

function whose({ name, uuid }: LibvirtDomain, what: string): HypervisorError {
  return new HypervisorError('CONFLICT', `the machine ${name} (${uuid}) ${what}`);
}

/** Before anything is changed: libvirt refuses some for good. */
async function requireNameable(
  { link }: LibvirtHost,
  domain: LibvirtDomain,
  signal: AbortSignal,
): Promise<void> {
  const asked = { domain, wanted: 1, flags: 0 };
  const { all } = await link.call(LIBVIRT_CALLS.snapshots, asked, signal);
  if (all.length === 0) return;
  const names = all
    .slice(0, 3)
    .map(({ name }) => name)
    .join(', ');
  throw new HypervisorError(
    'UNSUPPORTED',
    `the machine ${domain.name} has snapshots (${names}), and libvirt cannot rename it as long as it has any: ` +
      `delete them ("virsh snapshot-delete ${domain.name} NAME"), or choose another name for the recovered machine`,
  );
}

/** Rejects EXISTS. */
export async function requireFree(
  { link, name: host }: LibvirtHost,
  name: string,
  { but, signal }: { readonly but?: MachineId; readonly signal: AbortSignal },
): Promise<void> {
  try {
    const { uuid } = await link.call(LIBVIRT_CALLS.domainByName, { name }, signal);
    if (uuid === but) return;
    throw new HypervisorError('EXISTS', `a machine "${name}" exists on ${host}: ${uuid}`);
  } catch (cause) {
    if (!isNumber(cause, LIBVIRT_ERRORS.noDomain)) throw cause;
  }
}

interface Renaming {
  readonly to: string;
  readonly mark: AsideMark;
  readonly signal: AbortSignal;
}

async function rename(
  host: LibvirtHost,
  domain: LibvirtDomain,
  { to, mark, signal }: Renaming,
): Promise<void> {
  const saved = await saveCheckpoints(host, domain, { mark, signal });
  if (domain.name !== to) {
    try {
      await host.link.call(LIBVIRT_CALLS.renameDomain, { domain, name: to, flags: 0 }, signal);
    } catch (cause) {
      if (!isNumber(cause, LIBVIRT_ERRORS.operationInvalid)) throw cause;
      const message = `libvirt does not rename the machine ${domain.name}: ${cause.message}`;
      throw new HypervisorError('UNSUPPORTED', message, { cause, native: cause.native });
    }
  }
  if (saved.length === 0) return;
  const { redefine } = LIBVIRT_FLAGS.createCheckpoint;
  const renamed = { ...domain, name: to };
  for (const xml of saved) {
    const checkpoint = { domain: renamed, xml, flags: redefine };
    await host.link.call(LIBVIRT_CALLS.createCheckpoint, checkpoint, signal);
  }
  await setMark(host, renamed, { mark: { ...mark, checkpoints: [] }, isOn: false, signal });
}

/** Once they are in the mark, libvirt may forget them. Returns their definitions, parents first. */
async function saveCheckpoints(
  host: LibvirtHost,
  domain: LibvirtDomain,
  { mark, signal }: Omit<Renaming, 'to'>,
): Promise<readonly string[]> {
  const { link } = host;
  const flags = LIBVIRT_FLAGS.checkpoints.topological;
  const { all } = await link.call(LIBVIRT_CALLS.checkpoints, { domain, wanted: 1, flags }, signal);
  let saved = mark.checkpoints;
  if (saved.length === 0 && all.length > 0) {
    const texts: string[] = [];
    for (const named of all) {
      const { secure } = LIBVIRT_FLAGS.checkpointXml;
      texts.push(await link.call(LIBVIRT_CALLS.checkpointXml, { named, flags: secure }, signal));
    }
    saved = texts;
    await setMark(host, domain, { mark: { ...mark, checkpoints: saved }, isOn: false, signal });
  }
  for (const named of all.toReversed()) {
    const { metadataOnly } = LIBVIRT_FLAGS.deleteCheckpoint;
    await link.call(LIBVIRT_CALLS.deleteCheckpoint, { named, flags: metadataOnly }, signal);
  }
  return saved;
}
