import { openNbdDisk } from '../../../block/nbd-client/nbd-disk.ts';
import { BlockError } from '../../../block/block-error.ts';
import { SystemError } from '../../../sys/base/system-error.ts';
import { LIBVIRT_CALLS } from '../../../formats/wire/libvirt-calls.ts';
import type { LibvirtDomain } from '../../../formats/wire/libvirt.ts';
import { formatSize, MiB } from '../../../lib/sizes.ts';
import { HypervisorError } from '../../base/hypervisor-error.ts';
import type { Finding } from '../../base/finding.ts';
import type { DisksPlan } from '../../base/restore-driver.ts';
import type { MachinePlan, Places, RunPlan, ServedDisk } from '../../base/run-driver.ts';
import { all, attribute, first, parseXml } from '../../base/xml.ts';
import { bridgeIn, kindOf, networkOf, passedThrough } from './definition.ts';
import { fitOf, type HostFit } from './host-fit.ts';
import { noFiles } from './layer-volumes.ts';
import { findMade } from './placed.ts';
import { placesOf } from './places.ts';
import { fullDisks, hasFiles, neededIn, poolOf } from './reserved.ts';
import type { RunHost } from './run-host.ts';
import { sourceFor } from './served-disk.ts';

/** What stands in the way of a run, each with what to do about it. */
export async function checkRun(
  host: RunHost,
  plan: RunPlan,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const { session, pool } = plan;
  const places = await placesOf(host, signal);
  const disks = fullDisks(plan.disks);
  return [
    ...(await checkPlace(host, plan, { places, signal })),
    ...(await pathFindings(host, plan, signal)),
    ...(pool === undefined
      ? []
      : await checkDisks(host, { session, pool, disks }, { places, signal })),
    ...(await writesFindings(host, plan, { places, signal })),
  ];
}

/** What a guest that boots, and applies its journals, may write at the least. */
const WRITES_LEAST = 64 * MiB;

/** Whether the pool takes what the guest writes. */
async function writesFindings(
  host: RunHost,
  { writes, pool: name }: RunPlan,
  { places: { pools }, signal }: { readonly places: Places; readonly signal: AbortSignal },
): Promise<readonly Finding[]> {
  const pool = pools.find((it) => it.name === name);
  if (writes === 'here' || !pool) return [];
  const remedy =
    'choose another pool (--pool), or keep the writes of its guest here: --writes here';
  if (!(await hasFiles(host, await poolOf(host, pool.name, signal), signal))) {
    return [{ level: 'blocker', code: 'disk-format', message: noFiles(pool.name), remedy }];
  }
  if (pool.free >= WRITES_LEAST) return [];
  const message =
    `the pool "${pool.name}" has ${formatSize(pool.free)} free for what its guest writes, and needs ` +
    `${formatSize(WRITES_LEAST)} at the least`;
  return [{ level: 'blocker', code: 'overlay-space', message, remedy }];
}

/** A machine, and the disks that it will have. */
type Planned = MachinePlan & { readonly disks: readonly { readonly name: string }[] };

/** What stands in the way of such a machine, whatever its disks are on. */
export async function checkPlace(
  host: RunHost,
  plan: Planned,
  { places, signal }: { readonly places: Places; readonly signal: AbortSignal },
): Promise<readonly Finding[]> {
  const wanted = { wanted: 1, flags: 0 };
  const { domains } = await host.link.call(LIBVIRT_CALLS.listDomains, wanted, signal);
  const own = await findMade(host, plan.session, signal);
  const others = domains.filter(({ uuid }) => uuid !== own);
  const fit = await fitOf(host, kindOf(plan), signal);
  return [
    ...nameFindings(others, plan),
    ...(await addressFindings(host, others, { plan, signal })),
    ...networkFindings(places, plan),
    ...('refusal' in fit ? [refused(plan, fit.refusal)] : fitFindings(fit, plan)),
    ...deviceFindings(plan),
  ];
}

