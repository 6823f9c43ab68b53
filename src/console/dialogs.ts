import { refreshed, startTask } from './asking.ts';
import type { Key, KeyName } from './keys.ts';
import {
  bodyRows,
  type Call,
  type Dialog,
  type Model,
  type Next,
  noPoints,
  RUN_FIELDS,
  type RunForm,
} from './model.ts';
import { wrapped } from './screen.ts';

/* What keys do while something is asked. Escape, and Ctrl-C, always mean: leave it. */

const TYPED_MAX = 512;
/** What the protocol allows of an ID. */
const FILTER_MAX = 128;

export function dialogKey(model: Model, dialog: Dialog, key: Key): Next {
  if (key.kind === 'named' && (key.name === 'escape' || key.name === 'interrupt')) {
    return [{ ...model, dialog: undefined }, []];
  }
  const pressed = isEnter(key) ? ENTERED : TYPED;
  // The compiler does not see that a kind goes with its own dialog.
  const handler = pressed[dialog.kind] as (it: Dialog, model: Model, key: Key) => Next;
  return handler(dialog, model, key);
}

type ByKind = {
  readonly [K in Dialog['kind']]: (
    it: Extract<Dialog, { readonly kind: K }>,
    model: Model,
    key: Key,
  ) => Next;
};

const ENTERED: ByKind = {
  run: started,
  filter: ({ typed }, model) => refreshed({ ...model, dialog: undefined, points: noPoints(typed) }),
  confirm({ typed, word, title, call }, model) {
    if (typed === word) return startTask(model, title, { call, secret: undefined });
    return [{ ...model, hint: `Type ${word}, or press Esc.` }, []];
  },
  passphrase({ typed, title, call }, model) {
    if (typed === '') return [{ ...model, hint: 'Type the passphrase, or press Esc.' }, []];
    const base64 = Buffer.from(typed, 'utf8').toString('base64');
    return startTask(model, title, { call, secret: { kind: 'passphrase', base64 } });
  },
  leave: (_it, model) => [model, []],
  text: (_it, model) => [{ ...model, dialog: undefined }, []],
};

const TYPED: ByKind = {
  run: (it, model, key) => [{ ...model, dialog: runKey(it, key) }, []],
  filter: (it, model, key) => withTyped(model, it, edited(it.typed, key, FILTER_MAX)),
  confirm: (it, model, key) => withTyped(model, it, edited(it.typed, key)),
  passphrase: (it, model, key) => withTyped(model, it, edited(it.typed, key)),
  leave: (_it, model, key) => [
    model,
    key.kind === 'text' && key.text === 'y' ? [{ kind: 'leave' }] : [],
  ],
  text: (it, model, key) => [{ ...model, dialog: { ...it, top: scrolled(model, it, key) } }, []],
};

function withTyped(model: Model, it: Extract<Dialog, { typed: string }>, typed: string): Next {
  return [{ ...model, dialog: { ...it, typed } }, []];
}

function isEnter(key: Key): boolean {
  return key.kind === 'named' && key.name === 'enter';
}

function edited(text: string, key: Key, max = TYPED_MAX): string {
  if (key.kind === 'text') return text.length < max ? text + key.text : text;
  return key.name === 'backspace' ? Array.from(text).slice(0, -1).join('') : text;
}

function runKey(form: RunForm, key: Key): RunForm {
  const { length } = RUN_FIELDS;
  const name = RUN_FIELDS[form.field]!;
  if (key.kind === 'named' && (key.name === 'down' || key.name === 'tab')) {
    return { ...form, field: (form.field + 1) % length };
  }
  if (key.kind === 'named' && key.name === 'up') {
    return { ...form, field: (form.field + length - 1) % length };
  }
  if (name === 'listen' || name === 'allow') {
    return { ...form, [name]: edited(form[name], key) };
  }
  if (!isSwitch(key)) return form;
  if (name === 'nfs') return { ...form, nfs: !form.nfs };
  return { ...form, whenFull: form.whenFull === 'pause' ? 'refuse' : 'pause' };
}

function isSwitch(key: Key): boolean {
  if (key.kind === 'text') return key.text === ' ';
  return key.name === 'left' || key.name === 'right';
}

function started({ point, listen, nfs, allow, whenFull }: RunForm, model: Model): Next {
  const networks = allow.split(/[\s,]+/).filter((it) => it !== '');
  if (networks.length > 0 && !nfs) {
    // Else somebody would think that a session is open to others in a way in which it is not.
    return [{ ...model, hint: 'Networks go with NFS: switch it on, or empty the field.' }, []];
  }
  const call: Call = {
    name: 'session/start',
    request: {
      ...{ point, whenFull, tls: undefined },
      listen: listen.trim() === '' ? undefined : listen.trim(),
      nfs: nfs ? nfsRequest(networks) : undefined,
    },
  };
  return startTask(model, `run ${point}`, { call, secret: undefined });
}

function nfsRequest(networks: readonly string[]) {
  return {
    allow: networks.length > 0 ? networks : undefined,
    host: undefined,
    ports: { nfs: undefined, mount: undefined, portmap: undefined },
    squash: 'none',
    ...{ readOnly: false, privilegedPorts: false, points: false },
  } as const;
}

const SCROLLS: Partial<Readonly<Record<KeyName, (rows: number) => number>>> = {
  up: () => -1,
  down: () => 1,
  'page-up': (rows) => 1 - rows,
  'page-down': (rows) => rows - 1,
  home: () => -Infinity,
  end: () => Infinity,
};

function scrolled(model: Model, { text, top }: Extract<Dialog, { kind: 'text' }>, key: Key) {
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
