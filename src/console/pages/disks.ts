import { formatSize } from '../../lib/sizes.ts';
import type { ResultOf } from '../../operations/operations.ts';
import type { FormDialog } from '../state/dialog.ts';
import { chosenOf, idsOf } from '../state/lists.ts';
import type { Model } from '../state/model.ts';
import { whole } from '../state/queries.ts';
import { columns, type Line, line, wrapped } from '../terminal/screen.ts';
import { listBody } from '../widgets/list-body.ts';
import { operationForm } from '../widgets/operation-form.ts';
import { keysFor, type Page } from '../widgets/page.ts';

/* Disks of this machine. One of them may become the disk for backups. */

type Disk = ResultOf<'disk/list'>['disks'][number];

export const DISKS = whole('disks', 'disk/list', {
  // SMART wakes up disks that sleep.
  everyMs: 60_000,
  value: ({ disks }) => disks,
});

const WIDTHS = [10, 9, 16, 9];
const onDisk = keysFor(chosenDisk);

export const disksPage: Page = {
  title: 'Disks',
  keys: [
    onDisk('enter', 'use for backups', (disk) =>
      disk.inUse ? `${disk.name} is in use: it cannot be formatted.` : poolForm(disk),
    ),
  ],
  queries: [DISKS],
  list: { kind: 'rows', ids: ({ disks }) => idsOf(disks, (it) => it.name) },
  body: disksBody,
};

function chosenDisk({ disks, chosen }: Model) {
  return chosenOf(disks, chosen.disks);
}

function disksBody(model: Model): readonly Line[] {
  const list = listBody(model, {
    known: model.disks,
    heading: columns(['DISK', 'SIZE', 'MODEL', 'HEALTH', 'HOLDS'], WIDTHS),
    none: 'This host has no disks that can be written to.',
    text({ name, size, model: kind, health, holds }) {
      const cells = [name, formatSize(size), kind ?? '-', health.state];
      return columns([...cells, holds.join('; ') || 'nothing'], WIDTHS);
    },
  });
  const it = chosenDisk(model);
  if (!it) return list;
  const words = [
    `${it.name}: serial ${it.serial ?? 'unknown'}, ${it.bus ?? 'no bus'}, ${it.spins ? 'spins' : 'solid state'}`,
    `health: ${it.health.detail}`,
    `${it.inUse ? 'in use; ' : ''}holds ${it.holds.join('; ') || 'nothing'}`,
  ];
  const rows = words.flatMap((text) => wrapped(text, model.size.columns - 3));
  return [...list, [], ...rows.map((row) => line(` ${row}`))];
}

function poolForm({ name, serial, holds, model }: Disk): FormDialog {
  const word = serial ?? name;
  const isEmpty = holds.length === 0;
  const contents = isEmpty ? 'empty' : `holds ${holds.join('; ')}`;
  return operationForm('pool/create', {
    title: `${name} (${model ?? 'disk'}, ${contents}) for backups`,
    does: 'format it',
    asks: ['fileSystem', ...(isEmpty ? [] : ['erase'])],
    given: { disk: name },
    fields: { erase: { note: `ALL DATA ON IT IS LOST: type ${word} to continue` } },
    made: (request) =>
      isEmpty || request['erase'] === word ? request : `Type ${word}, or press Esc.`,
    task: () => `pool on ${name}`,
  });
}
