import { LIBVIRT_CALLS } from '../../../formats/wire/libvirt-calls.ts';
import type { MachineId } from '../../base/machines.ts';
import type { RestoreDriver, RestoreMark, RestorePlan } from '../../base/restore-driver.ts';
import type { ReservedDisk } from '../../base/run-driver.ts';
import { machineById, powerOf } from '../machines.ts';
import { checkDisks, checkPlace } from '../run/check-run.ts';
import { storedDefinition } from '../run/definition.ts';
import { seen } from '../run/placed.ts';
import { removeFiles } from '../run/placed-files.ts';
import { placesOf } from '../run/places.ts';
import { defineNew } from '../run/register.ts';
import { release, reserve } from '../run/reserved.ts';
import type { RunHost } from '../run/run-host.ts';
import { attach, checkAttach } from './attach.ts';
import { isBlockVolume, openVolume } from './volume-device.ts';

/** Machines and disks written back to libvirt: disks are volumes, written through libvirt. */
export function libvirtRestores(host: RunHost): RestoreDriver {
  return {
    async check(plan, signal) {
      return checkPlace(host, plan, { places: await placesOf(host, signal), signal });
    },
    async checkDisks(disks, signal) {
      return checkDisks(host, disks, { places: await placesOf(host, signal), signal });
    },
    reserve: (disks, signal) => reserve(host, disks, signal),
    open: (disk, signal) => openVolume(host, disk, signal),
    define: (plan, disks, signal) => define(host, plan, { disks, signal }),
    async setAutostart(id, isOn, signal) {
      const domain = await machineById(host, id, signal);
      const autostart = isOn ? 1 : 0;
      await host.link.call(LIBVIRT_CALLS.setAutostart, { domain, autostart }, signal);
    },
    powerOn: (id, signal) => powerOn(host, id, signal),
    checkAttach: (id, signal) => checkAttach(host, id, signal),
    attach: (id, disk, signal) => attach(host, id, { disk, signal }),
    withdraw: (mark, signal) => withdraw(host, mark, signal),
  };
}

/** One call makes it: before, there is no such machine, and after it the machine is whole. */
async function define(
  host: RunHost,
  plan: RestorePlan,
  { disks, signal }: { readonly disks: readonly ReservedDisk[]; readonly signal: AbortSignal },
): Promise<MachineId> {
  const volumes = await Promise.all(
    disks.map(async ({ name, source }) => ({
      ...{ name, source },
      isBlock: await isBlockVolume(host, source, signal),
    })),
  );
  return defineNew(host, plan, {
    definitionOn: (fit) => storedDefinition(plan, fit, volumes),
    signal,
  });
}

async function powerOn(host: RunHost, id: MachineId, signal: AbortSignal): Promise<void> {
  const domain = await machineById(host, id, signal);
  if ((await powerOf(host, domain, signal)) !== 'off') return;
  await host.link.call(LIBVIRT_CALLS.createDomain, { domain, flags: 0 }, signal);
}

async function withdraw(
  host: RunHost,
  { session, uuid }: RestoreMark,
  signal: AbortSignal,
): Promise<void> {
  await release(host, session, signal);
  // The state of a TPM lies where its machine's UUID says: a removed machine may have left it there.
  if (uuid === undefined || (await seen(host, uuid, signal))) return;
  await removeFiles(host, { id: uuid, session }, signal);
}
