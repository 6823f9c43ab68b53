import { newPointId } from '../../catalog/points.ts';
import { newestBackup } from '../../catalog/publication.ts';
import type { OpenSet } from '../../catalog/sets.ts';
import { FormatError } from '../../formats/format-error.ts';
import { encodeMachine } from '../../formats/store/catalog/machine.ts';
import { LARGE_SECTOR } from '../../formats/store/catalog/point.ts';
import type { BackupWish, MachineSnapshot } from '../../hypervisors/base/backup-driver.ts';
import type { DescribedMachine } from '../../hypervisors/base/machines.ts';
import { HypervisorError } from '../../hypervisors/base/hypervisor-error.ts';
import { type NamedSource, storeSources } from '../../ingest/backup/backup.ts';
import {
  type MachineNotes,
  type NewFile,
  withMachineWriting,
} from '../../ingest/backup/store-machine.ts';
import { whileThereIsRoom } from '../../ingest/backup/store-room.ts';
import type { Store } from '../../store/directory/store.ts';
import { asError } from '../../lib/as-error.ts';
import type { FailureKind } from '../../operations/base/failure.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import { type Engine, openSet, type WorkOptions } from '../base/engine.ts';
import { firstFailure, kindOfFailure } from '../base/failures.ts';
import { type ChosenMachine, chosenMachines } from './chosen-machines.ts';
import { changesOver, countedFrom, countingOf, trackedPoints } from './counted-from.ts';
import type { Hypervisors } from './hypervisors.ts';
import { backupNotes, madePoint } from '../points/backup-notes.ts';
import { knownPoint, notePublished } from '../points/published-points.ts';

/*
 * Machines are backed up from their hypervisors, one after the other: a moment of all disks is taken, stored, confirmed
 * to have lasted until then, and published as a recovery point; only then does the hypervisor forget from where the one
 * before was counted.
 */

export interface MachineBackupOptions extends WorkOptions {
  readonly hypervisors: Hypervisors;
}

type Request = RequestOf<'backup/machine'>;
type Result = ResultOf<'backup/machine'>;

/** What backups of one run have in common. */
interface Run {
  readonly engine: Engine;
  readonly set: OpenSet;
  readonly id: string;
  readonly wish: BackupWish;
  readonly options: MachineBackupOptions;
}

/** If one machine is asked for by name, rejects with what keeps it from being backed up; else lists what failed. */
export async function backupMachines(
  engine: Engine,
  request: Request,
  options: MachineBackupOptions,
): Promise<Result> {
  const { signal, secrets, hypervisors } = options;
  const set = await openSet(engine, request.set, secrets);
  await using hosts = new AsyncDisposableStack();
  const chosen = await chosenMachines(engine, request, { hosts, hypervisors, signal });
  const run: Run = {
    ...{ engine, set, options },
    id: newPointId(engine.store, 'run'),
    wish: {
      only: request.only,
      exclude: request.exclude ?? [],
      consistency: request.consistency,
      fallBack: !request.strict,
    },
  };
  const { clock } = engine.store;
  const end =
    request.window === undefined ? Infinity : clock.now().getTime() + 1000 * request.window;
  const points: Result['points'][number][] = [];
  const failed = new Map<ChosenMachine, Failed>();
  async function backUpAll(machines: Iterable<ChosenMachine>): Promise<void> {
    for (const one of machines) {
      signal.throwIfAborted();
      try {
        if (clock.now().getTime() >= end) throw windowEnded();
        points.push(await backupMachine(run, one));
        failed.delete(one);
      } catch (error) {
        const cause = firstFailure(error);
        const kind = kindOfFailure(cause);
        if (kind === undefined || chosen.length === 1) throw cause;
        signal.throwIfAborted();
        const reason = asError(cause).message;
        options.report({ event: 'notice', message: `${one.label} was not backed up: ${reason}` });
        failed.set(one, { kind, reason });
      }
    }
  }
  await backUpAll(chosen);
  // By now another job there may have ended.
  await backUpAll([...failed].flatMap(([one, { kind }]) => (kind === 'in-use' ? [one] : [])));
  return {
    ...{ run: run.id, points },
    failed: [...failed].map(([{ label }, { reason }]) => ({ machine: label, reason })),
  };
}

