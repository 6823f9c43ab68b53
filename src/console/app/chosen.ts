import { type Model, type ScreenName, SCREENS } from '../state/model.ts';
import { PAGES } from './pages.ts';

/**
 * A selection follows its row through the list, and is empty once that row is gone: keys never act on anything but what
 * was seen. `after` is `before` once the service has said something.
 */
export function withChosen(before: Model, after: Model): Model {
  let next = after;
  for (const screen of SCREENS) next = keptOn(screen, before, next);
  return next;
}

function keptOn(screen: ScreenName, before: Model, after: Model): Model {
  const { list } = PAGES[screen];
  if (list.kind !== 'rows') return after;
  const [was, is] = [list.ids(before), list.ids(after)];
  const row = before.chosen[screen] ?? 0;
  const id = was ? was[Math.min(row, was.length - 1)] : before.chosenBefore[screen];
  if (!is) {
    const known = id === undefined ? {} : { [screen]: id };
    return { ...after, chosenBefore: { ...after.chosenBefore, ...known } };
  }
  if (id === undefined) return after;
  const { [screen]: _found, ...chosenBefore } = after.chosenBefore;
  return { ...after, chosen: { ...after.chosen, [screen]: is.indexOf(id) }, chosenBefore };
}
