import { basename, join } from 'node:path/posix';
import { leasePath, listLeases } from '../../catalog/leases.ts';
import { proofDamage } from '../../catalog/proofs.ts';
import { marksDamage } from '../../catalog/removal/marks.ts';
import { olderMarks } from '../base/older-marks.ts';
import { setLockDamage } from '../../catalog/removal/set-lock.ts';
import { checkSetRecords, type RecordProblem, setDirectory } from '../../catalog/set-copies.ts';
import { type OpenSet, setNames } from '../../catalog/sets.ts';
import { FormatError } from '../../formats/format-error.ts';
import {
  alarmsFile,
  CHANNELS,
  clockFile,
  lockdownFile,
  messageFile,
  OUTBOX,
} from '../../formats/store/service/alarm.ts';
import { decodeGrowth } from '../../formats/store/service/growth.ts';
import { jobFile, scheduleFile } from '../../formats/store/service/job.ts';
import { requireSum } from '../../formats/store/base/json-record.ts';
import { trustedTimeFile } from '../../formats/store/service/trusted-time.ts';
import { setRetentionFile } from '../../formats/store/catalog/set-retention.ts';
import { decodeProfile } from '../../formats/store/catalog/profile.ts';
import { isServed, readServed } from '../../sessions/state/served-sessions.ts';
import { sessionDamage } from '../../sessions/check/session-check.ts';
import { SessionError } from '../../sessions/state/session-error.ts';
import { readJournal, sessionIds } from '../../sessions/state/session-files.ts';
import type { Problem } from '../../store/check/problem.ts';
import { linkProblems } from '../../store/directory/own-directories.ts';
import { STORE_DIRECTORIES } from '../../store/directory/store.ts';
import { readStoreRecord } from '../../store/directory/store-record.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { checkFiles, openFiles } from '../audit/audit-files.ts';
import type { Engine } from '../base/engine.ts';

/*
 * Everything in a store besides packs and recovery points, by class: what a restore, a session or a lock needs, what
 * is done next, and who did what. Caches (the index, the growth of the disk) can be rebuilt.
 */
type Tell = (problem: Problem) => void;

/** The largest record: a job's result. */
const LENGTH_MAX = 8 * 1024 * 1024;

/** Whether the directories of every store exist: without them nothing else can be checked. */
export async function checkDirectories({ store }: Engine, tell: Tell): Promise<boolean> {
  let isWhole = true;
  for (const problem of await linkProblems(store)) tell(problem);
  for (const name of STORE_DIRECTORIES) {
    const where = join(store.directory, name);
    if ((await store.files.stat(where))?.kind === 'directory') continue;
    tell({ where, what: 'the directory is missing, with all its contents' });
    isWhole = false;
  }
  return isWhole;
}

/** Checks records that need no key, and profiles and proofs, which are authenticated if their set is open. */
export async function checkRecords(
  engine: Engine,
  open: readonly OpenSet[],
  tell: Tell,
): Promise<void> {
  const { store } = engine;
  const { problems } = await readStoreRecord(store.files, store.directory);
  for (const problem of problems) tell(problem);
  const { damage } = await store.packs.readLast();
  if (damage) tell(damage);
  for (const name of await setNames(store)) await checkSet(engine, name, { open, tell });
  for (const { path, reason } of (await listLeases(store)).damaged) {
    tell({ where: path, what: reason });
  }
  await checkSessions(engine, open, tell);
  await checkWork(engine, tell);
  await checkBox(engine, tell);
  await checkAudit(engine, tell);
}

async function checkSet(
  engine: Engine,
  name: string,
  { open, tell }: { readonly open: readonly OpenSet[]; readonly tell: Tell },
): Promise<void> {
  const { store } = engine;
  for (const { path, reason } of await checkSetRecords(store, name)) {
    tell({ where: path, what: reason });
  }
  const directory = setDirectory(store, name);
  if (!(await store.files.stat(join(directory, 'points')))) {
    const what = 'the directory is missing, with all recovery points of the set';
    tell({ where: join(directory, 'points'), what });
  }
  const key = open.find((set) => set.name === name)?.keys.record;
  for (const { path, reason } of await proofDamage(store, name, key)) {
    tell({ where: path, what: reason });
  }
  for (const { path, reason } of await keepingDamage(store, name, key)) {
    tell({ where: path, what: reason });
  }
  for (const { path, reason } of (await olderMarks(engine, name, key)).values()) {
    tell({ where: path, what: reason });
  }
  await checkFile(engine, join(directory, 'retention.json'), {
    tell,
    decode: (bytes) => requireName(setRetentionFile.decode(bytes, 'checked').set, name),
  });
  await checkFilesIn(engine, join(directory, 'profiles'), {
    ...{ suffix: '.profile', tell },
    decode(bytes) {
      const { machine } = decodeProfile(bytes, key);
      if (store.has('checked-records')) requireSum(bytes);
      return machine;
    },
  });
}

/** Without what keeps its points a set may lose them, or keep them for ever. */
async function keepingDamage(
  store: Engine['store'],
  name: string,
  key: Uint8Array | undefined,
): Promise<readonly RecordProblem[]> {
  return [...(await marksDamage(store, name, key)), ...(await setLockDamage(store, name, key))];
}

