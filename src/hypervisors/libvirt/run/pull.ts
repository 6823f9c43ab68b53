import { LIBVIRT_ERRORS } from '../../../formats/wire/libvirt.ts';
import { LIBVIRT_CALLS } from '../../../formats/wire/libvirt-calls.ts';
import { HypervisorError } from '../../base/hypervisor-error.ts';
import type { DiskMove, PlacedMachine, ReservedDisk } from '../../base/run-driver.ts';
import { isNumber } from '../libvirt-error.ts';
import type { LibvirtHost } from '../libvirt-host.ts';
import type { PlacedDisk } from './layers.ts';
import { setMark } from './mark.ts';
import { disksOf, seenOurs, type SeenOurs } from './placed.ts';

/*
 * A machine whose guest writes to disks of the host, over what Holdfast serves, moves by pulls: QEMU copies into each
 * disk all that it lacks, and drops the layer below. No second disk is needed, and nothing is switched. libvirt says
 * nothing of a pull that ended by itself: the mark knows which was the last.
 *
 * QEMU 7.2 dies of a null pointer (bdrv_refresh_filename) if it is asked for its block nodes in the moment between the
 * end of a pull and libvirt's taking note of it. libvirt asks for them itself once a pull has succeeded: so there is
 * one pull at a time. It also does for virDomainGetBlockInfo, which is not called once pulls have begun, and not for
 * virDomainGetBlockJobInfo and the definition.
 */

/** virDomainBlockJobType. */
const PULL = 1;

interface Progress {
  readonly done: number;
  readonly total: number;
}

/** By target: the pulls under way. */
async function pullsOf(
  { link }: LibvirtHost,
  { domain, power, mark }: SeenOurs,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Progress>> {
  const pulls = new Map<string, Progress>();
  if (power === 'off') return pulls;
  for (const { target } of mark.disks) {
    try {
      const asked = { domain, disk: target, flags: 0 };
      const job = await link.call(LIBVIRT_CALLS.diskJob, asked, signal);
      if (job.found === 1 && job.type === PULL) pulls.set(target, job);
    } catch (cause) {
      // It is off in the meantime, or a person took the disk out.
      const { operationInvalid, invalidArgument } = LIBVIRT_ERRORS;
      if (!isNumber(cause, operationInvalid, invalidArgument)) throw cause;
    }
  }
  return pulls;
}

/** Begins the next one, unless one is under way. Rejects CONFLICT. */
export async function beginPull(
  host: LibvirtHost,
  machine: SeenOurs,
  {
    session,
    to,
    signal,
  }: {
    readonly session: string;
    readonly to: readonly ReservedDisk[];
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { link } = host;
  const { domain, mark } = machine;
  if ((await pullsOf(host, machine, signal)).size > 0) return;
  const disks = await disksOf(host, machine, { session, signal });
  const left: PlacedDisk[] = [];
  for (const { name, size } of to) {
    const disk = disks.find((it) => it.name === name);
    if (!disk) {
      throw new HypervisorError('CONFLICT', `the machine ${domain.name} has no disk ${name}`);
    }
    if (!mark.isMoving) await requireSize(host, machine, { disk, size, signal });
    if (disk.place === 'ours') left.push(disk);
  }
  const next = left[0];
  if (!next) return;
  const changed = { ...mark, isMoving: true, pulled: next.name };
  await setMark(host, domain, { mark: changed, isOn: true, signal });
  const asked = { domain, disk: next.target, bandwidth: 0, flags: 0 };
  await link.call(LIBVIRT_CALLS.pullDisk, asked, signal);
}

async function requireSize(
  { link }: LibvirtHost,
  { domain }: SeenOurs,
  {
    disk: { name, target: disk },
    size,
    signal,
  }: { readonly disk: PlacedDisk; readonly size: number; readonly signal: AbortSignal },
): Promise<void> {
  const { capacity } = await link.call(LIBVIRT_CALLS.diskInfo, { domain, disk, flags: 0 }, signal);
  if (capacity === size) return;
  const message = `the disk ${name} has ${capacity} bytes, and not ${size}, as it was made`;
  throw new HypervisorError('CONFLICT', `${message}: a person has changed it`);
}

export async function pulling(
  host: LibvirtHost,
  placed: PlacedMachine,
  signal: AbortSignal,
): Promise<Readonly<Record<string, DiskMove>>> {
  const before = await seenOurs(host, placed, signal);
  const pulls = await pullsOf(host, before, signal);
  // Looked at after its pulls: a disk whose pull has just ended must not look as if it had none.
  const machine = await seenOurs(host, placed, signal);
  const disks = await disksOf(host, machine, { session: placed.session, signal });
  return Object.fromEntries(
    disks.map(({ name, target, place }): [string, DiskMove] => {
      if (place !== 'ours') return [name, { state: 'target' }];
      const pull = pulls.get(target);
      if (pull) return [name, { state: 'copying', done: pull.done, total: pull.total }];
      const isNext = pulls.size === 0 && before.mark.pulled === name;
      if (before.mark.isMoving && !isNext) return [name, { state: 'waiting' }];
      return [name, { state: 'source', failure: failureOf(before) }];
    }),
  );
}

function failureOf({ mark, power }: SeenOurs): string | undefined {
  if (!mark.isMoving) return undefined;
  if (power === 'off') return 'the copy ended with the machine, which is off';
  return (
    'the copy ended, and libvirt does not say why: what is served here did not answer, or the disk of the hypervisor ' +
    'had an error, or has no space left'
  );
}

export async function cancelPulls(
  host: LibvirtHost,
  machine: SeenOurs,
  signal: AbortSignal,
): Promise<void> {
  const { domain } = machine;
  for (const disk of (await pullsOf(host, machine, signal)).keys()) {
    try {
      await host.link.call(LIBVIRT_CALLS.endDiskJob, { domain, disk, flags: 0 }, signal);
    } catch (cause) {
      // It has ended by itself.
      const { operationInvalid, invalidArgument } = LIBVIRT_ERRORS;
      if (!isNumber(cause, operationInvalid, invalidArgument)) throw cause;
    }
  }
}
