import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

const GiB = 2 ** 30;
const MB = 1e6;

/** Libraries, programs, texts and pictures of any Debian: partly compressible, as what a guest has. */
const TREES = ['/usr/lib/x86_64-linux-gnu', '/usr/share', '/usr/bin'];

export interface GuestData {
  readonly bytes: number;
  /** Bytes that each of the later changes adds. */
  readonly changeBytes: number;
  readonly changes: number;
}

/**
 * Makes the image of a disk of 4 GiB with files of this machine, and that of a disk with others in folders
 * `later/1` ..., which the guest can copy from.
 */
export function guestDisks(
  work: string,
  { bytes, changeBytes, changes }: GuestData,
): { readonly system: string; readonly later: string } {
  const files = filesOf(TREES);
  const place = join(work, 'guest-files');
  copied(files, join(place, 'system'), bytes);
  for (let n = 1; n <= changes; n++)
    copied(files, join(place, 'later', 'later', `${n}`), changeBytes);
  const system = image(work, 'system', 4 * GiB);
  const later = image(work, 'later', 2 ** 26 + 4 * changes * changeBytes);
  rmSync(place, { recursive: true });
  return { system, later };
}

/** In an order that mixes them well, and is always the same. */
function filesOf(trees: readonly string[]): string[] {
  const files = trees.flatMap((tree) =>
    readdirSync(tree, { recursive: true, withFileTypes: true })
      .filter((it) => it.isFile())
      .map((it) => join(it.parentPath, it.name)),
  );
  const key = (path: string): string => createHash('sha256').update(path).digest('hex');
  return files
    .map((path) => ({ path, key: key(path) }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
    .map(({ path }) => path);
}

/** Takes files off the list and copies them, until they have that many bytes. */
function copied(files: string[], to: string, bytes: number): void {
  let [sum, count] = [0, 0];
  while (sum < bytes) {
    const path = files.pop();
    if (path === undefined) throw new Error(`${TREES.join(', ')} have too few files`);
    const { size } = statSync(path);
    // One large file would be all of a change.
    if (size === 0 || size > Math.max(2 * MB, bytes / 20)) continue;
    const folder = join(to, String(count >> 8));
    if (!existsSync(folder)) mkdirSync(folder, { recursive: true });
    copyFileSync(path, join(folder, String(count++)));
    sum += size;
  }
}

/** Nothing is left to be initialized in the background: the guest writes only what it is told to. */
function image(work: string, name: string, size: number): string {
  const [raw, path] = [join(work, `${name}.raw`), join(work, `${name}.qcow2`)];
  execFileSync('truncate', ['-s', String(size), raw]);
  const options = ['-E', 'nodiscard,lazy_itable_init=0,lazy_journal_init=0'];
  execFileSync('mkfs.ext4', ['-q', '-F', ...options, '-d', join(work, 'guest-files', name), raw]);
  execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, path]);
  rmSync(raw);
  return path;
}
