import { moved, movedTo } from '../state/lists.ts';
import {
  type Event,
  isTooSmall,
  listRows,
  type Model,
  type Next,
  type ScreenName,
  SCREENS,
  still,
  withDialog,
  withHint,
} from '../state/model.ts';
import type { Key, KeyName } from '../terminal/keys.ts';
import { nameOf, pressed } from '../widgets/page.ts';
import { dialogKey } from './dialogs.ts';
import { PAGES } from './pages.ts';
import { refreshed } from './queries.ts';
import { answered, failed, reported } from './responses.ts';

/** Returns the next model after an event, and the effects to carry out. Pure. */
export function update(model: Model, event: Event): Next {
  // The compiler does not see that a kind belongs to its own event.
  const handler = HANDLERS[event.kind] as (model: Model, event: Event) => Next;
  return ended(handler(model, event));
}

/** Leaves once all tasks have ended: a task may return a recovery key, which is shown only once. */
function ended([model, effects]: Next): Next {
  const { isEnding, tasks, dialog } = model;
  if (!isEnding || tasks.length > 0 || dialog?.kind === 'recovery-key') return [model, effects];
  return [model, [...effects, { kind: 'leave' }]];
}

const HANDLERS: {
  readonly [K in Event['kind']]: (
    model: Model,
    event: Extract<Event, { readonly kind: K }>,
  ) => Next;
} = {
  key: (model, { key }) => withLooks(keyed({ ...model, hint: '' }, key)),
  resize: (model, { size }) => refreshed(step({ ...model, size }, 0)),
  tick: (model, { nowMs, time }) => refreshed({ ...model, nowMs, time }),
  report: reported,
  answer: answered,
  failed,
};

/** Adds the queries for everything that is shown now. */
function withLooks([model, effects]: Next): Next {
  const [next, more] = refreshed(model);
  return [next, [...effects, ...more]];
}

function keyed(model: Model, key: Key): Next {
  if (key.kind === 'named' && key.name === 'redraw') return [model, [{ kind: 'redraw' }]];
  // Keys whose effect could not be seen do nothing, but the user can always leave.
  if (isTooSmall(model.size)) {
    // Leaving loses a recovery key that was not written down: only the key that `tooSmall` names does that.
    const isAtStake = model.dialog?.kind === 'recovery-key';
    const isLeaving = key.kind === 'text' && key.text === model.leaving.key && !isAtStake;
    const leaves = isLeaving || (key.kind === 'named' && key.name === 'interrupt');
    return [model, leaves ? [{ kind: 'leave' }] : []];
  }
  if (model.dialog) return dialogKey(model, model.dialog, key);
  return key.kind === 'text' ? textKey(model, nameOf(key)) : NAMED[key.name](model);
}

const NAMED: Readonly<Record<KeyName, (model: Model) => Next>> = {
  interrupt(model) {
    const { key, word } = model.leaving;
    return withHint(model, `Ctrl-C does nothing here. Press ${key} to ${word}.`);
  },
  tab: (model) => show(model, neighbor(model.screen, 1)),
  right: (model) => show(model, neighbor(model.screen, 1)),
  left: (model) => show(model, neighbor(model.screen, -1)),
  up: (model) => [step(model, -1), []],
  down: (model) => [step(model, 1), []],
  'page-up': (model) => [step(model, 1 - listRows(model)), []],
  'page-down': (model) => [step(model, listRows(model) - 1), []],
  home: (model) => [movedTo(model, PAGES[model.screen].list, 0), []],
  end: (model) => [movedTo(model, PAGES[model.screen].list, Number.MAX_SAFE_INTEGER), []],
  escape: (model) => pageKey(model, 'escape'),
  enter: (model) => pageKey(model, 'enter'),
  backspace: (model) => pageKey(model, 'backspace'),
  redraw: still,
};

function step(model: Model, by: number): Model {
  return moved(model, PAGES[model.screen].list, by);
}

function textKey(model: Model, text: string): Next {
  const screen = SCREENS[Number(text) - 1];
  if (screen) return show(model, screen);
  if (text !== model.leaving.key) return pageKey(model, text);
  if (model.tasks.length === 0) return [model, [{ kind: 'leave' }]];
  return withDialog(model, { kind: 'leave' });
}

function pageKey(model: Model, name: string): Next {
  if (model.service.kind !== 'up') return still(model);
  return pressed(PAGES[model.screen].keys, name, model) ?? still(model);
}

function show(model: Model, screen: ScreenName): Next {
  return [{ ...model, screen }, []];
}

function neighbor(screen: ScreenName, by: number): ScreenName {
  const at = SCREENS.indexOf(screen) + by + SCREENS.length;
  return SCREENS[at % SCREENS.length]!;
}
