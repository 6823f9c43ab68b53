import { join } from 'node:path/posix';
import type { FileSystem } from '../../sys/files/file-system.ts';
import type { Problem } from '../check/check.ts';
import type { Store } from './store.ts';
import { StoreError } from '../packs/store-error.ts';

/*
 * An attacker who can write to the disk of a store can put a symbolic link where a directory belongs: what is made
 * or removed in it would be made or removed elsewhere, as root. So links are looked for before a store is changed.
 * Files need no such look: `FileSystem` opens no link to write, makes no file where one is, and renames and removes
 * the link itself. A reader is not harmed: what it reads is authenticated.
 */
const PARENTS = ['', 'packs', 'sets', 'sessions', 'block-index'] as const;

/** Links where directories belong, by their paths. */
async function linksIn(files: FileSystem, store: string): Promise<string[]> {
  const found: string[] = [];
  async function look(parent: string): Promise<void> {
    for (const name of await files.links(join(store, parent)))
      found.push(join(store, parent, name));
  }
  for (const parent of PARENTS) await look(parent);
  // What is behind a link is not looked at.
  if (found.length > 0) return found;
  for (const set of await setsIn(files, store)) await look(join('sets', set));
  return found;
}

/** The directory may be missing: a check says so. */
async function setsIn(files: FileSystem, store: string): Promise<string[]> {
  const sets = join(store, 'sets');
  return (await files.stat(sets)) ? files.list(sets) : [];
}

/** Rejects CORRUPT. Called before any change of the store. */
export async function refuseLinks({ files, directory }: Store): Promise<void> {
  const [first] = await linksIn(files, directory);
  if (first !== undefined) throw new StoreError('CORRUPT', `${first} ${REASON}`);
}

export async function linkProblems({ files, directory }: Store): Promise<Problem[]> {
  return (await linksIn(files, directory)).map((where) => ({ where, what: `it ${REASON}` }));
}

const REASON =
  'is a symbolic link, and what is written to the store would go elsewhere: nothing is. Remove the link; ' +
  'if you made it to use another disk, mount that disk there';
