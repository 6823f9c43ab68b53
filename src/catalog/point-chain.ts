import { join } from 'node:path/posix';
import { decodeHead, encodeHead, type HeadRecord } from '../formats/store/catalog/head.ts';
import { linkTo, type PointLink, type PointRecord } from '../formats/store/catalog/point.ts';
import type { Store } from '../store/directory/store.ts';
import { putDurably } from '../sys/files/write-atomically.ts';
import type { World } from '../sys/world.ts';
import { CatalogError } from './catalog-error.ts';
import { isName } from '../formats/store/base/names.ts';
import { checkName } from './names.ts';
import { readRecord } from './read-record.ts';
import { setDirectory } from './set-copies.ts';
import type { OpenSet } from './sets.ts';

/*
 * Each recovery point names the one before it, and a head names the last one: so a deleted point is noticed. Grammar:
 * formats/store/catalog/head.md.
 */
const SUFFIX = '.head';
/** 100,000 links of some 170 bytes. */
const HEAD_LENGTH_MAX = 32 * 1024 * 1024;
const RECORD_LENGTH_MAX = 2 * 1024 * 1024;

export interface MachineInSet {
  readonly set: string;
  readonly machine: string;
}

function headsDirectory(store: Store, set: string): string {
  return join(setDirectory(store, set), 'heads');
}

export function headPath(store: Store, { set, machine }: MachineInSet): string {
  checkName(machine, 'machine');
  return join(headsDirectory(store, set), machine + SUFFIX);
}

/** Undefined: there is no head. Rejects CORRUPT. */
export async function readHead(
  store: Store,
  of: MachineInSet,
  key: Uint8Array | undefined,
): Promise<HeadRecord | undefined> {
  const { files } = store;
  const path = headPath(store, of);
  if (!(await files.stat(path))) return undefined;
  const head = await readRecord({ files, store }, path, HEAD_LENGTH_MAX, (it) =>
    decodeHead(it, key),
  );
  if (head.set === of.set && head.machine === of.machine) return head;
  const what = `${path} is the head of ${head.set}/${head.machine}`;
  throw new CatalogError('CORRUPT', what);
}

/** The same, but also undefined if it is damaged: the next publication writes it again. */
export async function usableHead(
  store: Store,
  of: MachineInSet,
  key: Uint8Array | undefined,
): Promise<HeadRecord | undefined> {
  try {
    return await readHead(store, of, key);
  } catch (cause) {
    if (cause instanceof CatalogError && cause.code === 'CORRUPT') return undefined;
    throw cause;
  }
}

/** Makes `point` the end of the chain. The caller holds the store's lock. */
export async function writeHead(
  store: Store,
  set: OpenSet,
  { machine, ...rest }: Omit<HeadRecord, 'set'>,
): Promise<void> {
  const { files } = store;
  const of = { set: set.name, machine };
  await files.makeDirectory(headsDirectory(store, set.name));
  await files.syncDirectory(setDirectory(store, set.name));
  await putDurably(files, headPath(store, of), encodeHead({ ...of, ...rest }, set.keys.record));
}

/** A link to the point at `path`; undefined: it no longer exists. */
export async function linkToFile(
  { files }: World,
  path: string,
  record: PointRecord,
): Promise<PointLink | undefined> {
  if (!(await files.stat(path))) return undefined;
  return linkTo(record, await files.readFile(path, RECORD_LENGTH_MAX));
}

/** Machines that have a head, by the names of the files. */
export async function machinesWithHead(store: Store, set: string): Promise<string[]> {
  const { files } = store;
  const directory = headsDirectory(store, set);
  if (!(await files.stat(directory))) return [];
  const names = (await files.list(directory)).filter((name) => name.endsWith(SUFFIX));
  // Any other file is none of ours, and must not end a check.
  return names.map((name) => name.slice(0, -SUFFIX.length)).filter(isName);
}
