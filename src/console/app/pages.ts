import { type Model, type ScreenName, SCREENS } from '../state/model.ts';
import { alarmsPage } from '../pages/alarms.ts';
import { browsePage } from '../pages/browse.ts';
import { disksPage } from '../pages/disks.ts';
import { exportsPage } from '../pages/exports.ts';
import { filesPage } from '../pages/files.ts';
import { hypervisorsPage } from '../pages/hypervisors.ts';
import { hostPage } from '../pages/host.ts';
import { jobsPage } from '../pages/jobs.ts';
import { machinesPage } from '../pages/machines.ts';
import { logPage } from '../pages/log.ts';
import { networkPage } from '../pages/network.ts';
import { pointsPage } from '../pages/points.ts';
import { schedulesPage } from '../pages/schedules.ts';
import { sessionsPage } from '../pages/sessions.ts';
import { setsPage } from '../pages/sets.ts';
import { setUpPage } from '../pages/set-up.ts';
import { sshPage } from '../pages/ssh.ts';
import { statusPage } from '../pages/status.ts';
import type { Page } from '../widgets/page.ts';

/** Add a page here, and its name to SCREENS. */
export const PAGES: Readonly<Record<ScreenName, Page>> = {
  status: statusPage,
  points: pointsPage,
  sessions: sessionsPage,
  sets: setsPage,
  jobs: jobsPage,
  schedules: schedulesPage,
  exports: exportsPage,
  log: logPage,
  files: filesPage,
  browse: browsePage,
  hypervisors: hypervisorsPage,
  machines: machinesPage,
  alarms: alarmsPage,
  network: networkPage,
  machine: hostPage,
  disks: disksPage,
  ssh: sshPage,
  setUp: setUpPage,
};

/**
 * A selection follows its row through the list, and is empty once that row is gone: keys never act on a row that the
 * user has not seen selected. `after` is `before` with news from the service.
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
