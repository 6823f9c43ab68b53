import { LIBVIRT_CALLS, LIBVIRT_FLAGS } from '../../../formats/wire/libvirt-calls.ts';
import { HypervisorError } from '../../base/hypervisor-error.ts';
import type { PlacedMachine, ReservedDisk, SettledPlan } from '../../base/run-driver.ts';
import { attribute, first, parseXml, writeXml, type XmlElement } from '../../base/xml.ts';
import type { LibvirtHost } from '../libvirt-host.ts';
import { isSaved } from '../machines.ts';
import type { PlacedDisk } from './layers.ts';
import { isMark, type MadeMark, setMark } from './mark.ts';
import { disksOf, seen, seenOurs } from './placed.ts';
import { removeFiles } from './placed-files.ts';
import type { RunHost } from './run-host.ts';
import { storedDisk, type StoredVolume } from './stored-disk.ts';

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
function withPolicies(
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
function changed(
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

/** A machine that is off gets its reserved disks. */
export async function switchDisks(
  host: LibvirtHost,
  placed: PlacedMachine,
  { to, signal }: { readonly to: readonly ReservedDisk[]; readonly signal: AbortSignal },
): Promise<void> {
  const { link } = host;
  const machine = await seenOurs(host, placed, signal);
  const { domain, power, mark } = machine;
  const disks = await disksOf(host, machine, { session: placed.session, signal });
  const moving = to.filter(({ name }) => disks.find((it) => it.name === name)?.place === 'ours');
  if (to.length > 0 && moving.length === 0) return;
  if (power !== 'off') {
    throw new HypervisorError('BUSY', `the machine ${domain.name} runs: shut it down`);
  }
  // What was written since is in a layer of the hypervisor's own, and would go with it.
  const covered = disks.filter(({ isCovered }) => isCovered);
  if (covered.length > 0) throw coveredBy(domain.name, covered);
  // It would start with all that it was saved with, and on the disks of then.
  if (await isSaved(host, domain, signal)) {
    const advice = 'start it and shut it down, or remove that state (virsh managedsave-remove)';
    throw new HypervisorError(
      'CONFLICT',
      `the machine ${domain.name} has a saved state: ${advice}`,
    );
  }
  if (moving.length === 0) return;
  const volumes = new Map<string, StoredVolume>();
  for (const it of moving) {
    const { target } = disks.find(({ name }) => name === it.name)!;
    volumes.set(target, await volumeOf(host, it, signal));
  }
  const { secure, inactive } = LIBVIRT_FLAGS.domainXml;
  const asked = { domain, flags: secure | inactive };
  const kept = parseXml(await link.call(LIBVIRT_CALLS.domainXml, asked, signal), 'domain');
  const xml = writeXml(on(kept, mark, volumes));
  await link.call(LIBVIRT_CALLS.defineDomain, { xml, flags: 0 }, signal);
}

function coveredBy(machine: string, disks: readonly PlacedDisk[]): HypervisorError {
  const names = disks.map(({ name }) => name).join(', ');
  const advice = disks
    .map(({ target }) => `virsh blockcommit ${machine} ${target} --active --pivot`)
    .join('; ');
  const message = `the machine ${machine} has a snapshot over its disk ${names}`;
  return new HypervisorError(
    'CONFLICT',
    `${message}: start it and commit that (${advice}), or migrate it while it runs`,
  );
}

/** Rejects CONFLICT if its size is another. */
async function volumeOf(
  { link }: LibvirtHost,
  { source: path, size }: ReservedDisk,
  signal: AbortSignal,
): Promise<StoredVolume> {
  const volume = await link.call(LIBVIRT_CALLS.volumeByPath, { path }, signal);
  const { capacity, type } = await link.call(LIBVIRT_CALLS.volumeInfo, { volume }, signal);
  if (capacity === size) return { path, isBlock: type === 'block' };
  throw new HypervisorError('CONFLICT', `the volume ${path} has ${capacity} bytes, not ${size}`);
}

/** Disks by their target; each as it stays, since the machine may be started before all of it does. */
function on(
  domain: XmlElement,
  mark: MadeMark,
  volumes: ReadonlyMap<string, StoredVolume>,
): XmlElement {
  return changed(domain, {
    devices: (devices) =>
      changed(devices, {
        disk(disk) {
          const target = attribute(first(disk, 'target'), 'dev') ?? '';
          const volume = volumes.get(target);
          const noted = mark.disks.find((it) => it.target === target);
          if (!volume || !noted) return disk;
          return changed(storedDisk(disk, volume), {
            driver: (driver) => withPolicies(driver, noted),
          });
        },
      }),
  });
}
