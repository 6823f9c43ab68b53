import { formatSize } from '../../lib/sizes.ts';
import { chosenOf, idsOf } from '../state/lists.ts';
import type { Model, OpenVolume } from '../state/model.ts';
import { whole } from '../state/queries.ts';
import type { Known, Work } from '../state/service.ts';
import { columns } from '../terminal/screen.ts';
import { listBody } from '../widgets/list-body.ts';
import { keysFor, type Outcome, type Page } from '../widgets/page.ts';
import { entered } from './browse.ts';

/* The recovery points and sessions whose files are open. */

const OPENED = whole('opened', 'files/opened', {
  value: ({ opened }) => opened,
});

const WIDTHS = [32, 10, 8, 9];
const onVolume = keysFor(
  (model) => chosenOf(openVolumes(model), model.chosen.files),
  'No files are open: press f on a recovery point.',
);

export const filesPage: Page = {
  title: 'Files',
  keys: [onVolume('enter', 'open', lookInto), onVolume('x', 'close', close)],
  queries: [OPENED],
  list: {
    kind: 'rows',
    ids: (model) => idsOf(openVolumes(model), (it) => `${it.id} ${it.volume?.volume ?? ''}`),
  },
  body: (model) =>
    listBody(model, {
      known: openVolumes(model),
      heading: columns(['RECOVERY POINT', 'VOLUME', 'IS', 'SIZE', ''], WIDTHS),
      none: 'No files are open. Press f on a recovery point, or on a session, to see its files.',
      text: openText,
    }),
};

/** A row for each volume of each open recovery point or session; also one for each without volumes. */
function openVolumes({ opened }: Model): Known<readonly OpenVolume[]> {
  if (opened.kind !== 'known') return opened;
  const value = opened.value.flatMap((restore): OpenVolume[] => {
    const { id, point, volumes } = restore;
    if (volumes.length === 0) return [{ id, point, volume: undefined }];
    return volumes.map((volume) => ({ id, point, volume }));
  });
  return { ...opened, value };
}

/** Opens the files of a recovery point, or of a running session. */
export function openFiles(what: string): Work {
  const request = { what, disk: undefined, isolated: false };
  return { title: `open the files of ${what}`, call: { name: 'files/open', request } };
}

function lookInto({ id, point, volume }: OpenVolume, model: Model): Outcome {
  if (!volume || volume.closed !== null) {
    const why = volume?.closed ?? 'a command on the host itself has it open';
    return `This volume cannot be opened: ${why}`;
  }
  const place = { id, point, volume: volume.volume, disk: volume.disk, path: '' };
  return [{ ...entered(model, place), screen: 'browse' }, []];
}

function close({ id, point }: OpenVolume): Work {
  return { title: `close the files of ${point}`, call: { name: 'files/close', request: { id } } };
}

function openText({ point, volume }: OpenVolume): string {
  if (!volume) return columns([point, '-', '', '', 'open by a command'], WIDTHS);
  const { volume: name, found, size, label, closed } = volume;
  const note = closed === null ? (label ?? '') : `closed: ${closed}`;
  return columns([point, name, found, size === null ? '' : formatSize(size), note], WIDTHS);
}
