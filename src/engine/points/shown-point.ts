import { CatalogError } from '../../catalog/catalog-error.ts';
import { fileOfKind, isLost, readMachine, readPointFile } from '../../catalog/point-files.ts';
import { lastProof } from '../../catalog/proofs.ts';
import type { OpenSet } from '../../catalog/sets.ts';
import type { MachineDescription } from '../../formats/store/catalog/machine.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import type { ShownPoint } from '../../operations/nouns/backup.ts';
import { type Engine, openPoint, type SecretSource } from '../base/engine.ts';
import { marksOf } from './marks.ts';
import { summaryOf } from '../base/point-summary.ts';
import { hasPasskey } from '../secrets/passkey-files.ts';
import { shownProof, withoutQuotes } from './shown-proof.ts';

/* What is shown of a recovery point with the key of its set: all of the machine. */

export async function showPoint(
  engine: Engine,
  {
    point: query,
    definition,
  }: { readonly point: string; readonly definition: boolean | undefined },
  secrets: SecretSource,
): Promise<ShownPoint> {
  const { store } = engine;
  const { set, point } = await openPoint(engine, query, secrets);
  return {
    ...summaryOf(point),
    files: (point.files ?? []).map(({ name, kind, size }) => ({ name, kind, size })),
    ...(await descriptionOf(engine, set, point)),
    marks: await marksOf(store, point),
    proof: await proofOf(engine, set, point),
    definition: definition ? await definitionOf({ store }, set, point) : undefined,
  };
}

/** A damaged proof does not hide the rest: a check reports it. */
async function proofOf(
  { store, box }: Pick<Engine, 'store' | 'box'>,
  set: OpenSet,
  { id }: PointRecord,
): Promise<ShownPoint['proof']> {
  try {
    const proof = await lastProof(store, set, id);
    const shown = proof && shownProof(proof, store.clock.now());
    if (!shown || !(await hasPasskey({ store, box }, set.name))) return shown;
    return withoutQuotes(shown);
  } catch (cause) {
    if (!(cause instanceof CatalogError)) throw cause;
    return undefined;
  }
}

/** A description that the store has lost does not hide the rest. */
async function descriptionOf(
  { store }: Pick<Engine, 'store'>,
  set: OpenSet,
  point: PointRecord,
): Promise<Pick<ShownPoint, 'description' | 'unreadable'>> {
  try {
    const machine = await readMachine(store, set, point);
    return { description: machine && shown(machine), unreadable: undefined };
  } catch (cause) {
    if (!isLost(cause)) throw cause;
    return { description: undefined, unreadable: cause.message };
  }
}

/** Rejects NOT_FOUND, CORRUPT. */
async function definitionOf(
  { store }: Pick<Engine, 'store'>,
  set: OpenSet,
  point: PointRecord,
): Promise<string> {
  const file = fileOfKind(point, 'definition');
  if (!file) {
    const why = 'it was made of disk images, or by a release that did not keep definitions';
    throw new CatalogError('NOT_FOUND', `${point.id} has no definition of its machine: ${why}`);
  }
  const bytes = await readPointFile(store, set, point, file);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new CatalogError('CORRUPT', `${point.id}/${file.name} is not a text`, { cause });
  }
}

function shown(machine: MachineDescription): NonNullable<ShownPoint['description']> {
  const { from, arch, firmware, machineType, cpu, memory, clock, tpm, guest } = machine;
  const { kind, hypervisor, product, name, folder } = from;
  return {
    ...{ hypervisor, kind, product, name, folder, arch, machineType, clock },
    uuid: machine.ids.uuid,
    firmware: firmware.kind === 'other' ? firmware.name : firmware.kind,
    secureBoot: firmware.kind === 'uefi' && firmware.secureBoot,
    cpus: cpu.count,
    cpuModel: cpu.model,
    memory: memory.bytes,
    tpm: tpm?.version,
    os: guest?.os,
    autostart: machine.autostart,
    boot: machine.boot,
    disks: machine.disks.map(({ bus, size, source, excluded, ...disk }) => ({
      ...{ name: disk.name, bus, size, source, excluded },
    })),
    nics: machine.nics.map(({ mac, model, network, connected }) => ({
      ...{ mac, model, network: network.name, vlan: network.vlan, connected },
    })),
  };
}
