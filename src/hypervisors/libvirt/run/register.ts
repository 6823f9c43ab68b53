import { LIBVIRT_ERRORS } from '../../../formats/wire/libvirt.ts';
import { LIBVIRT_CALLS } from '../../../formats/wire/libvirt-calls.ts';
import { HypervisorError } from '../../base/hypervisor-error.ts';
import type { MachineId } from '../../base/machines.ts';
import type { MachinePlan, RunPlan, ShownDisk } from '../../base/run-driver.ts';
import { writeXml, type XmlElement } from '../../base/xml.ts';
import { isNumber } from '../libvirt-error.ts';
import { requireFree } from './aside.ts';
import { definitionOf, kindOf } from './definition.ts';
import { fitOf, type HostFit } from './host-fit.ts';
import { findMade } from './placed.ts';
import { placeFiles } from './placed-files.ts';
import type { RunHost } from './run-host.ts';

/** Rejects EXISTS, UNSUPPORTED. */
export async function register(
  host: RunHost,
  plan: RunPlan,
  { shown, signal }: { readonly shown: readonly ShownDisk[]; readonly signal: AbortSignal },
): Promise<MachineId> {
  const made = await findMade(host, plan.session, signal);
  if (made !== undefined) return made;
  return defineNew(host, plan, {
    definitionOn: (fit) => definitionOf({ plan, shown, fit }),
    signal,
  });
}

/** A machine that is not there yet, with its files. Rejects EXISTS, UNSUPPORTED. */
export async function defineNew(
  host: RunHost,
  plan: MachinePlan,
  {
    definitionOn,
    signal,
  }: { readonly definitionOn: (fit: HostFit) => XmlElement; readonly signal: AbortSignal },
): Promise<MachineId> {
  // libvirt would replace the definition of a machine with the same name and UUID.
  await requireFree(host, plan.name, { signal });
  await requireNew(host, plan.uuid, signal);
  const fit = await fitOf(host, kindOf(plan), signal);
  if ('refusal' in fit) {
    const message = `${host.name} has no machine such as ${plan.machine.machineType ?? 'this one'}: ${fit.refusal}`;
    throw new HypervisorError('UNSUPPORTED', message);
  }
  await placeFiles(host, plan, signal);
  const xml = writeXml(definitionOn(fit));
  const { uuid } = await host.link.call(LIBVIRT_CALLS.defineDomain, { xml, flags: 0 }, signal);
  return uuid;
}

async function requireNew(
  { link, name: host }: RunHost,
  uuid: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    const { name } = await link.call(LIBVIRT_CALLS.domainByUuid, { uuid }, signal);
    const message = `a machine with the UUID ${uuid} exists on ${host}: ${name}`;
    throw new HypervisorError('EXISTS', message);
  } catch (cause) {
    if (!isNumber(cause, LIBVIRT_ERRORS.noDomain)) throw cause;
  }
}
