import type { LibvirtDomain } from '../../formats/wire/libvirt.ts';
import { LIBVIRT_CALLS } from '../../formats/wire/libvirt-calls.ts';
import type { BackupWish } from '../base/backup-driver.ts';
import type { Finding } from '../base/finding.ts';
import { snapshotFindings } from '../base/snapshot-findings.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { chooseDisks, leftFindings } from '../base/chosen-disks.ts';
import { type Domain, type DomainDisk, readDomain } from './domain.ts';
import type { LibvirtHost } from './libvirt-host.ts';
import { isSaved, powerOf } from './machines.ts';
import { foreignCheckpoints } from './tidy.ts';
import { SAVED } from './stopped-machine.ts';
import { internalSnapshots } from './tracking.ts';

/** What stands in the way of a backup of one machine, each with what to do about it. */
export async function checkMachine(
  host: LibvirtHost,
  domain: LibvirtDomain,
  { wish, signal }: { readonly wish: BackupWish; readonly signal: AbortSignal },
): Promise<readonly Finding[]> {
  const xml = await host.link.call(LIBVIRT_CALLS.domainXml, { domain, flags: 0 }, signal);
  const described = readDomain(xml);
  const power = await powerOf(host, domain, signal);
  const isOn = power !== 'off';
  return [
    ...diskFindings(host, described, wish),
    ...(isOn ? agentFindings(described, wish) : offFindings(host, described, wish)),
    ...(!isOn && (await isSaved(host, domain, signal)) ? savedFindings(described, wish) : []),
    ...snapshotFindings(await internalSnapshots(host, domain, signal), removal(domain.name)),
    ...foreignFindings(await foreignCheckpoints(host, domain, signal)),
    ...(isOn ? await jobFindings(host, domain, signal) : []),
  ];
}

function offFindings(
  { isLocal }: LibvirtHost,
  described: Domain,
  wish: BackupWish,
): readonly Finding[] {
  const code = 'power';
  const remedy = `start it for its backup, paused if it must not run: "virsh start --paused ${described.name}"`;
  if (!isLocal) {
    const message =
      'the machine is off, and its images are on another host: only there they can be read';
    return [{ level: 'blocker', code, message, remedy }];
  }
  const away = chosenOf(described, wish).filter(({ path }) => path === undefined);
  return [
    ...away.map(({ name: disk, type }): Finding => {
      const message = `the machine is off, and the disk's image (${type}) is not a file or device of this host`;
      return { level: 'blocker', code, disk, message, remedy };
    }),
    ...(away.length > 0 ? [] : [OFF]),
  ];
}

const OFF: Finding = {
  level: 'note',
  code: 'power',
  message: 'the machine is off: its images are read, and changes are counted again once it has run',
};

function savedFindings({ name }: Domain, wish: BackupWish): readonly Finding[] {
  if (wish.consistency === 'crash') return [];
  return [
    {
      level: wish.fallBack ? 'warning' : 'blocker',
      code: 'power',
      message: `${SAVED}: its disks will be as after a power cut`,
      remedy: `start it for its backup: "virsh start ${name}"`,
    },
  ];
}

/** None if the choice itself is refused, which is a finding of its own. */
function chosenOf(described: Domain, wish: BackupWish): readonly DomainDisk[] {
  try {
    return chooseDisks(described, wish).read;
  } catch (cause) {
    if (!(cause instanceof HypervisorError)) throw cause;
    return [];
  }
}

function diskFindings(
  { scratch }: LibvirtHost,
  described: Domain,
  wish: BackupWish,
): readonly Finding[] {
  try {
    const { read, left } = chooseDisks(described, wish);
    return [
      ...leftFindings(left),
      ...read.flatMap(({ name: disk, format, type }): readonly Finding[] => [
        ...(format === 'qcow2' ? [] : [rawFinding(disk, format)]),
        ...(type === 'file' || scratch !== undefined ? [] : [scratchFinding(disk, type)]),
      ]),
    ];
  } catch (cause) {
    if (!(cause instanceof HypervisorError)) throw cause;
    const remedy = 'see its disks: "virsh domblklist"';
    return [{ level: 'blocker', code: 'disk-excluded', message: cause.message, remedy }];
  }
}

function rawFinding(disk: string, format: string): Finding {
  return {
    level: 'warning',
    code: 'disk-format',
    disk,
    message: `its image is ${format}: changes cannot be counted, so that each backup reads all that is in use of it`,
    remedy: 'convert the image to qcow2 ("qemu-img convert", with the machine off)',
  };
}

function scratchFinding(disk: string, type: string): Finding {
  return {
    level: 'blocker',
    code: 'scratch-space',
    disk,
    message: `it is of type "${type}", so the hypervisor has no place for what the guest overwrites during a backup`,
    remedy: 'name a directory on the hypervisor: "holdfast hypervisor change NAME --scratch DIR"',
  };
}

function agentFindings(
  { agent }: Domain,
  { consistency, fallBack }: BackupWish,
): readonly Finding[] {
  if (agent === 'connected' || consistency === 'crash') return [];
  const message =
    agent === 'none'
      ? 'the machine has no channel for the QEMU guest agent: its disks will be as after a power cut'
      : 'the QEMU guest agent does not run in the guest: its disks will be as after a power cut';
  const remedy =
    agent === 'none'
      ? 'add a channel "org.qemu.guest_agent.0" to the machine, and install qemu-guest-agent in the guest'
      : 'install and start qemu-guest-agent in the guest';
  return [{ level: fallBack ? 'warning' : 'blocker', code: 'agent', message, remedy }];
}

const removal = (machine: string): string =>
  `delete them ("virsh snapshot-delete ${machine} NAME"), or use external ones (--disk-only)`;

function foreignFindings(names: readonly string[]): readonly Finding[] {
  if (names.length === 0) return [];
  return [
    {
      level: 'warning',
      code: 'foreign-tracking',
      message:
        `another program tracks its changes too (checkpoint ${names.slice(0, 3).join(', ')}). Holdfast leaves that ` +
        'alone, but other programs may refuse to go on beside ours',
      remedy: 'back it up with one program only',
    },
  ];
}

async function jobFindings(
  { link }: LibvirtHost,
  domain: LibvirtDomain,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const { type } = await link.call(LIBVIRT_CALLS.jobInfo, { domain }, signal);
  if (type !== 'bounded' && type !== 'unbounded') return [];
  const message = 'a job runs on it, a backup or a migration';
  return [
    { level: 'blocker', code: 'busy', message, remedy: 'wait for its end: "virsh domjobinfo"' },
  ];
}
