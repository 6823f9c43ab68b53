import { printable } from '../../lib/printable.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { FileEntry } from '../../operations/events.ts';
import type { CopiedFiles, VolumeSummary } from '../../operations/nouns/files.ts';
import { table } from '../base/output.ts';

const LETTERS = { file: '-', directory: 'd', link: 'l', other: '?' } as const;
const RIGHTS = ['r', 'w', 'x', 'r', 'w', 'x', 'r', 'w', 'x'];

/** A line as of ls(1); names from a guest may hold anything, even terminal control sequences. */
export function entryLine(entry: FileEntry): string {
  const { kind, mode, uid, gid, size, modified, path, target } = entry;
  const rights = RIGHTS.map((it, at) => ((mode >> (8 - at)) & 1 ? it : '-')).join('');
  const owner = `${uid}:${gid}`.padStart(11);
  const time = modified.slice(0, 16).replace('T', ' ');
  const link = target === undefined ? '' : ` -> ${printable(target)}`;
  return `${LETTERS[kind]}${rights} ${owner} ${String(size).padStart(14)} ${time} ${printable(path)}${link}`;
}

export function volumesTable(volumes: readonly VolumeSummary[]): string {
  const rows = volumes.map(({ volume, found, label, size, closed }) => [
    volume,
    found,
    size === null ? '' : formatSize(size),
    label ?? '',
    closed === null ? '' : `closed: ${closed}`,
  ]);
  return table(['VOLUME', 'IS', 'SIZE', 'LABEL', ''], rows);
}

export function copiedText({ volume, to, lost }: CopiedFiles): string {
  const text = `Copied from ${volume} to ${to}`;
  const lines = lost.map((it) => `\n  ${it}`).join('');
  return lines === '' ? text : `${text}. It could not store, for some files:${lines}`;
}