/** Checks journals of sessions, their served records, their overlays, and their leases. */
async function checkSessions(
  { store }: Engine,
  open: readonly OpenSet[],
  tell: Tell,
): Promise<void> {
  const { files } = store;
  const parent = join(store.directory, 'sessions');
  const ids = new Set(await sessionIds(store));
  for (const name of await files.list(parent)) {
    const directory = join(parent, name);
    if (ids.has(name) || (await files.stat(directory))?.kind !== 'directory') continue;
    // A crash while a session is created or removed leaves at most a directory with a lock: the journal is removed
    // last.
    const left = (await files.list(directory)).filter(
      (it) => it !== 'lock' && !it.endsWith('.tmp'),
    );
    const isNow = await files.stat(join(directory, 'session.json'));
    if (left.length === 0 || isNow) continue;
    const what = `its journal session.json is missing, but ${left.length} of its files exist`;
    tell({ where: `session ${name}`, what });
  }
  for (const id of ids) {
    try {
      const session = await readJournal(store, id);
      if (!session) continue;
      const keys = open.find(({ name }) => name === session.set)?.keys;
      for (const what of await sessionDamage(store, session, keys)) {
        tell({ where: `session ${id}`, what });
      }
      if (await isServed(store, id)) await readServed(store, id);
      // A damaged lease was reported with the leases.
      const isLeased = (await files.stat(leasePath(store, id))) !== undefined;
      if (session.phase === 'ready' && !isLeased) {
        const what =
          'its lease is missing, and only its journal still protects its recovery point: stop and resume it';
        tell({ where: `session ${id}`, what });
      }
    } catch (cause) {
      const isGone = cause instanceof SystemError && cause.code === 'NOT_FOUND';
      if (!isGone && !(cause instanceof SessionError)) throw cause;
      if (!isGone) tell({ where: `session ${id}`, what: cause.message });
    }
  }
}

/** Checks jobs, schedules, alarms, and the states of lockdown and growth. */
async function checkWork(engine: Engine, tell: Tell): Promise<void> {
  const { directory } = engine.store;
  const checks = engine.store.checks();
  const records: readonly [string, (bytes: Uint8Array) => string][] = [
    ['jobs', (bytes) => jobFile.decode(bytes, checks).id],
    ['schedules', (bytes) => scheduleFile.decode(bytes, checks).name],
  ];
  for (const [name, decode] of records) {
    await checkFilesIn(engine, join(directory, name), { suffix: '.json', decode, tell });
  }
  const single: readonly [string, (bytes: Uint8Array) => unknown][] = [
    ['alarms.json', (bytes) => alarmsFile.decode(bytes)],
    ['lockdown.json', (bytes) => lockdownFile.decode(bytes)],
    ['growth.json', decodeGrowth],
  ];
  for (const [name, decode] of single)
    await checkFile(engine, join(directory, name), { decode, tell });
}

/**
 * Checks the box's files outside the store, as far as this user may read them: clock, lockdown, messages, its memory.
 */
async function checkBox(engine: Engine, tell: Tell): Promise<void> {
  const { directory } = engine.box;
  const problem = await engine.box.problem();
  if (problem !== undefined) tell({ where: directory, what: problem });
  const single: readonly [string, (bytes: Uint8Array) => unknown][] = [
    ['clock.json', (bytes) => clockFile.decode(bytes)],
    ['trusted-time.json', (bytes) => trustedTimeFile.decode(bytes, 'checked')],
    ['lockdown.json', (bytes) => lockdownFile.decode(bytes)],
  ];
  for (const [name, decode] of single)
    await checkFile(engine, join(directory, name), { decode, tell });
  for (const channel of CHANNELS) {
    const decode = (bytes: Uint8Array): string => messageFile.decode(bytes).id;
    await checkFilesIn(engine, join(directory, OUTBOX, channel), { suffix: '.json', decode, tell });
  }
}

/** Checks records that are named after what they describe. */
async function checkFilesIn(
  engine: Engine,
  directory: string,
  {
    suffix,
    decode,
    tell,
  }: {
    readonly suffix: string;
    readonly decode: (bytes: Uint8Array) => string;
    readonly tell: Tell;
  },
): Promise<void> {
  if (!(await engine.store.files.stat(directory))) return;
  for (const file of await engine.store.files.list(directory)) {
    if (!file.endsWith(suffix)) continue;
    const path = join(directory, file);
    await checkFile(engine, path, {
      tell,
      decode(bytes) {
        requireName(decode(bytes), basename(path, suffix));
      },
    });
  }
}

/** Throws CORRUPT: it was copied there. */
function requireName(name: string, expected: string): void {
  if (name !== expected) throw new FormatError('CORRUPT', `it is the record of "${name}"`);
}

async function checkFile(
  { store }: Engine,
  path: string,
  { decode, tell }: { readonly decode: (bytes: Uint8Array) => unknown; readonly tell: Tell },
): Promise<void> {
  try {
    if (await store.files.stat(path)) decode(await store.files.readFile(path, LENGTH_MAX));
  } catch (cause) {
    const isGone = cause instanceof SystemError && cause.code === 'NOT_FOUND';
    if (isGone) return;
    if (!(cause instanceof FormatError) && !(cause instanceof SystemError)) throw cause;
    tell({ where: path, what: cause.message });
  }
}

/** A running service may be in the middle of a line: only a defect that two looks find is real. */
async function checkAudit({ store }: Engine, tell: Tell): Promise<void> {
  const look = async (): Promise<string | null> => {
    await using files = await openFiles(store, store.directory, 0);
    return (await checkFiles(files)).problem;
  };
  if ((await look()) === null) return;
  const what = await look();
  if (what !== null) tell({ where: join(store.directory, 'audit.log'), what });
}
