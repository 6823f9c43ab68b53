import { textRows, textWidth } from './dialogs.ts';
import { fieldsOf } from '../widgets/form-keys.ts';
import type { Dialog, FormDialog, RecoveryKeyDialog } from '../state/dialog-model.ts';
import type { Model } from '../state/model.ts';
import { jobDialogBody } from '../pages/view-jobs.ts';
import { sessionDialogBody } from '../pages/view-session.ts';
import { fitted, type Line, line, wrapped } from '../terminal/screen.ts';

export function dialogBody(model: Model, dialog: Dialog): readonly Line[] {
  // The compiler does not see that a kind goes with its own dialog.
  const body = BODIES[dialog.kind] as (it: Dialog, model: Model) => readonly Line[];
  return body(dialog, model);
}

const BODIES: {
  readonly [K in Dialog['kind']]: (
    it: Extract<Dialog, { readonly kind: K }>,
    model: Model,
  ) => readonly Line[];
} = {
  form: formBody,
  job: jobDialogBody,
  session: sessionDialogBody,
  filter: ({ typed }, model) => [
    [],
    ...paragraph('Recovery points with this in their ID (machine, date):', model),
    ...input(typed, model),
  ],
  confirm: ({ title, question, word, typed }, model) => [
    ...[[], line(` ${title}`, 'bad'), []],
    ...paragraph(question, model),
    [],
    ...paragraph(`To go on, type ${word} and press Enter:`, model),
    ...input(typed, model),
  ],
  passphrase: ({ title, set, typed }, model) => [
    ...[[], line(` ${title}`, 'strong'), []],
    ...paragraph(`The set "${set}" is encrypted, and the service has no key. Passphrase:`, model),
    ...input('*'.repeat(typed.length), model),
  ],
  secret: ({ title, question, typed, first, problem }, model) => [
    ...[[], line(` ${title}`, 'strong'), []],
    ...paragraph(first === undefined ? question : 'Once more:', model),
    ...(problem === '' ? [] : [line(` ${problem}`, 'bad')]),
    ...input('*'.repeat(typed.length), model),
  ],
  'recovery-key': recoveryKeyBody,
  leave: (_it, model) => [
    [],
    ...paragraph('Something that was begun here is still under way.', model),
    ...paragraph('It may be given up when you leave. Press y to leave, Esc to stay.', model),
  ],
  text({ title, text, top, isFailure }, model) {
    const lines = wrapped(text, textWidth(model));
    const shown = lines.slice(top, top + textRows(model));
    const more = lines.length > top + shown.length ? '  (more below)' : '';
    return [
      ...[line(` ${title}${more}`, isFailure ? 'bad' : 'strong'), []],
      ...shown.map((it) => line(` ${it}`)),
    ];
  },
};

function recoveryKeyBody(
  { set, recoveryKey, typed, isHidden }: RecoveryKeyDialog,
  model: Model,
): readonly Line[] {
  const title = line(` The recovery key of "${set}"`, 'strong');
  if (isHidden) {
    const question =
      'Type its last group from what you have written down (Esc shows the key again):';
    return [[], title, [], ...paragraph(question, model), ...input(typed, model)];
  }
  const why =
    'It is shown this once. Write it down, and keep it where the backups are not: without passphrase and recovery ' +
    'key nobody can ever read them.';
  return [
    ...[[], title, []],
    ...wrapped(recoveryKey, textWidth(model) - 4).map((it) => line(`     ${it}`, 'strong')),
    ...[[], ...paragraph(why, model), [], line(' Enter, once it is written down.')],
  ];
}

const PROBLEM_ROWS = 4;

export function dialogHelp(dialog: Dialog): string {
  if (dialog.kind !== 'form') return HELP[dialog.kind];
  return `Up/Down field  Left/Right change  Enter ${dialog.form.does}  Esc back`;
}

const HELP: Readonly<Record<Exclude<Dialog['kind'], 'form'>, string>> = {
  job: 'Up/Down PgUp/PgDn log  u give its key  c cancel it  Enter back',
  session: 'Up/Down PgUp/PgDn log  Enter back',
  filter: 'Enter search  Esc back',
  confirm: 'Enter go on  Esc back',
  passphrase: 'Enter go on  Esc back',
  secret: 'Enter go on  Esc back',
  'recovery-key': 'Enter go on',
  leave: 'y leave  Esc stay',
  text: 'Up/Down PgUp/PgDn  Enter back',
};

function paragraph(text: string, model: Model): Line[] {
  return wrapped(text, textWidth(model)).map((it) => line(` ${it}`));
}

/** The end is what is seen of a long one. */
function input(typed: string, model: Model): Line[] {
  const shown = typed.slice(-(textWidth(model) - 4));
  return [[], [...line('  > '), ...line(`${shown}_`, 'strong')]];
}

function formBody(it: FormDialog, model: Model): Line[] {
  const width = textWidth(model);
  const fields = fieldsOf(it);
  const lines = fields.map(({ name, label, choices }, at): Line => {
    const isHere = at === it.field;
    const typed = it.values[name]!.slice(-(width - 24));
    const value = choices ? (isHere ? `< ${typed} >` : typed) : isHere ? `${typed}_` : typed;
    const shown = `${isHere ? '>' : ' '} ${fitted(label, 14)}  [ ${value} ]`;
    return isHere ? line(` ${fitted(shown, width)}`, 'bar') : line(` ${shown}`);
  });
  const problem = wrapped(it.problem, width).slice(0, PROBLEM_ROWS);
  return [
    line(` ${it.title}`, 'strong'),
    ...lines,
    line(` ${fields[it.field]!.note}`),
    ...(it.problem === '' ? [] : problem.map((text) => line(` ${text}`, 'bad'))),
  ];
}
