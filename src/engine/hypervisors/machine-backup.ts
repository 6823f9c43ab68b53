import { checkName } from '../../catalog/names.ts';
import { listPoints, newPointId } from '../../catalog/points.ts';
import { newestBackup } from '../../catalog/publication.ts';
import type { OpenSet } from '../../catalog/sets.ts';
import { FormatError } from '../../formats/format-error.ts';
import { encodeMachine, type Tracking } from '../../formats/store/catalog/machine.ts';
import { LARGE_SECTOR, type PointRecord } from '../../formats/store/catalog/point.ts';
import type { BackupWish, MachineSnapshot } from '../../hypervisors/base/backup-driver.ts';
import type { Hypervisor } from '../../hypervisors/base/hypervisor.ts';
import type { DescribedMachine, MachineSummary } from '../../hypervisors/base/machines.ts';
import { HypervisorError } from '../../hypervisors/base/hypervisor-error.ts';
import { type NamedSource, storeSources } from '../../ingest/backup/backup.ts';
import type { ChangedBlocks } from '../../ingest/backup/changed-blocks.ts';
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
import { connect } from './connect.ts';
import type { Hypervisors } from './hypervisors.ts';
import { backupNotes, madePoint } from '../points/backup-notes.ts';
import { knownPoint, notePublished } from '../points/published-points.ts';

/*
 * Machines are backed up from their hypervisors, one after the other: a moment of all disks is taken, stored as a
 * recovery point, and only once that is published does the hypervisor forget from where the one before was counted.
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
  /** What any recovery point of the store still needs of a hypervisor. */
  readonly keep: readonly Tracking[];
  readonly options: MachineBackupOptions;
}

interface Chosen {
  readonly host: Hypervisor;
  readonly summary: MachineSummary;
  /** As HYPERVISOR/MACHINE. */
  readonly label: string;
  /** Its name in the set. */
  readonly machine: string;
}

