import { printable } from '../../lib/printable.ts';
import { GranularError } from '../base/file-restore-error.ts';
import { findInside } from '../base/paths.ts';
import { lastWords, runProgram } from '../base/programs.ts';
import { type Entry, listDirectory } from './browse.ts';

const READ_MS = 120_000;

export interface FilePart {
  /** The file itself, also where the path leads to it over a link. */
  readonly entry: Entry;
  readonly bytes: Uint8Array;
}

/** At most `length` bytes of a file from `offset` on. Rejects BAD_PATH if it is no file, NOT_FOUND, UNREADABLE. */
export async function readPart(
  root: string,
  path: string,
  {
    offset,
    length,
    signal,
  }: { readonly offset: number; readonly length: number; readonly signal: AbortSignal },
): Promise<FilePart> {
  const inside = await findInside(root, path, { follow: true, signal });
  if (inside.kind !== 'file') {
    throw new GranularError('BAD_PATH', `"${printable(path)}" is not a file`);
  }
  let entry: Entry | undefined;
  for await (const it of listDirectory(root, inside.path, { signal })) entry = it;
  if (!entry) throw new GranularError('NOT_FOUND', `no "${printable(path)}" in this volume`);
  const input = [`if=${root}/${inside.path}`, `skip=${offset}`, `count=${length}`];
  const how = ['bs=64K', 'iflag=skip_bytes,count_bytes,fullblock', 'status=none'];
  const { code, stdout, stderr } = await runProgram('dd', [...input, ...how], {
    ...{ timeoutMs: READ_MS, signal },
  });
  if (code !== 0) throw new GranularError('UNREADABLE', lastWords(stderr));
  return { entry, bytes: stdout };
}
