import type { LibvirtDomain } from '../../../formats/wire/libvirt.ts';
import { LIBVIRT_CALLS, LIBVIRT_FLAGS } from '../../../formats/wire/libvirt-calls.ts';
import type { Finding } from '../../base/finding.ts';
import type { MachineId } from '../../base/machines.ts';
import type { AttachedDisk } from '../../base/restore-driver.ts';
import { element, parseXml, writeXml } from '../../base/xml.ts';
import { type DomainDisk, readDomain } from '../domain.ts';
import type { LibvirtHost } from '../libvirt-host.ts';
import { machineById, powerOf } from '../machines.ts';
import { markIn } from '../run/mark.ts';
import { type Bus, freeTarget } from '../../base/disk-targets.ts';
import { volumeDisk } from '../run/stored-disk.ts';
import { isBlockVolume } from './volume-device.ts';

/* A volume becomes a disk of a machine that is there: at once if it runs, and for its next starts. */

export async function checkAttach(
  host: LibvirtHost,
  id: MachineId,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const domain = await machineById(host, id, signal);
  const { disks, xml } = await definitionNow(host, domain, { flags: 0, signal });
  const mark = markIn(parseXml(xml, 'domain'));
  const isOn = (await powerOf(host, domain, signal)) !== 'off';
  const isNew = busFor(disks, isOn) === 'virtio' && !disks.some(isVirtio);
  const findings: Finding[] = [];
  if (mark?.kind === 'made') {
    findings.push({
      ...{ level: 'blocker', code: 'busy' },
      message: `the machine "${domain.name}" runs on the disks of the session ${mark.session}`,
      remedy: 'name another machine, or migrate this one first ("holdfast session migrate")',
    });
  }
  if (isNew && disks.length > 0) {
    findings.push({
      ...{ level: 'warning', code: 'disk-format' },
      message: `the machine "${domain.name}" has no virtio disk yet, and the restored disk will be one`,
      remedy: 'make sure that the guest has virtio drivers',
    });
  }
  return findings;
}

export async function attach(
  host: LibvirtHost,
  id: MachineId,
  { disk, signal }: { readonly disk: AttachedDisk; readonly signal: AbortSignal },
): Promise<string> {
  const domain = await machineById(host, id, signal);
  const isOn = (await powerOf(host, domain, signal)) !== 'off';
  const { live, config } = LIBVIRT_FLAGS.attachDevice;
  const { inactive } = LIBVIRT_FLAGS.domainXml;
  const kept = await definitionNow(host, domain, { flags: inactive, signal });
  const now = isOn ? await definitionNow(host, domain, { flags: 0, signal }) : kept;
  const [before, beforeNow] = [kept, now].map(({ disks }) => attached(disks, disk));
  const flags = (before ? 0 : config) | (isOn && !beforeNow ? live : 0);
  const target = before ?? beforeNow ?? targetIn([...kept.disks, ...now.disks], isOn);
  if (flags === 0) return target.name;
  const volume = {
    path: disk.source,
    isBlock: await isBlockVolume(host, disk.source, signal),
  };
  const sector = String(disk.sectorBytes);
  const xml = volumeDisk(volume, {
    driver: {},
    children: [
      element('target', { dev: target.name, bus: target.bus }),
      ...(disk.sectorBytes === 512
        ? []
        : [element('blockio', { logical_block_size: sector, physical_block_size: sector })]),
    ],
  });
  const asked = { domain, xml: writeXml(xml), flags };
  await host.link.call(LIBVIRT_CALLS.attachDevice, asked, signal);
  return target.name;
}

interface Target {
  readonly name: string;
  readonly bus: string;
}

async function definitionNow(
  { link }: LibvirtHost,
  domain: LibvirtDomain,
  { flags, signal }: { readonly flags: number; readonly signal: AbortSignal },
) {
  const xml = await link.call(LIBVIRT_CALLS.domainXml, { domain, flags }, signal);
  return { xml, disks: readDomain(xml).disks };
}

/** What an earlier attempt has made of it. */
function attached(disks: readonly DomainDisk[], { source }: AttachedDisk): Target | undefined {
  const found = disks.find(({ path }) => path === source);
  return found && { name: found.name, bus: found.described.bus };
}

function targetIn(disks: readonly DomainDisk[], isOn: boolean): Target {
  const bus = busFor(disks, isOn);
  return { bus, name: freeTarget(bus, new Set(disks.map(({ name }) => name))) };
}

function isVirtio({ described }: DomainDisk): boolean {
  return described.bus === 'virtio';
}

/** That of its first disk, for which the guest has drivers; but IDE and SATA take no disk while the machine runs. */
function busFor(disks: readonly DomainDisk[], isOn: boolean): Bus {
  const bus = disks.find(({ isReadOnly }) => !isReadOnly)?.described.bus;
  if (bus === 'scsi' || bus === 'usb') return bus;
  return !isOn && (bus === 'sata' || bus === 'ide') ? bus : 'virtio';
}
