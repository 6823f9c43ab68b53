import { fileOfKind, isLost, readMachine, readPointFile } from '../../catalog/point-files.ts';
import type { MachineDescription, PointFileKind } from '../../formats/store/catalog/machine.ts';
import type { PointRecord } from '../../formats/store/catalog/point.ts';
import type { Finding } from '../../hypervisors/base/finding.ts';
import type { PlannedFile } from '../../hypervisors/base/run-driver.ts';
import type { Store } from '../../store/directory/store.ts';
import type { OpenedPoint } from '../base/engine.ts';

/** What a recovery point has of its machine besides disks. */
export interface PointParts {
  /** Undefined: it knows nothing of it, or that is lost. */
  readonly machine: MachineDescription | undefined;
  readonly files: readonly PlannedFile[];
  /** What the store has lost of it, in words. */
  readonly lost: readonly string[];
}

const PLANNED = ['definition', 'firmware-vars', 'tpm-state'] as const satisfies PointFileKind[];

export async function readParts(store: Store, { set, point }: OpenedPoint): Promise<PointParts> {
  const lost: string[] = [];
  async function found<T>(read: () => Promise<T>): Promise<T | undefined> {
    try {
      return await read();
    } catch (cause) {
      if (!isLost(cause)) throw cause;
      lost.push(cause.message);
      return undefined;
    }
  }
  const machine = await found(() => readMachine(store, set, point));
  const files: PlannedFile[] = [];
  for (const kind of PLANNED) {
    const file = fileOfKind(point, kind);
    const bytes = file && (await found(() => readPointFile(store, set, point, file)));
    if (file && bytes) files.push({ name: file.name, kind, bytes });
  }
  return { machine, files, lost };
}

/** What of a recovery point prevents its machine from being run, or from being what it was. */
export function pointFindings(
  { id, disks }: Pick<PointRecord, 'id' | 'disks'>,
  { machine, lost }: Omit<PointParts, 'files'>,
): readonly Finding[] {
  const damaged = lost.map(
    (what): Finding => ({
      ...{ level: 'warning', code: 'recovery-point' },
      message: `the store has lost a part of the machine's configuration: ${what}`,
      remedy: 'continue without that part, or take another recovery point ("holdfast backup list")',
    }),
  );
  if (!machine) return [...damaged, undescribed(id)];
  const known = new Set(machine.disks.map(({ name }) => name));
  const strange = disks.filter(({ name }) => !known.has(name)).map(({ name }) => name);
  const [first] = machine.boot.flatMap((it) => /^disk:(.*)$/s.exec(it)?.[1] ?? []);
  return [
    ...damaged,
    ...(disks.length > 0 ? [] : [diskless(id)]),
    ...strange.map(
      (disk): Finding => ({
        ...{ level: 'blocker', code: 'recovery-point', disk },
        message:
          'the description of the machine does not have this disk, so nothing says where it belongs',
        remedy: `serve the disks and attach them yourself: "holdfast recover ${id}"`,
      }),
    ),
    ...(first === undefined || disks.some(({ name }) => name === first) ? [] : [bootless(first)]),
  ];
}

function undescribed(id: string): Finding {
  return {
    ...{ level: 'blocker', code: 'recovery-point' },
    message: `${id} has no description of its machine: it was made from disk images, or that part is lost`,
    remedy: `serve the disks and attach them to a machine yourself: "holdfast recover ${id}"`,
  };
}

function diskless(id: string): Finding {
  return {
    ...{ level: 'blocker', code: 'recovery-point', message: `${id} has no disks` },
    remedy: 'take another recovery point ("holdfast backup list")',
  };
}

function bootless(disk: string): Finding {
  return {
    ...{ level: 'warning', code: 'boot-disk', disk },
    message: 'the machine boots from this disk first, and it is not in the recovery point',
    remedy:
      'make sure that the guest can boot from another disk, or take a recovery point that has it',
  };
}
