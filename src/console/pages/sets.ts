import { briefRetention } from '../../client/retention-text.ts';
import type { SetRules } from '../../operations/base/retention.ts';
import type { FormDialog, SecretDialog } from '../state/dialog.ts';
import { chosenOf, idsOf } from '../state/lists.ts';
import type { Model } from '../state/model.ts';
import { whole } from '../state/queries.ts';
import { columns, type Line } from '../terminal/screen.ts';
import { utc } from '../terminal/times.ts';
import { damagedLines, damagedNote, listBody } from '../widgets/list-body.ts';
import { operationForm } from '../widgets/operation-form.ts';
import { key, keysFor, type Page } from '../widgets/page.ts';
import { askNewSecret } from '../widgets/typed.ts';
import { jobForm } from './jobs.ts';
import { scheduleForm } from './schedules.ts';

export const SETS = whole('sets', 'set/list', {
  value: ({ sets }) => sets,
  also: ({ damaged }) => ({ damagedSets: damaged }),
});

const WIDTHS = [20, 16, 9, 7];
const onSet = keysFor(({ sets, chosen }) => chosenOf(sets, chosen.sets));

export const setsPage: Page = {
  title: 'Sets',
  keys: [
    key('n', 'new', setForm),
    onSet('b', 'back up', ({ set }) => jobForm({ set })),
    onSet('s', 'schedule', ({ set }) => scheduleForm({ set })),
    onSet('p', 'passkey', ({ set }) => passkeyDialog(set)),
  ],
  queries: [SETS],
  list: { kind: 'rows', ids: ({ sets }) => idsOf(sets, (it) => it.set) },
  body: setsBody,
};

function setsBody(model: Model): readonly Line[] {
  const list = listBody(model, {
    known: model.sets,
    heading: columns(['SET', 'CREATED (UTC)', 'ENCRYPTED', 'PASSKEY', 'KEEPS'], WIDTHS),
    note: damagedNote(model.damagedSets),
    none: 'No backup sets: see "holdfast set create".',
    text({ set, created, encrypted, passkey, problem, ...rules }) {
      const state =
        problem === null
          ? [encrypted ? 'yes' : 'no', passkey ? 'yes' : 'no', keepsText(rules)]
          : ['REFUSED: see "set list"'];
      return columns([set, utc(created), ...state], WIDTHS);
    },
  });
  return [...list, ...damagedLines(model.damagedSets, model)];
}

function keepsText({ retention, retentionProblem }: SetRules): string {
  if (retentionProblem !== null) return 'NOT APPLIED: see "set show"';
  return retention === null ? 'all' : briefRetention(retention);
}

function passkeyDialog(set: string): SecretDialog {
  return askNewSecret({
    title: `passkey of ${set}`,
    question: `The new passkey of "${set}". All recoveries from it need the passkey from then on:`,
    min: PASSPHRASE_MIN,
    call: { name: 'set/passkey', request: { set } },
  });
}

const PASSPHRASE_MIN = 8;

/** The form for a new backup set. */
export function setForm(): FormDialog {
  return operationForm('set/create', {
    title: 'A backup set',
    does: 'create it',
    asks: ['set', 'encrypted'],
    values: { set: 'nightly', encrypted: 'yes' },
    task: ({ set }) => `backup set ${set}`,
    before: (request) =>
      request.encrypted
        ? askNewSecret({
            title: `backup set ${request.set}`,
            question: `The passphrase of "${request.set}", without which nothing in it can be read:`,
            min: PASSPHRASE_MIN,
            call: { name: 'set/create', request },
          })
        : undefined,
  });
}
