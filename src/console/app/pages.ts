import type { LookName, Model, Next, PagedName, ScreenName } from '../state/model.ts';
import type { Line } from '../terminal/screen.ts';
import { browseKey, openedKey, openVolumes } from '../pages/files.ts';
import { HOST_PAGES } from './host-pages.ts';
import { alarmsKey } from '../pages/alarms-keys.ts';
import { jobsKey } from '../pages/jobs-keys.ts';
import { pointsKey } from '../pages/points-keys.ts';
import { schedulesKey } from '../pages/schedules-keys.ts';
import { sessionsKey } from '../pages/sessions-keys.ts';
import { setsKey } from '../pages/sets-keys.ts';
import { idsOf } from '../state/lists.ts';
import { jobsBody, schedulesBody } from '../pages/view-jobs.ts';
import { logBody, pointsBody, sessionsBody, setsBody } from '../pages/view-lists.ts';
import { exportsBody } from '../pages/view-exports.ts';
import { browseBody, openedBody } from '../pages/view-files.ts';
import { alarmsBody } from '../pages/view-alarms.ts';
import { statusBody } from '../widgets/view-status.ts';

/** One of the screens. */
export interface Page {
  /** As it stands among the others. */
  readonly title: string;
  /** Its own keys, as they stand at the bottom. */
  readonly help: (model: Model) => string;
  /** What is asked of the service while it is to be seen. */
  readonly looks: readonly LookName[];
  readonly list: PageList;
  readonly body: (model: Model) => readonly Line[];
  /** What a key does that is not one of all screens: `enter`, or a character. The service is there. */
  readonly key: (model: Model, key: string) => Next;
}

/** What Up and Down move through. */
export type PageList =
  | { readonly kind: 'none' }
  /** What its rows are called by, in their order; undefined: they are not known. */
  | { readonly kind: 'rows'; readonly ids: (model: Model) => readonly string[] | undefined }
  | { readonly kind: 'paged'; readonly name: PagedName };

const still = (model: Model): Next => [model, []];

const statusPage: Page = {
  title: 'Status',
  help: () => '',
  looks: ['latest', 'sessions', 'active', 'usage', 'standing', 'throughput'],
  list: { kind: 'none' },
  body: statusBody,
  key: still,
};

const pointsPage: Page = {
  title: 'Points',
  help: () => 'Enter run it  f files  / search  b back up again  ',
  looks: ['points'],
  list: { kind: 'paged', name: 'points' },
  body: pointsBody,
  key: pointsKey,
};

const sessionsPage: Page = {
  title: 'Sessions',
  help: () => 'Enter show  s stop  r resume  k keep (b: job)  f files  d discard  ',
  looks: ['sessions', 'active', 'exports'],
  list: { kind: 'rows', ids: ({ sessions }) => idsOf(sessions, (it) => it.session) },
  body: sessionsBody,
  key: sessionsKey,
};

const setsPage: Page = {
  title: 'Sets',
  help: () => 'n new  b back up  s schedule  ',
  looks: ['sets'],
  list: { kind: 'rows', ids: ({ sets }) => idsOf(sets, (it) => it.set) },
  body: setsBody,
  key: setsKey,
};

const jobsPage: Page = {
  title: 'Jobs',
  help: () => 'Enter show  n new  u give key  c cancel  ',
  looks: ['jobs'],
  list: { kind: 'paged', name: 'jobs' },
  body: jobsBody,
  key: jobsKey,
};

const schedulesPage: Page = {
  title: 'Schedules',
  help: () => 'Enter show  n new  d remove  ',
  looks: ['schedules'],
  list: { kind: 'rows', ids: ({ schedules }) => idsOf(schedules, (it) => it.schedule) },
  body: schedulesBody,
  key: schedulesKey,
};

const exportsPage: Page = {
  title: 'Exports',
  help: () => '',
  looks: ['exports'],
  list: { kind: 'rows', ids: ({ exports }) => idsOf(exports, (it) => it.uri) },
  body: exportsBody,
  key: still,
};

const filesPage: Page = {
  title: 'Files',
  help: () => 'Enter look into  x close  ',
  looks: ['opened'],
  list: {
    kind: 'rows',
    ids: (model) => idsOf(openVolumes(model), (it) => `${it.id} ${it.volume?.volume ?? ''}`),
  },
  body: openedBody,
  key: openedKey,
};

const browsePage: Page = {
  title: 'Browse',
  help: () => 'Enter down  u up  Space mark  c copy  ',
  looks: ['entries'],
  list: { kind: 'paged', name: 'entries' },
  body: browseBody,
  key: browseKey,
};

const alarmsPage: Page = {
  title: 'Alarms',
  help: () => 'Enter show  a acknowledge  ',
  looks: ['standing'],
  list: { kind: 'rows', ids: ({ standing }) => idsOf(standing, (it) => it.alarm) },
  body: alarmsBody,
  key: alarmsKey,
};

const logPage: Page = {
  title: 'Log',
  help: () => '',
  looks: [],
  list: { kind: 'rows', ids: ({ log }) => log.map((_, at) => `${at}`) },
  body: logBody,
  key: still,
};

/** All screens, in their order: keys 1 to 9 go by it. Here one is added. */
export const PAGES = {
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
  alarms: alarmsPage,
  ...HOST_PAGES,
};

export const SCREENS = Object.keys(PAGES) as readonly ScreenName[];
