import { join } from 'node:path';
import { loadProfile } from '../../src/catalog/profiles.ts';
import { findPoint, listPoints, readPoint } from '../../src/catalog/points.ts';
import { openAudit } from '../../src/engine/audit/audit.ts';
import { kindOfFailure } from '../../src/engine/base/failures.ts';
import { readGrowth } from '../../src/engine/watch/growth.ts';
import {
  type Engine,
  openEngine,
  openSet,
  type SecretSource,
} from '../../src/engine/base/engine.ts';
import { checkStore } from '../../src/engine/points/stores.ts';
import { repair } from '../../src/engine/upkeep/repair.ts';
import { openJobFiles } from '../../src/jobs/job-files.ts';
import { machineFiles } from '../../src/sessions/guest/machine-files.ts';
import { readServed } from '../../src/sessions/state/served-sessions.ts';
import { sessionDirectory } from '../../src/sessions/state/session-files.ts';
import { sessionSpace } from '../../src/sessions/state/session-space.ts';
import { overlayOf, treeSealOf } from '../../src/sessions/state/session-overlays.ts';
import { resumeSession } from '../../src/sessions/state/held-session.ts';
import { listSessions } from '../../src/sessions/state/listed-sessions.ts';
import { openBlockReader } from '../../src/store/read/block-reader.ts';
import { manifestDisk } from '../../src/store/read/manifest-disk.ts';
import { openSessionTree } from '../../src/vfs/session-tree.ts';
import { trustingMemory } from '../support/box-memory.ts';
import { PASSPHRASE, type Place } from './place.ts';
import { rememberApart } from '../support/box-state.ts';
import { storeIndexed } from '../support/store.ts';

rememberApart();

/** What was tried came to nothing, and says why. */
export interface Refusal {
  readonly of: string;
  readonly error: unknown;
}

export interface Findings {
  /** What `store check --read-data` says; undefined: it was refused. */
  readonly problems: readonly string[] | undefined;
  readonly refusals: readonly Refusal[];
  /** Bytes that are not what they were, without a word. */
  readonly wrong: readonly string[];
  /** What is said of books that are damaged. */
  readonly told: readonly string[];
}

const SECRETS: SecretSource = async (set) =>
  set === 'secret' ? { kind: 'passphrase', passphrase: PASSPHRASE } : undefined;

/** Tries all that a store is there for; `withBackup`: a next backup too. */
export async function probe(
  place: Place,
  { withBackup }: { withBackup: boolean },
): Promise<Findings> {
  const refusals: Refusal[] = [];
  const wrong: string[] = [];
  const told: string[] = [];
  async function attempt<T>(of: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      refusals.push({ of, error });
      return undefined;
    }
  }
  function compare(what: string, found: Uint8Array, wanted: Uint8Array): void {
    if (Buffer.compare(found, wanted) !== 0) wrong.push(what);
  }
  const engine = await attempt('open', () => openEngine(place.directory));
  if (!engine) return { problems: undefined, refusals, wrong, told };
  await using _house = engine;
  const problems = await attempt('check', () => check(engine));
  for (const [id, contents] of place.points) {
    await attempt(`restore of ${id}`, async () =>
      compare(id, await pointBytes(engine, id), contents),
    );
  }
  await attempt('session', () => session(engine, place, compare));
  await attempt('lists', () => lists(engine, told));
  await attempt('books', () => books(engine, told));
  if (withBackup) {
    await attempt('backup', async () => {
      const set = await openSet(engine, 'secret', SECRETS);
      const { id } = await storeIndexed(engine.store, set, place.next);
      compare('the next backup', await pointBytes(engine, id), place.next);
    });
  }
  return { problems, refusals, wrong, told };
}

export async function mend(directory: string): Promise<void> {
  await using engine = await openEngine(directory);
  await repair(
    engine,
    { dryRun: false },
    {
      ...{ secrets: SECRETS, signal: new AbortController().signal, report() {} },
    },
  );
}

async function check(engine: Engine): Promise<string[]> {
  const { problems } = await checkStore(engine, {
    ...{ readData: true, secrets: SECRETS },
    ...{ signal: new AbortController().signal, report() {} },
  });
  return problems.map(({ where, what }) => `${where}: ${what}`);
}

