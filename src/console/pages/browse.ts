import type { ResultOf } from '../../operations/operations.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { FormDialog } from '../state/dialog.ts';
import { chosenIn } from '../state/lists.ts';
import { type FilesPlace, type Model, type Next, NO_ROWS } from '../state/model.ts';
import { paged } from '../state/queries.ts';
import { valueOf } from '../state/service.ts';
import { columns, fitted, type Line, line } from '../terminal/screen.ts';
import { utc } from '../terminal/times.ts';
import { operationForm } from '../widgets/operation-form.ts';
import { pagedBody } from '../widgets/list-body.ts';
import { offeredGuests } from '../widgets/learned.ts';
import { keysFor, type Outcome, type Page } from '../widgets/page.ts';
import { HYPERVISORS } from './hypervisors.ts';

/* A directory of an open volume. */

type FileEntry = ResultOf<'files/browse'>['entries'][number];

const ENTRIES = paged('entries', {
  call({ place }, window) {
    if (!place) return undefined;
    const { id, volume, path } = place;
    return { name: 'files/browse', request: { id, volume, path: `/${path}`, ...window } };
  },
  // Later parts belong to the same listing as the first.
  everyMs: Number.POSITIVE_INFINITY,
  page: ({ entries, ...at }) => ({ ...at, rows: entries }),
  idOf: ({ path }) => path,
  also: ({ hint }, { refused }) => ({ hint: refused ?? hint }),
});

const inPlace = keysFor(
  ({ place }) => place,
  'No volume is chosen: press Enter on a volume on the page Files.',
);
const onEntry = keysFor(({ place, entries }) => {
  const it = chosenIn(entries);
  return place && it && { ...it, place };
});

export const browsePage: Page = {
  title: 'Browse',
  keys: [
    onEntry(
      'enter',
      'down',
      ({ path, place }, model) => [entered(model, { ...place, path }), []],
      ({ entries }) =>
        chosenIn(entries)?.kind === 'directory'
          ? undefined
          : 'It is not a directory. Space marks it, c copies the marked ones.',
    ),
    inPlace(['u', 'backspace'], 'up', up),
    onEntry('space', 'mark', mark),
    inPlace('c', 'copy', copy),
    onEntry('p', 'put', putForm, ({ entries }) =>
      chosenIn(entries)?.kind === 'file' ? undefined : 'Only a file can be put into a guest.',
    ),
  ],
  queries: [ENTRIES, HYPERVISORS],
  list: { kind: 'paged', name: 'entries' },
  body: browseBody,
};

export function entered(model: Model, place: FilesPlace): Model {
  const isSame = model.place?.id === place.id && model.place.volume === place.volume;
  return { ...model, place, entries: NO_ROWS, marked: isSame ? model.marked : [] };
}

function up(place: FilesPlace, model: Model): Next {
  if (place.path === '') return [{ ...model, screen: 'files' }, []];
  const above = place.path.slice(0, Math.max(0, place.path.lastIndexOf('/')));
  return [entered(model, { ...place, path: above }), []];
}

/** The most that one request takes. */
const MARKED_MAX = 1000;

function mark({ path }: FileEntry, model: Model): Outcome {
  const { marked } = model;
  if (marked.includes(path)) {
    return [{ ...model, marked: marked.filter((other) => other !== path) }, []];
  }
  if (marked.length >= MARKED_MAX) return `At most ${MARKED_MAX} can be marked at once.`;
  return [{ ...model, marked: [...marked, path] }, []];
}

function copy(place: FilesPlace, model: Model): Outcome {
  const { marked, entries } = model;
  const it = chosenIn(entries);
  const paths = marked.length > 0 ? marked : it ? [it.path] : [];
  return paths.length === 0 ? 'No file is chosen.' : copyForm(place, paths);
}

function copyForm({ id, point, volume }: FilesPlace, paths: readonly string[]): FormDialog {
  const what = paths.length === 1 ? paths[0]! : `${paths.length} files and directories`;
  return operationForm('files/copy', {
    title: `Copy ${what}`,
    does: 'copy',
    asks: ['to'],
    given: { id, volume, paths },
    values: { to: point.replaceAll(/[^\w.-]/g, '-') },
    task: () => `copy ${what}`,
  });
}

/** The machine of a recovery point or session, which begins its ID. */
const MACHINE = /^(?:.*\/)?(.+?)-(?:\d{8}T\d{6}Z-)?[0-9a-f]+$/;

/** A file becomes one of a guest that runs, through its agent. */
function putForm(
  { path, place }: { readonly path: string; readonly place: FilesPlace },
  { hypervisors }: Model,
): FormDialog {
  const { point, volume, disk } = place;
  const names = valueOf(hypervisors)?.hypervisors.map(({ hypervisor }) => hypervisor) ?? [];
  return operationForm('files/put', {
    title: `Put ${path} into a running guest`,
    does: 'put',
    asks: ['on', 'machine', 'path there', 'overwrite'],
    given: { what: point, disk, path: `/${path}`, volume },
    fields: {
      on: {
        ...{ label: 'Hypervisor', note: 'the hypervisor on which the machine runs' },
        ...(names.length > 0 && { choices: names }),
      },
      machine: {
        ...{ label: 'Machine', offers: offeredGuests },
        note: "name of the machine there: its guest's agent writes the file and reads it back",
      },
      'path there': {
        label: 'Path',
        note: 'the absolute path in its guest',
      },
    },
    values: {
      on: names[0] ?? '',
      machine: MACHINE.exec(point)?.[1] ?? '',
      'path there': `/${path}`,
    },
    about: ({ on = '' }) => ({ hypervisor: on }),
    made: (request, values) => {
      const { on = '', machine = '', 'path there': there = '' } = values;
      const missing = [
        ...(on.trim() === '' ? ['Hypervisor is missing.'] : []),
        ...(machine.trim() === '' ? ['Machine is missing.'] : []),
        ...(there.trim() === '' ? ['Path is missing.'] : []),
      ];
      const to = `${on.trim()}/${machine.trim()}:${there.trim()}`;
      return missing[0] ?? { ...request, to };
    },
    task: ({ to }) => `put /${path} to ${to}`,
  });
}

/** The widths of an entry's columns, except the name's. */
const SIZE_WIDTH = 10;
const TIME_WIDTH = 16;

function browseBody(model: Model): readonly Line[] {
  const { place, marked, size, entries } = model;
  if (!place) return [line(' No volume is chosen: press Enter on a volume on the page Files.')];
  const width = Math.max(12, size.columns - SIZE_WIDTH - TIME_WIDTH - 9);
  const where = `${place.volume}:/${place.path}`;
  const note = `${marked.length > 0 ? `, ${marked.length} marked` : ''}, times in UTC`;
  return pagedBody(model, entries, {
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
