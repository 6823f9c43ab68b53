import { GranularError } from '../base/file-restore-error.ts';
import { mountMemory, unmount } from './mounts.ts';
import { makeDirectories, removeDirectories } from './opened-volumes.ts';
import { lastWords, runProgram } from '../base/programs.ts';
import { utf8 } from '../../lib/bytes.ts';
import type { FileSystem } from '../../sys/files/file-system.ts';
import {
  isAlive,
  type ProcessIdentity,
  sendSignal,
  thisProcess,
} from '../../sys/process/process-identity.ts';
import { putDurably } from '../../sys/files/write-atomically.ts';
import type { World } from '../../sys/world.ts';

/*
 * Restores whose mounts the whole host sees: `STATE/ID.json` records what belongs to each before anything is mounted,
 * and is removed after everything is unmounted. So another process can find and remove whatever a process leaves
 * behind.
 */

/** The contents of `STATE/ID.json`. */
export interface OpenRestoreRecord {
  readonly format: 'holdfast open restore 1';
  readonly id: string;
  readonly point: string;
  /** ISO 8601. */
  readonly opened: string;
  readonly owner: ProcessIdentity;
  /** The directory of the volumes. */
  readonly at: string;
  /** Directories made for it; anything mounted at or below them is removed with it. */
  readonly directories: readonly string[];
}

/** An open restore of this process. Disposing ends it, after its mounts have been unmounted. */
export interface OpenRestore extends AsyncDisposable {
  readonly id: string;
  /** Empty directories: for the volumes, for the machine's disks, and for an appliance. */
  readonly at: string;
  readonly disks: string;
  readonly work: string;
  /** Records what became known later, such as more directories before they are made. */
  note(news: Partial<Pick<OpenRestoreRecord, 'point' | 'directories'>>): Promise<void>;
}

const FORMAT = 'holdfast open restore 1';
const RECORD_LENGTH_MAX = 1024 * 1024;
const RECORDS_MAX = 10_000;
const ID_BYTES = 4;
const CLOSE_MS = 60_000;
const POLL_MS = 100;
const LOOK_MS = 30_000;
const REMOVE_MS = 60_000;
/** Rounds for mounts over mounts, and mounts that appear in the meantime. */
const ROUNDS_MAX = 8;

/** Opens a restore of `point`, in `at` or in a directory of its own. Rejects DENIED where `at` is not empty. */
export async function beginOpenRestore(
  { files, clock, random }: World,
  state: string,
  { point, at: wanted }: { readonly point: string; readonly at: string | undefined },
): Promise<OpenRestore> {
  await files.makeDirectory(state);
  const id = Buffer.from(random.bytes(ID_BYTES)).toString('hex');
  const own = `${state}/${id}`;
  const at = wanted ?? `${own}/volumes`;
  const isNew = await isNewDirectory(at);
  const [disks, work] = [`${own}/disks`, `${own}/work`];
  let record: OpenRestoreRecord = {
    format: FORMAT,
    id,
    point,
    opened: clock.now().toISOString(),
    owner: thisProcess(await files.bootId()),
    at,
    directories: [own, disks, work, ...(isNew ? [at] : [])],
  };
  const put = (): Promise<void> =>
    putDurably(files, pathOf(state, id), utf8(`${JSON.stringify(record, undefined, 2)}\n`));
  await put();
  await makeDirectories([disks, work, at]);
  // Not in the space of /run, which belongs to the host.
  await mountMemory(work);
  let isOpen = true;
  return {
    id,
    at,
    disks,
    work,
    async note({ point = record.point, directories = [] }) {
      record = { ...record, point, directories: [...record.directories, ...directories] };
      await put();
    },
    async [Symbol.asyncDispose]() {
      if (!isOpen) return;
      isOpen = false;
      await takeAway(files, state, record);
    },
  };
}

/** All restores with a record, whether their process still runs or not. */
export async function listOpenRestores(
  files: FileSystem,
  state: string,
): Promise<{ readonly record: OpenRestoreRecord; readonly isRunning: boolean }[]> {
  if (!(await files.stat(state))) return [];
  const boot = await files.bootId();
  const names = (await files.list(state)).filter((name) => name.endsWith('.json'));
  const found = [];
  for (const name of names.slice(0, RECORDS_MAX)) {
    const bytes = await files
      .readFile(`${state}/${name}`, RECORD_LENGTH_MAX)
      .catch(() => undefined);
    // It was closed in the meantime.
    if (!bytes) continue;
    const record = parseRecord(Buffer.from(bytes).toString(), `${state}/${name}`);
    found.push({ record, isRunning: isAlive(record.owner, boot) });
  }
  return found;
}

