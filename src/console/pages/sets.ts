import type { FormDialog } from '../state/dialog.ts';
import { chosenOf, idsOf } from '../state/lists.ts';
import { type Model, withDialog } from '../state/model.ts';
import { whole } from '../state/queries.ts';
import type { Call } from '../state/service.ts';
import { columns, type Line } from '../terminal/screen.ts';
import { utc } from '../terminal/times.ts';
import { formDialog } from '../widgets/form.ts';
import { damagedLines, damagedNote, listBody } from '../widgets/list-body.ts';
import { key, keysFor, type Page } from '../widgets/page.ts';
import { askNewSecret } from '../widgets/typed.ts';
import { jobForm } from './jobs.ts';
import { scheduleForm } from './schedules.ts';

export const SETS = whole('sets', {
  call: { name: 'set/list', request: {} },
  value: ({ sets }) => sets,
  also: ({ damaged }) => ({ damagedSets: damaged }),
  changedBy: ['set', 'store'],
});

const WIDTHS = [32, 16];
const onSet = keysFor(({ sets, chosen }) => chosenOf(sets, chosen.sets));

export const setsPage: Page = {
  title: 'Sets',
  keys: [
    key('n', 'new', (model) => withDialog(model, setForm())),
    onSet('b', 'back up', (model, { set }) => withDialog(model, jobForm({ set }))),
    onSet('s', 'schedule', (model, { set }) => withDialog(model, scheduleForm({ set }))),
  ],
  queries: [SETS],
  list: { kind: 'rows', ids: ({ sets }) => idsOf(sets, (it) => it.set) },
  body: setsBody,
};

function setsBody(model: Model): readonly Line[] {
  const list = listBody(model, {
    known: model.sets,
    heading: columns(['SET', 'CREATED (UTC)', 'ENCRYPTED'], WIDTHS),
    note: damagedNote(model.damagedSets),
    none: 'No backup sets: see "holdfast set create".',
    text({ set, created, encrypted, problem }) {
      const state = problem === null ? (encrypted ? 'yes' : 'no') : 'REFUSED: see "set list"';
      return columns([set, utc(created), state], WIDTHS);
    },
  });
  return [...list, ...damagedLines(model.damagedSets, model)];
}

const PASSPHRASE_MIN = 8;

/** How a backup set is made. */
export function setForm(): FormDialog {
  return formDialog({
    title: 'A backup set',
    does: 'make it',
    fields: [
      { name: 'name', label: 'Name', note: 'what shares a key and is deduplicated together' },
      {
        name: 'encrypted',
        label: 'Encrypted',
        choices: ['yes', 'no'],
        note: 'then nothing can be read without passphrase or recovery key',
      },
    ],
    values: { name: 'nightly', encrypted: 'yes' },
    submit({ name = '', encrypted: answer }) {
      const set = name.trim();
      const encrypted = answer === 'yes';
      if (set === '') return 'What is it called?';
      const call: Call = { name: 'set/create', request: { set, encrypted } };
      const title = `backup set ${set}`;
      if (!encrypted) return { title, call };
      const question = `The passphrase of "${set}", without which nothing in it can be read:`;
      return { dialog: askNewSecret({ title, question, min: PASSPHRASE_MIN, call }) };
    },
  });
}
