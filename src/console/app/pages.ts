import type { Model, Next, ScreenName } from '../state/model.ts';
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
import type { Page } from './page.ts';

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
  alarms: alarmsPage,
  ...HOST_PAGES,
};