/** Asks its process to end it, ends that process if it does not, and removes what is left. */
export async function closeOpenRestore(
  { files, clock }: Pick<World, 'files' | 'clock'>,
  state: string,
  id: string,
): Promise<void> {
  const all = await listOpenRestores(files, state);
  const found = all.find(({ record }) => record.id === id);
  if (!found)
    throw new GranularError('NOT_FOUND', `there is no open restore ${id}: see "files opened"`);
  const { record } = found;
  const boot = await files.bootId();
  sendSignal(record.owner, 'SIGTERM', boot);
  const until = clock.monotonicMs() + CLOSE_MS;
  while (isAlive(record.owner, boot) && (await files.stat(pathOf(state, id)))) {
    if (clock.monotonicMs() > until) sendSignal(record.owner, 'SIGKILL', boot);
    await clock.sleep(POLL_MS);
  }
  if (await files.stat(pathOf(state, id))) await takeAway(files, state, record);
}

/** Removes what dead processes left. After a restart of the host only records are left. */
export async function sweepOpenRestores(files: FileSystem, state: string): Promise<string[]> {
  const left = (await listOpenRestores(files, state)).filter(({ isRunning }) => !isRunning);
  for (const { record } of left) await takeAway(files, state, record);
  return left.map(({ record }) => record.id);
}

async function takeAway(
  files: FileSystem,
  state: string,
  record: OpenRestoreRecord,
): Promise<void> {
  const { id, directories, owner } = record;
  if (owner.boot === (await files.bootId())) {
    for (const directory of directories.toReversed()) await unmountBelow(directory);
  }
  // Removes the files of a killed appliance. Nothing is mounted below, and no other disk is entered.
  const work = `${state}/${id}/work`;
  await runProgram('rm', ['--recursive', '--force', '--one-file-system', '--', work], {
    timeoutMs: REMOVE_MS,
  });
  await removeDirectories(directories);
  const path = pathOf(state, id);
  if (await files.stat(path)) await files.unlink(path);
  await files.syncDirectory(state);
}

async function unmountBelow(directory: string): Promise<void> {
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const mounts = await mountsBelow(directory);
    if (mounts.length === 0) return;
    for (const path of mounts.toReversed()) await unmount(path);
  }
  throw new GranularError('FAILED', `something is mounted again and again below ${directory}`);
}

/** In the order in which they were mounted. */
async function mountsBelow(directory: string): Promise<string[]> {
  const { code, stdout, stderr } = await runProgram('cat', ['/proc/self/mountinfo'], {
    timeoutMs: LOOK_MS,
  });
  if (code !== 0) throw new GranularError('FAILED', `cannot list mounts: ${lastWords(stderr)}`);
  return stdout
    .toString('latin1')
    .split('\n')
    .map((line) => unescaped(line.split(' ')[4] ?? ''))
    .filter((path) => path === directory || path.startsWith(`${directory}/`));
}

/** Decodes spaces and such, which proc(5) writes as three octal digits. */
function unescaped(field: string): string {
  const bytes = field.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

/** Rejects DENIED if it is not empty: a mount would hide its contents. */
async function isNewDirectory(path: string): Promise<boolean> {
  const args = ['-P', path, '-maxdepth', '1', '-printf', '%y%d\\n'];
  const { code, stdout } = await runProgram('find', args, { timeoutMs: LOOK_MS });
  if (code !== 0 && stdout.length === 0) return true;
  if (stdout.toString() === 'd0\n') return false;
  throw new GranularError('DENIED', `${path} is not an empty directory`);
}

function parseRecord(text: string, path: string): OpenRestoreRecord {
  let record: Partial<OpenRestoreRecord>;
  try {
    record = JSON.parse(text) as Partial<OpenRestoreRecord>;
  } catch (cause) {
    throw new GranularError('FAILED', `${path} is damaged: remove it by hand`, { cause });
  }
  const { format, id, owner, directories } = record;
  const isOurs = format === FORMAT && typeof id === 'string' && /^[0-9a-f]{8}$/.test(id);
  const areAbsolute =
    Array.isArray(directories) &&
    directories.every((it) => typeof it === 'string' && /^\/./.test(it));
  if (!isOurs || !areAbsolute || typeof owner?.pid !== 'number' || typeof owner.boot !== 'string') {
    throw new GranularError('FAILED', `${path} is not a record of an open restore`);
  }
  return record as OpenRestoreRecord;
}

function pathOf(state: string, id: string): string {
  return `${state}/${id}.json`;
}