/** If one machine is asked for by name, rejects with what keeps it from being backed up; else lists what failed. */
export async function backupMachines(
  engine: Engine,
  request: Request,
  options: MachineBackupOptions,
): Promise<Result> {
  const { signal, secrets } = options;
  const set = await openSet(engine, request.set, secrets);
  await using hosts = new AsyncDisposableStack();
  const chosen = await chosenMachines(engine, request, { hosts, options });
  const run: Run = {
    ...{ engine, set, options },
    id: newPointId(engine.store, 'run'),
    wish: {
      only: request.only,
      exclude: request.exclude ?? [],
      consistency: request.consistency,
      fallBack: !request.strict,
    },
    keep: await trackedFrom(engine),
  };
  const { clock } = engine.store;
  const end =
    request.window === undefined ? Infinity : clock.now().getTime() + 1000 * request.window;
  const points: Result['points'][number][] = [];
  const failed = new Map<Chosen, Failed>();
  async function backUpAll(machines: Iterable<Chosen>): Promise<void> {
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

/** Rejects NOT_FOUND for a pattern that names no machine, BAD_NAME. */
async function chosenMachines(
  { store }: Engine,
  { from, machine }: Request,
  { hosts, options }: Connecting,
): Promise<readonly Chosen[]> {
  const { signal } = options;
  const opened = new Map<string, Promise<Hypervisor>>();
  const open = async (name: string): Promise<Hypervisor> =>
    hosts.use(await connect(options.hypervisors, name, { owner: store.id, signal }));
  const chosen = new Map<string, Chosen>();
  for (const one of from) {
    const [name = '', pattern = ''] = splitOnce(one);
    const opening = opened.get(name) ?? open(name);
    opened.set(name, opening);
    const host = await opening;
    const machines = await host.machines(signal);
    const found = machines.filter((it) => matches(it.name, pattern));
    if (found.length === 0) {
      throw new HypervisorError(
        'NOT_FOUND',
        `${name} has no machine "${pattern}"${known(machines)}`,
      );
    }
    for (const summary of found) {
      const label = `${name}/${summary.name}`;
      chosen.set(label, { host, summary, label, machine: machine ?? summary.name });
    }
  }
  const all = [...chosen.values()];
  for (const it of all) checkName(it.machine, 'machine');
  requireOwnNames(all);
  return all;
}

interface Connecting {
  readonly hosts: AsyncDisposableStack;
  readonly options: MachineBackupOptions;
}

/** Two machines under one name would take turns in one chain of recovery points. */
function requireOwnNames(chosen: readonly Chosen[]): void {
  const labels = new Map<string, string>();
  for (const { label, machine } of chosen) {
    const other = labels.get(machine);
    if (other !== undefined) {
      const advice = 'back them up one by one, each with a name of its own (--machine)';
      throw new HypervisorError(
        'CONFLICT',
        `${other} and ${label} would both be "${machine}" in the backup set: ${advice}`,
      );
    }
    labels.set(machine, label);
  }
}

function splitOnce(text: string): readonly string[] {
  const at = text.indexOf('/');
  return [text.slice(0, at), text.slice(at + 1)];
}

/** `*` stands for any part of the name. */
function matches(name: string, pattern: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop();
  if (last === undefined) return name === pattern;
  if (!name.startsWith(first) || name.length < first.length + last.length) return false;
  let at = first.length;
  for (const part of rest) {
    const found = name.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return name.endsWith(last) && name.length - last.length >= at;
}

const KNOWN_SHOWN_MAX = 8;

function known(machines: readonly MachineSummary[]): string {
  if (machines.length === 0) return ': it has none';
  const names = machines.slice(0, KNOWN_SHOWN_MAX).map(({ name }) => name);
  const more = machines.length > names.length ? `, and ${machines.length - names.length} more` : '';
  return `: it has ${names.join(', ')}${more}`;
}

/** The tracking of the newest recovery points, of all sets: a machine may be backed up to several. */
async function trackedFrom({ store }: Engine): Promise<readonly Tracking[]> {
  const newest = new Map<string, PointRecord>();
  for (const point of (await listPoints(store, undefined)).points) {
    if (point.origin !== 'backup') continue;
    const key = JSON.stringify([point.set, point.machine]);
    const before = newest.get(key);
    if (!before || before.sequence < point.sequence) newest.set(key, point);
  }
  return [...newest.values()].flatMap(({ tracking }) => (tracking ? [tracking] : []));
}

async function backupMachine(run: Run, chosen: Chosen): Promise<Result['points'][number]> {
  const { engine, set, wish, keep, options } = run;
  const { host, summary, label, machine } = chosen;
  const { signal, report } = options;
  const { store } = engine;
  const tell = (message: string): void =>
    report({ event: 'notice', message: `${label}: ${message}` });
  for (const done of await host.backup.tidy(summary.id, keep, signal)) tell(done);
  const known = await knownPoint(engine, { set: set.name, machine });
  const parent = (await newestBackup(store, set, machine)).point;
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
      await using snapshot = await host.backup.begin(summary.id, wish, parent?.tracking, {
        ...{ point: id, signal },
        onNotice: tell,
      });
      const stored = await storeSources(
        store,
        {
          ...{ set, machine, known, signal, id, run: run.id },
          ...(await partsOf(snapshot, parent, { signal, tell })),
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

/** What a recovery point has of a machine besides its disks, and what is read of these. */
async function partsOf(
  { described, consistency, tracking, disks }: MachineSnapshot,
  parent: PointRecord | undefined,
  { signal, tell }: { readonly signal: AbortSignal; readonly tell: (message: string) => void },
): Promise<MachineNotes & { readonly changed: ChangedBlocks }> {
  const files: NewFile[] = [...descriptionOf(described, tell)];
  for (const { name, kind, read } of described.files) {
    files.push({ name, kind, bytes: await read(signal) });
  }
  const unknown = parent ? 'the hypervisor does not tell its changes' : FIRST;
  const changed: ChangedBlocks = {
    since: parent?.id,
    disks: new Map(disks.flatMap((it) => (it.changed ? [[it.name, it.changed]] : []))),
    unknown: new Map(disks.map(({ name, why }) => [name, why ?? unknown])),
  };
  return { files, consistency, tracking, changed };
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

const FIRST = 'there is no earlier recovery point of it';

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
