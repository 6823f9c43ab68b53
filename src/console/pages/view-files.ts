import { formatSize } from '../../lib/sizes.ts';
import type { FilesResultOf } from '../../operations/files-operations.ts';
import { openVolumes } from './files.ts';
import type { Model, OpenVolume } from '../state/model.ts';
import { columns, fitted, type Line, line } from '../terminal/screen.ts';
import { listBody, pagedBody } from './view-lists.ts';
import { utc } from '../terminal/words.ts';

type FileEntry = FilesResultOf<'files/browse'>['entries'][number];

const OPEN_WIDTHS = [32, 10, 8, 9];
/** Of an entry, but for its name. */
const SIZE_WIDTH = 10;
const TIME_WIDTH = 16;

export function openedBody(model: Model): readonly Line[] {
  return listBody(model, {
    known: openVolumes(model),
    heading: columns(['RECOVERY POINT', 'VOLUME', 'IS', 'SIZE', ''], OPEN_WIDTHS),
    none: 'Nothing is open. Press f on a recovery point, or on a session, to see its files.',
    text: openText,
  });
}

function openText({ point, volume }: OpenVolume): string {
  if (!volume) return columns([point, '-', '', '', 'open by a command'], OPEN_WIDTHS);
  const { volume: name, found, size, label, closed } = volume;
  const note = closed === null ? (label ?? '') : `closed: ${closed}`;
  return columns([point, name, found, size === null ? '' : formatSize(size), note], OPEN_WIDTHS);
}

export function browseBody(model: Model): readonly Line[] {
  const { place, marked, size, entries } = model;
  if (!place) return [line(' No volume is chosen: press Enter on one of the screen Files.')];
  const width = Math.max(12, size.columns - SIZE_WIDTH - TIME_WIDTH - 9);
  const where = `${place.volume}:/${place.path}`;
  const note = `${marked.length > 0 ? `, ${marked.length} marked` : ''}, times in UTC`;
  return pagedBody<FileEntry>(model, entries, {
    heading: fitted(where, Math.max(8, size.columns - 24)),
    none: `${where} is empty.`,
    note,
    text: (it) => entryText(it, { width, above: place.path, isMarked: marked.includes(it.path) }),
  });
}

function entryText(
  { path, kind, size, modified, target }: FileEntry,
  { width, above, isMarked }: { width: number; above: string; isMarked: boolean },
): string {
  const name = above === '' ? path : path.slice(above.length + 1);
  const shown = kind === 'directory' ? `${name}/` : target === null ? name : `${name} -> ${target}`;
  const amount = kind === 'file' ? formatSize(size) : '';
  const cells = [isMarked ? '*' : ' ', shown, amount.padStart(SIZE_WIDTH), utc(modified)];
  return columns(cells, [1, width, SIZE_WIDTH, TIME_WIDTH]);
}
