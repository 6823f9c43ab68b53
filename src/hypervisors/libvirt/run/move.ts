import { LIBVIRT_ERRORS, type LibvirtDomain } from '../../../formats/wire/libvirt.ts';
import { LIBVIRT_CALLS, LIBVIRT_FLAGS } from '../../../formats/wire/libvirt-calls.ts';
import { HypervisorError } from '../../base/hypervisor-error.ts';
import type { DiskMove, PlacedMachine, ReservedDisk } from '../../base/run-driver.ts';
import { all, attribute, first, writeXml } from '../../base/xml.ts';
import { isNumber } from '../libvirt-error.ts';
import type { LibvirtHost } from '../libvirt-host.ts';
import type { PlacedDisk } from './layers.ts';
import { setMark } from './mark.ts';
import { disksOf, seenOurs, type SeenOurs } from './placed.ts';
import { beginPull, cancelPulls, pulling } from './pull.ts';
import { volumeDisk } from './stored-disk.ts';

/*
 * A machine that runs moves by a copy of each disk, which then follows all that the guest writes, until the disk goes
 * on on it. libvirt says nothing of a copy that ended by itself: the mark knows that there was one. Where its guest
 * writes to disks of the host already, these are completed instead (pull.ts).
 */

export async function move(
  host: LibvirtHost,
  placed: PlacedMachine,
  { to, signal }: { readonly to: readonly ReservedDisk[]; readonly signal: AbortSignal },
): Promise<void> {
  const machine = await seenOurs(host, placed, signal);
  const { domain, power, mark } = machine;
  if (power === 'off') {
    const message = `the machine ${domain.name} is off: its disks can be moved only while it runs. Start it`;
    throw new HypervisorError('UNSUPPORTED', message);
  }
  const { session } = placed;
  if (mark.writes === 'there') return beginPull(host, machine, { session, to, signal });
  const disks = await disksOf(host, machine, { session, signal });
  const copies = copiesOf(machine);
  const begin: { readonly disk: PlacedDisk; readonly xml: string }[] = [];
  for (const it of to) {
    const disk = disks.find(({ name }) => name === it.name);
    if (!disk) {
      const message = `the machine ${domain.name} has no disk ${it.name}`;
      throw new HypervisorError('CONFLICT', message);
    }
    // libvirt takes one that is too small, and ends the copy a second later without a word.
    const xml = await targetFor(host, domain, { disk, to: it, signal });
    if (disk.place === 'ours' && !copies.has(disk.target)) begin.push({ disk, xml });
  }
  if (begin.length === 0) return;
  const isOn = true;
  if (!mark.isMoving)
    await setMark(host, domain, { mark: { ...mark, isMoving: true }, isOn, signal });
  const { reuse, transient, synchronous } = LIBVIRT_FLAGS.copyDisk;
  for (const { disk, xml } of begin) {
    const flags = reuse | transient | synchronous;
    const copy = { domain, disk: disk.target, target: xml, parameters: [], flags };
    await host.link.call(LIBVIRT_CALLS.copyDisk, copy, signal);
  }
}

/** What libvirt copies to. Rejects CONFLICT if the sizes differ. */
async function targetFor(
  { link }: LibvirtHost,
  domain: LibvirtDomain,
  {
    disk,
    to,
    signal,
  }: { readonly disk: PlacedDisk; readonly to: ReservedDisk; readonly signal: AbortSignal },
): Promise<string> {
  const asked = { domain, disk: disk.target, flags: 0 };
  const { capacity: size } = await link.call(LIBVIRT_CALLS.diskInfo, asked, signal);
  const volume = await link.call(LIBVIRT_CALLS.volumeByPath, { path: to.source }, signal);
  const { capacity, type } = await link.call(LIBVIRT_CALLS.volumeInfo, { volume }, signal);
  if (size !== to.size || size !== capacity) {
    const message = `the disk ${disk.name} has ${size} bytes, the one reserved for it, ${to.source}, ${capacity}`;
    const wanted = capacity === to.size ? '' : ` (it was made with ${to.size})`;
    throw new HypervisorError('CONFLICT', `${message}${wanted}: release it, and reserve again`);
  }
  const target = { path: to.source, isBlock: type === 'block' };
  return writeXml(volumeDisk(target, { driver: {}, children: [] }));
}

