import type { Dialog, StartedWork } from '../state/dialog.ts';
import type { PageList } from '../state/lists.ts';
import { type Model, type Next, type Query, withDialog, withHint } from '../state/model.ts';
import { startTask } from '../state/tasks.ts';
import type { Key } from '../terminal/keys.ts';
import type { Line } from '../terminal/screen.ts';

/* What pages and dialogs consist of. The bottom line is derived from their keys. */

/** One of the screens. */
export interface Page {
  /** Its title in the list of screens. */
  readonly title: string;
  /** Its own keys, in addition to those of all pages. They work while the service answers. */
  readonly keys: readonly PageKey[];
  /** The queries of a page while it is shown. */
  readonly queries: readonly Query[];
  readonly list: PageList;
  readonly body: (model: Model) => readonly Line[];
}

/** A dialog, shown instead of a page until the user leaves it. */
export interface DialogKind<D extends Dialog> {
  readonly keys: (it: D) => readonly PageKey[];
  readonly queries?: readonly Query[];
  readonly body: (it: D, model: Model) => readonly Line[];
  /** Takes every other key, such as a typed letter. */
  readonly typed?: (it: D, model: Model, key: Key) => Next;
}

export interface PageKey {
  /** Characters, or names of keys (`enter`, `space`), all with the same effect. */
  readonly names: readonly string[];
  /** The effect, in a word or two. */
  readonly label: string;
  /**
   * The reason why the key does nothing now: shown when it is pressed; the key itself is hidden. Empty: no reason is
   * shown.
   */
  readonly unless: (model: Model) => string | undefined;
  readonly press: (model: Model, name: string) => Outcome;
}

/**
 * The outcome of a key: the reason why it does nothing, a dialog, a request to the service (with the form to show again
 * if that fails), or the next model.
 */
export type Outcome = string | Dialog | StartedWork | Next;

export function key(
  names: string | readonly string[],
  label: string,
  press: PageKey['press'],
  unless: PageKey['unless'] = () => undefined,
): PageKey {
  return { names: [names].flat(), label, press, unless };
}

/** Keys that act on the chosen row. `none` is the reason shown if nothing is chosen. */
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

/** The outcome of the key with this name; undefined: no key has it. */
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

/** `Enter show n new`: the keys that do something now. */
export function keysText(keys: readonly PageKey[], model: Model): string {
  return keys
    .filter(({ unless }) => unless(model) === undefined)
    .map(({ names, label }) => `${names.map((it) => SHOWN[it] ?? it).join('/')} ${label}`)
    .join('  ');
}
