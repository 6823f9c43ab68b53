import { LIBVIRT_CALLS, LIBVIRT_FLAGS } from '../../../formats/wire/libvirt-calls.ts';
import { HypervisorError } from '../../base/hypervisor-error.ts';
import type { PlacedMachine, ReservedDisk } from '../../base/run-driver.ts';
import { attribute, first, parseXml, writeXml, type XmlElement } from '../../base/xml.ts';
import type { LibvirtHost } from '../libvirt-host.ts';
import { isSaved } from '../machines.ts';
import type { MadeMark } from './mark.ts';
import { disksOf, seenOurs } from './placed.ts';
import { changed, withPolicies } from './settle.ts';
import { storedDisk, type StoredVolume } from './stored-disk.ts';

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