async function pointBytes(engine: Engine, id: string): Promise<Uint8Array> {
  const { store } = engine;
  const place = await findPoint(store, id);
  const set = await openSet(engine, place.set, SECRETS);
  const [root] = (await readPoint(store, set, id)).disks;
  await using reader = openBlockReader(store, { cacheLength: 2 ** 21 });
  await using disk = manifestDisk(reader, { name: 'vda', root: root!, keys: set.keys });
  const bytes = new Uint8Array(root!.size);
  await disk.read(bytes, 0);
  return bytes;
}

type Compare = (what: string, found: Uint8Array, wanted: Uint8Array) => void;

async function session(engine: Engine, place: Place, compare: Compare): Promise<void> {
  const { store } = engine;
  await readServed(engine.store, place.session);
  await using held = await resumeSession(engine.store, place.session, { tls: true });
  const { record } = held;
  const set = await openSet(engine, record.set, SECRETS);
  const [root] = (await readPoint(store, set, record.point)).disks;
  await using reader = openBlockReader(store, { cacheLength: 2 ** 21 });
  await using base = manifestDisk(reader, { name: 'vda', root: root!, keys: set.keys });
  const space = sessionSpace(engine.store, record);
  const { begin } = held;
  const [disk] = record.disks;
  await using overlay = await overlayOf(engine.store, record, {
    disk: disk!,
    set,
    base,
    space,
    begin,
  });
  const found = new Uint8Array(overlay.geometry.size);
  await overlay.read(found, 0);
  compare('disk of the session', found, place.disk);
  await using tree = await openSessionTree({
    ...{ files: store.files, clock: store.clock, directory: sessionDirectory(store, record.id) },
    ...{ first: machineFiles(record), disks: new Map([['vda', overlay]]), space },
    ...{ random: store.random, seal: treeSealOf(record, set.keys) },
  });
  for (const [name, contents] of place.files) {
    const id = tree.lookup(tree.root, name);
    const bytes = new Uint8Array(id === undefined ? 0 : tree.node(id)!.size);
    if (id !== undefined) await tree.read(id, bytes, 0);
    compare(`${name} of the session`, bytes, contents);
  }
}

/** What has to be listed whatever is damaged. */
async function lists(engine: Engine, told: string[]): Promise<void> {
  const { store } = engine;
  for (const set of ['secret', 'plain']) {
    const { damaged } = await listPoints(store, set);
    told.push(...damaged.map(({ reason }) => reason));
  }
  const { damaged } = await listSessions(engine.store);
  told.push(...damaged.map(({ reason }) => reason));
}

async function books(engine: Engine, told: string[]): Promise<void> {
  const { store } = engine;
  const jobs = await openJobFiles(store.files, store.directory, {
    memory: trustingMemory(),
    checksOf: () => 'checked',
  });
  for (const { damaged } of [await jobs.jobs(), await jobs.schedules()]) told.push(...damaged);
  await readGrowth(store, store.directory);
  const set = await openSet(engine, 'secret', SECRETS);
  await loadProfile(store, set, 'vm');
  const audit = await openAudit(store, store.directory, (message) => void told.push(message));
  if ((await audit.last(10)).some(({ outcome }) => outcome === 'torn')) told.push('audit: torn');
  const { problem } = await audit.check();
  if (problem !== null) told.push(`audit: ${problem}`);
}

/** Whether a failure is one that can be reported to people, and names its file. */
export function complaintOf({ of, error }: Refusal, paths: readonly string[]): string | undefined {
  if (kindOfFailure(error) === undefined)
    return `${of}: ${String((error as Error)?.stack ?? error)}`;
  const message = (error as Error).message;
  const named = paths.flatMap(namesOf).some((name) => message.includes(name));
  return named ? undefined : `${of}: "${message}" does not name ${paths.join(' or ')}`;
}

/** As messages may call the file. */
function namesOf(path: string): string[] {
  const parts = path.split('/');
  const base = parts.at(-1)!;
  const stem = base.replace(/\.[^.]*$/, '');
  const pack = /^(\d{8})\.pack$/.exec(base)?.[1];
  const inside = parts.length > 1 ? [join(...parts.slice(0, -1))] : [];
  const session = parts[0] === 'sessions' ? [`session ${parts[1]}`] : [];
  const set = parts[0] === 'sets' ? [`set "${parts[1]}"`] : [];
  return [
    path,
    base,
    stem,
    ...inside,
    ...session,
    ...set,
    ...(pack ? [`pack ${Number(pack)}`] : []),
  ];
}