function nameFindings(others: readonly LibvirtDomain[], plan: MachinePlan): readonly Finding[] {
  const { name, uuid } = plan;
  return others.flatMap((it): readonly Finding[] => {
    if (it.uuid === uuid) {
      return [
        {
          ...{ level: 'blocker', code: 'name', message: `the machine "${it.name}" has its UUID` },
          remedy: 'give the recovered machine a UUID of its own',
        },
      ];
    }
    if (it.name !== name) return [];
    return [
      {
        ...{ level: 'blocker', code: 'name', message: `a machine "${name}" exists` },
        remedy: 'choose another name, or replace that machine (--replace keep)',
      },
    ];
  });
}

/** Machines that run with the addresses of its cards. */
async function addressFindings(
  { link }: RunHost,
  others: readonly LibvirtDomain[],
  { plan, signal }: { readonly plan: MachinePlan; readonly signal: AbortSignal },
): Promise<readonly Finding[]> {
  const cards = new Set(plan.machine.nics.map(({ mac }) => mac.toLowerCase()));
  const findings: Finding[] = [];
  for (const domain of others.filter(({ id }) => id !== -1)) {
    const { name, uuid } = domain;
    if (uuid === plan.machine.from.id) {
      findings.push({
        ...{
          level: 'warning',
          code: 'source-machine',
          message: `the machine "${name}" still runs`,
        },
        remedy: 'shut it down: both machines have its addresses',
      });
      continue;
    }
    const xml = await link.call(LIBVIRT_CALLS.domainXml, { domain, flags: 0 }, signal);
    const taken = all(first(parseXml(xml, 'domain'), 'devices'), 'interface')
      .map((it) => attribute(first(it, 'mac'), 'address')?.toLowerCase() ?? '')
      .filter((it) => cards.has(it));
    if (taken.length === 0) continue;
    findings.push({
      ...{ level: 'warning', code: 'network' },
      message: `the machine "${name}" runs with the MAC address ${taken.join(', ')}`,
      remedy: 'shut it down, or connect the cards to other networks',
    });
  }
  return findings;
}

function networkFindings({ networks }: Places, plan: MachinePlan): readonly Finding[] {
  return plan.machine.nics.flatMap(({ mac }): readonly Finding[] => {
    const network = networkOf(plan.networks, mac);
    if (network === undefined || networks.includes(network) || bridgeIn(network)) return [];
    return [
      {
        ...{ level: 'blocker', code: 'network' },
        message: `there is no active network "${network}" for card ${mac}`,
        remedy: `choose one of: ${networks.join(', ') || 'none is active, see "virsh net-list --all"'}`,
      },
    ];
  });
}

function refused({ machine }: MachinePlan, refusal: string): Finding {
  return {
    ...{ level: 'blocker', code: 'version' },
    message: `the host has no machine of the type ${machine.machineType ?? machine.arch}: ${refusal}`,
    remedy: 'upgrade QEMU on the hypervisor, or recover to one that has it',
  };
}

function fitFindings(fit: HostFit, { machine }: MachinePlan): readonly Finding[] {
  const { firmware, tpm } = machine;
  const findings: Finding[] = [];
  const isUefi = firmware.kind === 'uefi';
  if (isUefi && !fit.hasUefi && fit.loaders.length === 0) {
    findings.push({
      ...{ level: 'blocker', code: 'firmware', message: 'the host has no UEFI firmware' },
      remedy: 'install it on the hypervisor (Debian: "apt install ovmf")',
    });
  } else if (isUefi && firmware.secureBoot && !fit.hasSecureBoot) {
    findings.push({
      ...{
        level: 'blocker',
        code: 'firmware',
        message: 'the host has no firmware with Secure Boot',
      },
      remedy: 'install it on the hypervisor (Debian: "apt install ovmf")',
    });
  }
  if (isUefi && firmware.varsFile === undefined) {
    findings.push({
      ...{ level: 'warning', code: 'firmware' },
      message: 'the recovery point has no firmware variables: boot entries are as on a new machine',
      remedy: 'if it does not boot, choose its boot loader in the menu of the firmware',
    });
  }
  if (firmware.kind === 'other') {
    findings.push({
      ...{ level: 'warning', code: 'firmware' },
      message: `this release does not know its firmware ("${firmware.name}"): the machine gets a BIOS`,
      remedy: 'use the release of Holdfast that made the recovery point, or a later one',
    });
  }
  if (tpm && !fit.hasTpm) {
    findings.push({
      ...{ level: 'blocker', code: 'tpm', message: 'the host has no emulated TPM' },
      remedy: 'install it on the hypervisor (Debian: "apt install swtpm swtpm-tools")',
    });
  }
  if (tpm && tpm.stateFile === undefined) {
    findings.push({
      ...{ level: 'warning', code: 'tpm' },
      message: 'the recovery point does not have the state of its TPM: the machine gets a new TPM',
      remedy: 'have the recovery keys of its encrypted disks ready',
    });
  }
  return findings;
}