/** By target: whether the copy has all. */
function copiesOf({ xml }: SeenOurs): ReadonlyMap<string, boolean> {
  const disks = all(first(xml, 'devices'), 'disk').filter((it) => first(it, 'mirror'));
  return new Map(
    disks.map((it) => [
      attribute(first(it, 'target'), 'dev') ?? '',
      attribute(first(it, 'mirror'), 'ready') === 'yes',
    ]),
  );
}

/** The copies of a machine, and how far they are. */
export async function moving(
  host: LibvirtHost,
  placed: PlacedMachine,
  signal: AbortSignal,
): Promise<Readonly<Record<string, DiskMove>>> {
  const machine = await seenOurs(host, placed, signal);
  if (machine.mark.writes === 'there') return pulling(host, placed, signal);
  return movesOf(
    host,
    machine,
    await disksOf(host, machine, { session: placed.session, signal }),
    signal,
  );
}

async function movesOf(
  host: LibvirtHost,
  machine: SeenOurs,
  disks: readonly PlacedDisk[],
  signal: AbortSignal,
): Promise<Readonly<Record<string, DiskMove>>> {
  const copies = copiesOf(machine);
  const moves: Record<string, DiskMove> = {};
  for (const { name, target, place } of disks) {
    if (place === 'target') moves[name] = { state: 'target' };
    else if (copies.get(target) === true) moves[name] = { state: 'ready' };
    else if (copies.has(target)) moves[name] = await progress(host, machine, { target, signal });
    else
      moves[name] = {
        state: 'source',
        failure: machine.mark.isMoving ? failed(machine) : undefined,
      };
  }
  return moves;
}

async function progress(
  { link }: LibvirtHost,
  { domain }: SeenOurs,
  { target, signal }: { readonly target: string; readonly signal: AbortSignal },
): Promise<DiskMove> {
  const asked = { domain, disk: target, flags: 0 };
  const { done, total } = await link.call(LIBVIRT_CALLS.diskJob, asked, signal);
  return { state: 'copying', done, total };
}

function failed({ power }: SeenOurs): string {
  if (power === 'off') return 'the copy ended with the machine, which is off';
  return (
    'the copy ended, and libvirt does not say why: a disk that is read did not answer, or the one that is written ' +
    'had an error'
  );
}

export async function cancelMove(
  host: LibvirtHost,
  placed: PlacedMachine,
  signal: AbortSignal,
): Promise<void> {
  const machine = await seenOurs(host, placed, signal);
  const { domain, power, mark } = machine;
  if (mark.writes === 'there') await cancelPulls(host, machine, signal);
  for (const disk of copiesOf(machine).keys()) {
    try {
      await host.link.call(LIBVIRT_CALLS.endDiskJob, { domain, disk, flags: 0 }, signal);
    } catch (cause) {
      // It has ended by itself.
      const { operationInvalid, invalidArgument } = LIBVIRT_ERRORS;
      if (!isNumber(cause, operationInvalid, invalidArgument)) throw cause;
    }
  }
  if (!mark.isMoving) return;
  const changed = { ...mark, isMoving: false, pulled: undefined };
  await setMark(host, domain, { mark: changed, isOn: power !== 'off', signal });
}

export async function pivot(
  host: LibvirtHost,
  placed: PlacedMachine,
  signal: AbortSignal,
): Promise<void> {
  const machine = await seenOurs(host, placed, signal);
  const disks = await disksOf(host, machine, { session: placed.session, signal });
  const isPulled = machine.mark.writes === 'there';
  const moves = isPulled
    ? await pulling(host, placed, signal)
    : await movesOf(host, machine, disks, signal);
  const waiting = Object.entries(moves).filter(([, { state }]) => !/ready|target/.test(state));
  if (waiting.length > 0) {
    const names = waiting.map(([name, { state }]) => `${name} (${state})`).join(', ');
    throw new HypervisorError('BUSY', `not all disks have their copy yet: ${names}`);
  }
  const { domain } = machine;
  for (const { name, target } of disks) {
    if (moves[name]?.state !== 'ready') continue;
    const flags = LIBVIRT_FLAGS.endDiskJob.pivot;
    await host.link.call(LIBVIRT_CALLS.endDiskJob, { domain, disk: target, flags }, signal);
  }
}
