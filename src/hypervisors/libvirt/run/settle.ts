import { LIBVIRT_CALLS, LIBVIRT_FLAGS } from '../../../formats/wire/libvirt-calls.ts';
import { HypervisorError } from '../../base/hypervisor-error.ts';
import type { PlacedMachine, SettledPlan } from '../../base/run-driver.ts';
import { attribute, first, parseXml, writeXml, type XmlElement } from '../../base/xml.ts';
import { isMark, type MadeMark, setMark } from './mark.ts';
import { disksOf, seen, seenOurs } from './placed.ts';
import { removeFiles } from './placed-files.ts';
import type { RunHost } from './run-host.ts';

export async function settle(
  host: RunHost,
  placed: PlacedMachine,
  { plan, signal }: { readonly plan: SettledPlan; readonly signal: AbortSignal },
): Promise<void> {
  const { id, session } = placed;
  const present = await seen(host, id, signal);
  const isSettled = present && present.mark === undefined && present.domain.name === plan.name;
  const machine = isSettled ? present : await seenOurs(host, placed, signal);
  const { domain, power, mark } = machine;
  const disks = await disksOf(host, machine, { session, signal });
  const left = disks.filter(({ place }) => place === 'ours').map(({ name }) => name);
  if (left.length > 0) {
    const message = `the machine ${domain.name} still needs disks that Holdfast serves: ${left.join(', ')}`;
    throw new HypervisorError('CONFLICT', message);
  }
  if (mark?.kind !== 'made') return;
  if (plan.autostart !== undefined) {
    const autostart = plan.autostart ? 1 : 0;
    await host.link.call(LIBVIRT_CALLS.setAutostart, { domain, autostart }, signal);
  }
  const { secure, inactive } = LIBVIRT_FLAGS.domainXml;
  const asked = { domain, flags: secure | inactive };
  const kept = parseXml(await host.link.call(LIBVIRT_CALLS.domainXml, asked, signal), 'domain');
  const xml = writeXml(asBefore(kept, mark));
  await host.link.call(LIBVIRT_CALLS.defineDomain, { xml, flags: 0 }, signal);
  // The mark last: as long as the machine that runs has it, this can be repeated.
  if (power !== 'off') await setMark(host, domain, { mark: undefined, isOn: true, signal });
}

/** Without our mark, and with what it said about errors of disks before. */
function asBefore(domain: XmlElement, mark: MadeMark): XmlElement {
  const disks = new Map(mark.disks.map((it) => [it.target, it]));
  return changed(domain, {
    metadata: (metadata) => ({
      ...metadata,
      children: metadata.children.filter((it) => !isMark(it)),
    }),
    devices: (devices) =>
      changed(devices, {
        disk(disk) {
          const noted = disks.get(attribute(first(disk, 'target'), 'dev') ?? '');
          if (!noted) return disk;
          return changed(disk, { driver: (driver) => withPolicies(driver, noted) });
        },
      }),
  });
}

/** As the definition said before what happens when a disk has an error. */
export function withPolicies(
  driver: XmlElement,
  { errorPolicy, readErrorPolicy }: MadeMark['disks'][number],
): XmlElement {
  const { error_policy: _, rerror_policy: __, ...kept } = driver.attributes;
  const attributes: Record<string, string> = { ...kept };
  if (errorPolicy !== undefined) attributes['error_policy'] = errorPolicy;
  if (readErrorPolicy !== undefined) attributes['rerror_policy'] = readErrorPolicy;
  return { ...driver, attributes };
}

/** With other children, by their name. */
export function changed(
  parent: XmlElement,
  by: Readonly<Record<string, (it: XmlElement) => XmlElement>>,
): XmlElement {
  return {
    ...parent,
    children: parent.children.map((it) =>
      typeof it === 'string' ? it : (by[it.name]?.(it) ?? it),
    ),
  };
}

export async function unregister(
  host: RunHost,
  placed: PlacedMachine,
  signal: AbortSignal,
): Promise<void> {
  const { id, session } = placed;
  if (!(await seen(host, id, signal))) return removeFiles(host, placed, signal);
  const machine = await seenOurs(host, placed, signal);
  const { domain, power } = machine;
  const disks = await disksOf(host, machine, { session, signal });
  const there = disks.filter(({ place }) => place !== 'ours').map(({ name }) => name);
  if (there.length > 0) {
    const message = `the machine ${domain.name} has moved (${there.join(', ')}): it is the host's own`;
    throw new HypervisorError('CONFLICT', message);
  }
  if (power !== 'off') {
    throw new HypervisorError('BUSY', `the machine ${domain.name} runs: turn it off first`);
  }
  // With the variables and the TPM's state that were placed for it.
  const { managedSave, snapshots, firmwareVariables, checkpoints } = LIBVIRT_FLAGS.undefineDomain;
  const flags = managedSave | snapshots | firmwareVariables | checkpoints;
  await host.link.call(LIBVIRT_CALLS.undefineDomain, { domain, flags }, signal);
}
