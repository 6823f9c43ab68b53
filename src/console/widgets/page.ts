import type { Dialog } from '../state/dialog.ts';
import type { PageList } from '../state/lists.ts';
import { type Model, type Next, type Query, withDialog, withHint } from '../state/model.ts';
import type { Work } from '../state/service.ts';
import { startTask } from '../state/tasks.ts';
import type { Key } from '../terminal/keys.ts';
import type { Line } from '../terminal/screen.ts';

/* What a page, and a dialog, is made of. What stands at the bottom is derived from the keys that it answers to. */

/** One of the screens. */
export interface Page {
  /** As it stands among the others. */
  readonly title: string;
  /** Its own, beside those that all pages have. They are pressed while the service is there. */
  readonly keys: readonly PageKey[];
  /** The queries of a page while it is shown. */
  readonly queries: readonly Query[];
  readonly list: PageList;
  readonly body: (model: Model) => readonly Line[];
}

/** What is shown in the place of a page, until it is left. */
export interface DialogKind<D extends Dialog> {
  readonly keys: (it: D) => readonly PageKey[];
  readonly queries?: readonly Query[];
  readonly body: (it: D, model: Model) => readonly Line[];
  /** Any other key, such as a letter of what is typed. */
  readonly typed?: (it: D, model: Model, key: Key) => Next;
}

export interface PageKey {
  /** Characters, or names of keys (`enter`, `space`): each does the same. */
  readonly names: readonly string[];
  /** What it does, in a word or two. */
  readonly label: string;
  /** Why it does nothing now: said when it is pressed, and it is not shown. Empty: nothing is said. */
  readonly unless: (model: Model) => string | undefined;
  readonly press: (model: Model, name: string) => Outcome;
}

/** The result of a key: why it does nothing, the new page, a request to the service, or the next model. */
export type Outcome = string | Dialog | Work | Next;

export function key(
  names: string | readonly string[],
  label: string,
  press: PageKey['press'],
  unless: PageKey['unless'] = () => undefined,
): PageKey {
  return { names: [names].flat(), label, press, unless };
}

/** Keys that do something to what is chosen. `none` is said where nothing is. */
export function keysFor<T>(chosen: (model: Model) => T | undefined, none = '') {
  return (
    names: string | readonly string[],
    label: string,
    press: (it: T, model: Model) => Outcome,
    unless?: PageKey['unless'],
  ): PageKey =>
    key(
      names,
      label,
      (model) => {
        const it = chosen(model);
        return it === undefined ? none : press(it, model);
      },
      unless,
    );
}

/** What the key of that name does; undefined: it is none of these. */
export function pressed(keys: readonly PageKey[], name: string, model: Model): Next | undefined {
  const it = keys.find(({ names }) => names.includes(name));
  if (!it) return undefined;
  return become(model, it.unless(model) ?? it.press(model, name));
}

function become(model: Model, outcome: Outcome): Next {
  if (typeof outcome === 'string') return withHint(model, outcome);
  if ('kind' in outcome) return withDialog(model, outcome);
  return 'call' in outcome ? startTask(model, outcome) : outcome;
}

/** A character, or the name of a key. */
export function nameOf(key: Key): string {
  if (key.kind === 'named') return key.name;
  return key.text === ' ' ? 'space' : key.text;
}

const SHOWN: Readonly<Record<string, string>> = {
  enter: 'Enter',
  escape: 'Esc',
  space: 'Space',
  backspace: 'Backspace',
  tab: 'Tab',
  up: 'Up',
  down: 'Down',
  left: 'Left',
  right: 'Right',
  'page-up': 'PgUp',
  'page-down': 'PgDn',
  home: 'Home',
  end: 'End',
};

/** `Enter show  n new`: those that do something now. */
export function keysText(keys: readonly PageKey[], model: Model): string {
  return keys
    .filter(({ unless }) => unless(model) === undefined)
    .map(({ names, label }) => `${names.map((it) => SHOWN[it] ?? it).join('/')} ${label}`)
    .join('  ');
}