function deviceFindings(plan: Planned): readonly Finding[] {
  const left = passedThrough(plan);
  const served = new Set(plan.disks.map(({ name }) => name));
  return [
    ...(left.length === 0 ? [] : [passedFinding(left)]),
    ...plan.machine.disks
      .filter(({ name, excluded }) => !served.has(name) && excluded?.reason !== 'removable')
      .map(
        ({ name: disk, excluded }): Finding => ({
          ...{ level: 'warning', code: 'disk-excluded', disk },
          message: [
            'it is not in the recovery point, and the machine starts without it',
            ...(excluded ? [excluded.detail] : []),
          ].join(': '),
          remedy: 'make sure that the guest starts without it, or add the disk by hand',
        }),
      ),
  ];
}

function passedFinding(left: readonly string[]): Finding {
  return {
    ...{ level: 'warning', code: 'disk-excluded' },
    message: `devices of its host were passed through to it (${left.join(', ')}): the machine starts without them`,
    remedy: 'add them by hand ("virsh attach-device")',
  };
}

/** A server that listens answers within that time. */
const ANSWER_MS = 10_000;

/** Where the host is this machine, what it would reach is what we reach. Another host can only be asked by a start. */
async function pathFindings(
  { isLocal }: RunHost,
  { disks }: RunPlan,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const disk of disks.filter(({ urls }) => urls.length > 0)) {
    try {
      const source = sourceFor(disk);
      if (isLocal) await requireServed(disk, source, signal);
    } catch (cause) {
      signal.throwIfAborted();
      const isTheirs =
        cause instanceof BlockError ||
        cause instanceof SystemError ||
        cause instanceof HypervisorError;
      if (!isTheirs) throw cause;
      findings.push({
        ...{ level: 'blocker', code: 'data-path', disk: disk.name, message: cause.message },
        remedy:
          'make sure that the session runs, and that the hypervisor reaches the address on which it listens',
      });
    }
  }
  return findings;
}

async function requireServed(
  { name, size }: ServedDisk,
  source: string,
  signal: AbortSignal,
): Promise<void> {
  await using device = await openNbdDisk(source, { silenceMs: ANSWER_MS, signal });
  if (device.geometry.size === size) return;
  const sizes = `${device.geometry.size} bytes, not ${size}`;
  throw new HypervisorError('CONFLICT', `${source}, which is served as ${name}, has ${sizes}`);
}

/** What stands in the way of disks in a pool. */
export async function checkDisks(
  host: RunHost,
  plan: DisksPlan,
  { places, signal }: { readonly places: Places; readonly signal: AbortSignal },
): Promise<readonly Finding[]> {
  const { pool } = plan;
  const found = places.pools.find(({ name }) => name === pool);
  const remedy = 'choose another pool, or make space in it';
  if (!found) {
    const message = `there is no active pool "${pool}"`;
    return [{ level: 'blocker', code: 'target-space', message, remedy }];
  }
  const needed = await neededIn(host, plan, signal);
  if (needed <= found.free) return [];
  const message = `the pool "${pool}" has ${found.free} bytes free, and ${needed} are needed`;
  return [{ level: 'blocker', code: 'target-space', message, remedy }];
}
