import { textRows, textWidth } from './dialogs.ts';
import { type Dialog, type Model, RUN_FIELDS, type RunForm } from './model.ts';
import { fitted, type Line, line, wrapped } from './screen.ts';

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
  run: runBody,
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

export const DIALOG_HELP: Readonly<Record<Dialog['kind'], string>> = {
  run: 'Up/Down field  Space change  Enter run it  Esc back',
  filter: 'Enter search  Esc back',
  confirm: 'Enter go on  Esc back',
  passphrase: 'Enter go on  Esc back',
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

const FIELDS: Readonly<
  Record<(typeof RUN_FIELDS)[number], { readonly label: string; readonly note: string }>
> = {
  listen: {
    label: 'NBD address',
    note: 'unix:PATH or tcp:HOST:PORT; empty: a socket of its own',
  },
  nfs: { label: 'NFS datastore', note: 'its disks as files too, for hosts that mount NFS' },
  allow: {
    label: 'NFS networks',
    note: 'who may mount it, such as 10.0.0.0/24; empty: this host only',
  },
  whenFull: {
    label: 'When full',
    note: 'pause: the guest waits for space; refuse: its writes fail',
  },
};

function runBody(form: RunForm, model: Model): Line[] {
  const width = textWidth(model);
  const values: Readonly<Record<keyof typeof FIELDS, string>> = {
    listen: form.listen,
    nfs: form.nfs ? 'yes' : 'no',
    allow: form.allow,
    whenFull: form.whenFull,
  };
  const lines = RUN_FIELDS.flatMap((name, at): Line[] => {
    const isHere = at === form.field;
    const isTyped = name === 'listen' || name === 'allow';
    const value = `${values[name].slice(-(width - 24))}${isHere && isTyped ? '_' : ''}`;
    const { label, note } = FIELDS[name];
    const shown = `${isHere ? '>' : ' '} ${fitted(label, 14)}  [ ${value} ]`;
    return [
      isHere ? line(` ${fitted(shown, width)}`, 'bar') : line(` ${shown}`),
      line(`                   ${note}`),
      [],
    ];
  });
  return [[], line(` Run ${form.point}`, 'strong'), [], ...lines];
}
