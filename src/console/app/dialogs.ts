import type { Key, KeyName } from '../terminal/keys.ts';
import type {
  Dialog,
  FollowedDialog,
  FormDialog,
  JobDialog,
  TextDialog,
} from '../state/dialog-model.ts';
import { edited, formKey } from '../widgets/form-keys.ts';
import { cancelOf, hasEnded, unlock } from '../pages/jobs-keys.ts';
import { bodyRows, type Model, type Next, noPoints } from '../state/model.ts';
import { recoveryKeyKey } from '../widgets/recovery-key.ts';
import { wrapped } from '../terminal/screen.ts';
import { secretEntered, secretTyped } from '../widgets/secret-dialog.ts';
import { startTask } from '../state/tasks.ts';
import { logRows } from '../widgets/view-log.ts';

/* What keys do while something is asked. Escape, and Ctrl-C, always mean: leave it. */

/** What the protocol allows of an ID. */
const FILTER_MAX = 128;

export function dialogKey(model: Model, dialog: Dialog, key: Key): Next {
  // It is left by confirming it only.
  if (dialog.kind === 'recovery-key') return recoveryKeyKey(dialog, model, key);
  if (key.kind === 'named' && (key.name === 'escape' || key.name === 'interrupt')) {
    return [{ ...model, dialog: undefined }, []];
  }
  const pressed = isEnter(key) ? ENTERED : TYPED;
  // The compiler does not see that a kind goes with its own dialog.
  const handler = pressed[dialog.kind] as (it: Dialog, model: Model, key: Key) => Next;
  return handler(dialog, model, key);
}

type ByKind = {
  readonly [K in Exclude<Dialog['kind'], 'recovery-key'>]: (
    it: Extract<Dialog, { readonly kind: K }>,
    model: Model,
    key: Key,
  ) => Next;
};

const ENTERED: ByKind = {
  form: submitted,
  filter: ({ typed }, model) => [{ ...model, dialog: undefined, points: noPoints(typed) }, []],
  confirm({ typed, word, title, call }, model) {
    if (typed === word) return startTask(model, title, { call });
    return [{ ...model, hint: `Type ${word}, or press Esc.` }, []];
  },
  passphrase({ typed, title, call }, model) {
    if (typed === '') return [{ ...model, hint: 'Type the passphrase, or press Esc.' }, []];
    const base64 = Buffer.from(typed, 'utf8').toString('base64');
    return startTask(model, title, { call, secret: { kind: 'passphrase', base64 } });
  },
  secret: secretEntered,
  leave: (_it, model) => [model, []],
  text: closed,
  job: closed,
  session: closed,
};

function closed(_it: Dialog, model: Model): Next {
  return [{ ...model, dialog: undefined }, []];
}

const TYPED: ByKind = {
  form: (it, model, key) => [{ ...model, dialog: formKey(it, key) }, []],
  job: jobDialogKey,
  session: logKey,
  filter: (it, model, key) => withTyped(model, it, edited(it.typed, key, FILTER_MAX)),
  confirm: (it, model, key) => withTyped(model, it, edited(it.typed, key)),
  passphrase: (it, model, key) => withTyped(model, it, edited(it.typed, key)),
  secret: secretTyped,
  leave: (_it, model, key) => [
    model,
    key.kind === 'text' && key.text === 'y' ? [{ kind: 'leave' }] : [],
  ],
  text: (it, model, key) => [{ ...model, dialog: { ...it, top: scrolled(model, it, key) } }, []],
};

function submitted(it: FormDialog, model: Model): Next {
  const asked = it.form.submit(it.values);
  if (typeof asked === 'string') return [{ ...model, dialog: { ...it, problem: asked } }, []];
  if ('dialog' in asked) return [{ ...model, dialog: asked.dialog }, []];
  return startTask(model, asked.title, { call: asked.call, form: { ...it, problem: '' } });
}

function jobDialogKey(it: JobDialog, model: Model, key: Key): Next {
  const typed = key.kind === 'text' ? key.text : '';
  if (typed !== 'c' && typed !== 'u') return logKey(it, model, key);
  const { shown } = it;
  if (shown.kind !== 'known') return [model, []];
  if (typed === 'u') return unlock(model, shown.value);
  if (hasEnded(shown.value)) return [{ ...model, hint: 'It has ended already.' }, []];
  return [{ ...model, dialog: cancelOf(shown.value) }, []];
}

function logKey(it: FollowedDialog, model: Model, key: Key): Next {
  const { log } = it;
  const by = key.kind === 'named' ? SCROLLS[key.name] : undefined;
  if (!by) return [model, []];
  const rows = logRows(model);
  const most = Math.max(0, log.lines.length - rows);
  const back = Math.max(0, Math.min(log.back - by(rows), most));
  return [{ ...model, dialog: { ...it, log: { ...log, back } } }, []];
}

function withTyped(model: Model, it: Extract<Dialog, { typed: string }>, typed: string): Next {
  return [{ ...model, dialog: { ...it, typed } }, []];
}

function isEnter(key: Key): boolean {
  return key.kind === 'named' && key.name === 'enter';
}

const SCROLLS: Partial<Readonly<Record<KeyName, (rows: number) => number>>> = {
  up: () => -1,
  down: () => 1,
  'page-up': (rows) => 1 - rows,
  'page-down': (rows) => rows - 1,
  home: () => -Infinity,
  end: () => Infinity,
};

function scrolled(model: Model, { text, top }: TextDialog, key: Key) {
  const by = key.kind === 'named' ? SCROLLS[key.name] : undefined;
  if (!by) return top;
  const rows = textRows(model);
  const last = Math.max(0, wrapped(text, textWidth(model)).length - rows);
  return Math.max(0, Math.min(top + by(rows), last));
}

/** Rows of a text under its title. */
export function textRows(model: Model): number {
  return bodyRows(model) - 2;
}

export function textWidth({ size }: Model): number {
  return size.columns - 3;
}
