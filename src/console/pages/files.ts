import type { FormDialog } from '../state/dialog-model.ts';
import { chosenIn, chosenOf } from '../state/lists.ts';
import { type Model, type Next, NO_ROWS, type OpenVolume } from '../state/model.ts';
import { startTask } from '../state/tasks.ts';
import type { Known } from '../state/known.ts';

/* Single files: what is open, and the directory that is looked at. */

/** Every volume of all that is open; one row too for what has none. */
export function openVolumes({ opened }: Model): Known<readonly OpenVolume[]> {
  if (opened.kind !== 'known') return opened;
  const value = opened.value.flatMap((restore): OpenVolume[] => {
    const { id, point, volumes } = restore;
    if (volumes.length === 0) return [{ id, point, volume: undefined }];
    return volumes.map((volume) => ({ id, point, volume }));
  });
  return { ...opened, value };
}

/** Shows what is in a recovery point, or in a running session. */
export function openFiles(model: Model, what: string): Next {
  const request = { what, disk: undefined, isolated: false };
  return startTask(model, `open the files of ${what}`, {
    call: { name: 'files/open', request },
  });
}

export function openedKey(model: Model, key: string): Next {
  const it = chosenOf(openVolumes(model), model.chosen.files);
  if (!it) return [{ ...model, hint: 'Nothing is open: press f on a recovery point.' }, []];
  const { id, point, volume } = it;
  if (key === 'x') {
    return startTask(model, `close the files of ${point}`, {
      call: { name: 'files/close', request: { id } },
    });
  }
  if (key !== 'enter') return [model, []];
  if (!volume || volume.closed !== null) {
    const why = volume?.closed ?? 'a command on the machine itself has it open';
    return [{ ...model, hint: `That cannot be looked into: ${why}` }, []];
  }
  const place = { id, point, volume: volume.volume, path: '' };
  return [{ ...entered(model, place), screen: 'browse' }, []];
}

export function browseKey(model: Model, key: string): Next {
  const { place, marked } = model;
  if (!place) return [{ ...model, hint: 'No volume is chosen: press Enter on one of Files.' }, []];
  if (key === 'u' || key === 'backspace') return up(model, place);
  const it = chosenIn(model.entries);
  if (key === 'c') {
    const paths = marked.length > 0 ? marked : it ? [it.path] : [];
    if (paths.length === 0) return [{ ...model, hint: 'Nothing is chosen.' }, []];
    return [{ ...model, dialog: copyForm(place, paths) }, []];
  }
  if (!it) return [model, []];
  if (key === ' ') {
    const { path } = it;
    if (marked.includes(path)) {
      return [{ ...model, marked: marked.filter((other) => other !== path) }, []];
    }
    if (marked.length >= MARKED_MAX) {
      return [{ ...model, hint: `No more than ${MARKED_MAX} at once.` }, []];
    }
    return [{ ...model, marked: [...marked, path] }, []];
  }
  if (key !== 'enter') return [model, []];
  if (it.kind === 'directory') return [entered(model, { ...place, path: it.path }), []];
  return [{ ...model, hint: 'Space marks it, c copies what is marked.' }, []];
}

/** As many as one request takes. */
const MARKED_MAX = 1000;

type Place = NonNullable<Model['place']>;

function entered(model: Model, place: Place): Model {
  const isSame = model.place?.id === place.id && model.place.volume === place.volume;
  return { ...model, place, entries: NO_ROWS, marked: isSame ? model.marked : [] };
}

function up(model: Model, place: Place): Next {
  if (place.path === '') return [{ ...model, screen: 'files' }, []];
  const above = place.path.slice(0, Math.max(0, place.path.lastIndexOf('/')));
  return [entered(model, { ...place, path: above }), []];
}

function copyForm({ id, point, volume }: Place, paths: readonly string[]): FormDialog {
  const what = paths.length === 1 ? paths[0]! : `${paths.length} files and directories`;
  return {
    ...{ kind: 'form', title: `Copy ${what}`, field: 0, problem: '' },
    values: { to: point.replaceAll(/[^\w.-]/g, '-') },
    form: {
      does: 'copy',
      fields: [
        {
          ...{ name: 'to', label: 'To' },
          note: 'a directory where restored files are kept, new or not',
        },
      ],
      submit({ to = '' }) {
        if (to.trim() === '') return 'Where to?';
        const request = { id, volume, paths, to: to.trim(), overwrite: false };
        return { title: `copy ${what}`, call: { name: 'files/copy', request } };
      },
    },
  };
}
