import type { ConfirmDialog, Dialog, PassphraseDialog, SecretDialog } from '../state/dialog.ts';
import { type Model, type Next, withDialog } from '../state/model.ts';
import type { Call, Work } from '../state/service.ts';
import type { Key } from '../terminal/keys.ts';
import { type Line, line, wrapped } from '../terminal/screen.ts';
import { type DialogKind, key, type PageKey } from './page.ts';

/* Questions answered by typing: a word that confirms, a passphrase, a new secret. */

const TYPED_MAX = 4096;

export function edited(text: string, key: Key, max = TYPED_MAX): string {
  if (key.kind === 'text') return text.length < max ? text + key.text : text;
  return key.name === 'backspace' ? Array.from(text).slice(0, -1).join('') : text;
}

/** In a dialog, Ctrl-C is the same as Escape. */
export function escape(label: string, press: PageKey['press'] = closed): PageKey {
  return key('escape', label, press);
}

export function closed(model: Model): Next {
  return withDialog(model, undefined);
}

/** Handles every key that has no effect of its own in a dialog: it is typed. */
export function typing(max?: number) {
  return (it: Extract<Dialog, { typed: string }>, model: Model, key: Key): Next =>
    withDialog(model, { ...it, typed: edited(it.typed, key, max) });
}

export function textWidth({ size }: Model): number {
  return size.columns - 3;
}

export function paragraph(text: string, model: Model): Line[] {
  return wrapped(text, textWidth(model)).map((it) => line(` ${it}`));
}

/** If a text is long, its end is shown. */
export function input(typed: string, model: Model): Line[] {
  const shown = typed.slice(-(textWidth(model) - 4));
  return [[], [...line('  > '), ...line(`${shown}_`, 'strong')]];
}

/** Asks the user to type a word before something that cannot be undone. */
export function confirmation(
  of: Pick<ConfirmDialog, 'title' | 'question' | 'word' | 'call' | 'wanted'>,
): ConfirmDialog {
  return { kind: 'confirm', typed: '', ...of };
}

export const confirmKind: DialogKind<ConfirmDialog> = {
  keys: ({ typed, word, title, call, wanted }) => [
    key('enter', 'continue', () =>
      typed === word ? { title, call, wanted } : `Type ${word}, or press Esc.`,
    ),
    escape('back'),
  ],
  typed: typing(),
  body: ({ title, question, word, typed }, model) => [
    [],
    line(` ${title}`, 'bad'),
    [],
    ...paragraph(question, model),
    [],
    ...paragraph(`To continue, type ${word} and press Enter:`, model),
    ...input(typed, model),
  ],
};

function secretOf(typed: string) {
  return { kind: 'passphrase', base64: Buffer.from(typed, 'utf8').toString('base64') } as const;
}

export const passphraseKind: DialogKind<PassphraseDialog> = {
  keys: ({ what, typed, title, call, given, form }) => [
    key('enter', 'continue', () => {
      if (typed === '') return `Type the ${what}, or press Esc.`;
      const more = what === 'passkey' ? { passkey: typed } : { secret: secretOf(typed) };
      return { title, call, ...given, ...more, ...(form && { form }) };
    }),
    escape('back'),
  ],
  typed: typing(),
  body: ({ title, set, what, typed }, model) => [
    [],
    line(` ${title}`, 'strong'),
    [],
    ...paragraph(
      what === 'passkey'
        ? `The set "${set}" has a passkey, which a recovery needs beside its key. Passkey:`
        : `The set "${set}" is encrypted, and the service has no key. Passphrase:`,
      model,
    ),
    ...input('*'.repeat(typed.length), model),
  ],
};

/** A new password or passphrase: typed twice, and never shown. */
export function askNewSecret(of: {
  readonly title: string;
  readonly question: string;
  readonly min: number;
  readonly call: Call;
}): SecretDialog {
  return { kind: 'secret', ...of, typed: '', first: undefined, problem: '' };
}

export const secretKind: DialogKind<SecretDialog> = {
  keys: (it) => [key('enter', 'continue', () => secretEntered(it)), escape('back')],
  typed: (it, model, key) =>
    withDialog(model, { ...it, typed: edited(it.typed, key), problem: '' }),
  body: ({ title, question, typed, first, problem }, model) => [
    [],
    line(` ${title}`, 'strong'),
    [],
    ...paragraph(first === undefined ? question : 'Type it again:', model),
    ...(problem === '' ? [] : [line(` ${problem}`, 'bad')]),
    ...input('*'.repeat(typed.length), model),
  ],
};

function secretEntered(it: SecretDialog): SecretDialog | Work {
  const { typed, first, min, title, call } = it;
  if (first === undefined) {
    const isShort = Array.from(typed).length < min;
    const problem = isShort ? `It needs at least ${min} characters.` : '';
    return { ...it, typed: '', problem, first: isShort ? undefined : typed };
  }
  if (typed !== first) {
    const problem = 'The two are not the same. Type it again:';
    return { ...it, typed: '', first: undefined, problem };
  }
  return { title, call, secret: secretOf(typed) };
}

export const leaveKind: DialogKind<Extract<Dialog, { kind: 'leave' }>> = {
  keys: () => [key('y', 'leave', (model) => [model, [{ kind: 'leave' }]]), escape('stay')],
  body: (_it, model) => [
    [],
    ...paragraph('A task that was started here is still under way.', model),
    ...paragraph('It may be abandoned when you leave. Press y to leave, Esc to stay.', model),
  ],
};