interface Failed {
  readonly kind: FailureKind;
  readonly reason: string;
}

function windowEnded(): HypervisorError {
  return new HypervisorError('CONFLICT', 'the window ended before its backup began');
}

async function backupMachine(run: Run, chosen: ChosenMachine): Promise<Result['points'][number]> {
  const { engine, set, wish, options } = run;
  const { host, summary, label, machine } = chosen;
  const { signal, report } = options;
  const { store } = engine;
  const tell = (message: string): void =>
    report({ event: 'notice', message: `${label}: ${message}` });
  const id = newPointId(store, machine);
  const notes = backupNotes(report, { hasList: true });
  const point = await withMachineWriting(
    store,
    {
      ...{ set, workers: engine.workers, holder: `backup of ${label}` },
      onIndexing: (done, total) => notes.onEvent({ kind: 'indexing', done, total }),
      onDamage: (where, what) => notes.onEvent({ kind: 'damage', where, what }),
    },
    async (writing) => {
      // Under the store's lock: what another backup of ours has under way would be taken for what an earlier one left.
      const keep = await trackedPoints(store);
      for (const done of await host.backup.tidy(summary.id, keep, signal)) tell(done);
      const known = await knownPoint(engine, { set: set.name, machine });
      const parent = (await newestBackup(store, set, machine)).point;
      const counting = await countingOf(store, set, parent);
      await using snapshot = await host.backup.begin(summary.id, wish, countedFrom(parent), {
        ...{ point: id, signal },
        onNotice: tell,
      });
      const stored = await storeSources(
        store,
        {
          ...{ set, machine, known, signal, id, run: run.id },
          ...(await notesOf(snapshot, { signal, tell })),
          changed: changesOver(counting, snapshot),
          confirm: () => snapshot.confirm(),
          onEvent: notes.onEvent,
        },
        { ...writing, sources: sourcesOf(store, snapshot) },
      );
      // The recovery point is there: what fails from here on costs the next backup time, and loses nothing.
      await acceptOrTell(snapshot, tell);
      return stored;
    },
  );
  await notePublished(engine, set, point.id, tell);
  return madePoint(point, notes);
}

/** What a recovery point has of a machine besides its disks. */
async function notesOf(
  { described, consistency, tracking }: MachineSnapshot,
  { signal, tell }: { readonly signal: AbortSignal; readonly tell: (message: string) => void },
): Promise<MachineNotes> {
  const files: NewFile[] = [...descriptionOf(described, tell)];
  for (const { name, kind, read } of described.files) {
    files.push({ name, kind, bytes: await read(signal) });
  }
  return { files, consistency, tracking };
}

const DESCRIPTION = 'machine.json';

/** A machine that no reader would take must not cost its disks: the hypervisor's own definition is kept too. */
function descriptionOf(
  { machine }: DescribedMachine,
  tell: (message: string) => void,
): readonly NewFile[] {
  try {
    return [{ name: DESCRIPTION, kind: 'description', bytes: encodeMachine(machine) }];
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    tell(`the description of the machine is not in the recovery point: ${cause.message}`);
    return [];
  }
}

function sourcesOf(store: Store, { disks }: MachineSnapshot): NamedSource[] {
  const limited = whileThereIsRoom(store);
  return disks.map(({ name, device, where, sectorBytes }) => ({
    ...{ name, where, device: limited(device) },
    sectorSize: sectorBytes === LARGE_SECTOR ? LARGE_SECTOR : undefined,
  }));
}

async function acceptOrTell(snapshot: MachineSnapshot, tell: (message: string) => void) {
  try {
    await snapshot.accept();
  } catch (cause) {
    if (!(cause instanceof HypervisorError)) throw cause;
    tell(`the recovery point is made, but the hypervisor did not hear of it: ${cause.message}`);
  }
}
