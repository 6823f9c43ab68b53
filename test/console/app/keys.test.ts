import { equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import { update } from '../../../src/console/app/update.ts';
import { view } from '../../../src/console/app/view.ts';
import { type Model, type ScreenName, SCREENS } from '../../../src/console/state/model.ts';
import { type Key, type KeyName, parseKeys } from '../../../src/console/terminal/keys.ts';
import { driveUp, EXPORT, hypervisor, job, pointAt, session, TIME } from '../../support/console.ts';

// What stands at the bottom of the screen is what can be pressed, and nothing else can.

const known = <T>(value: T) => ({ kind: 'known', value, atMs: 0 }) as const;
const rowsOf = <T>(...rows: T[]) => ({ total: rows.length, first: 0, rows, chosen: 0, top: 0 });
const LISTED = { refused: undefined, atMs: 0 };
const NEVER = { next: null, last: null, adopted: true, paused: null };
const WIRE = { name: 'eth0', kind: 'wired', addresses: [], managedBy: 'x', planned: null } as never;

/** A console that knows of one of each thing, so that every key has something to do. */
function full(screen: ScreenName): Model {
  const volume = { volume: 'vda1', disk: 'vda', kind: 'ext4', found: 'ext4', label: null } as const;
  const network = { refusal: null, interfaces: [WIRE], routes: [], dns: [], domains: [] };
  const waiting = job({ state: 'waiting', needsKeyOf: 'nightly' });
  return {
    ...driveUp().model(),
    screen,
    points: { ...rowsOf(pointAt(0)), ...LISTED, filter: 'web', damaged: [] },
    jobs: { ...rowsOf(waiting), ...LISTED },
    entries: {
      ...rowsOf({ path: 'etc', kind: 'directory', size: 0, modified: TIME, target: null } as never),
      ...LISTED,
    },
    place: { id: 'a', point: 'web-1', volume: 'vda1', disk: 'vda', path: 'etc' },
    sets: known([
      {
        set: 'nightly',
        created: TIME,
        encrypted: true,
        passkey: false,
        lockDays: 0,
        problem: null,
        retention: null,
        retentionProblem: null,
      },
    ]),
    schedules: known([
      { ...{ schedule: 'web', at: 'daily', kind: 'check', request: {}, created: TIME }, ...NEVER },
    ]),
    hypervisors: known({ hypervisors: [hypervisor()], damaged: [] }),
    hosted: {
      ...{ hypervisor: 'kvm1', marked: [], atMs: 0 },
      answer: {
        hypervisor: 'kvm1',
        product: 'x',
        machines: [{ machine: 'web', power: 'on', last: null }],
      } as never,
    },
    exports: known([EXPORT]),
    sessions: known([session()]),
    standing: known([
      { alarm: 'a', level: 'warning', message: 'b', raised: TIME, acknowledged: null } as never,
    ]),
    opened: known([
      { id: 'a', point: 'web-1', volumes: [{ ...volume, size: 1, closed: null }] } as never,
    ]),
    network: known({ ...network, pending: null }),
    machine: known({
      hostname: 'box',
      timezone: 'UTC',
      ntp: [],
      keyboard: 'de',
      system: 'Debian',
    } as never),
    lockdown: known({ on: false, since: null, uid: null, persons: 1, approvals: [] }),
    disks: known([{ name: 'sdb', size: 1, holds: [], health: { state: '', detail: '' } } as never]),
    ssh: known({
      ...{ running: true, until: null, shellUntil: null },
      keys: [{ user: 'admin', fingerprint: 'x', type: 'ED25519', comment: '' }],
    }),
  };
}

const NAMES: Readonly<Record<string, KeyName>> = {
  Enter: 'enter',
  Esc: 'escape',
  Backspace: 'backspace',
  Up: 'up',
  Down: 'down',
  Left: 'left',
  Right: 'right',
  Tab: 'tab',
  PgUp: 'page-up',
  PgDn: 'page-down',
  Home: 'home',
  End: 'end',
};
const CHARACTERS = Array.from({ length: 0x5f }, (_, at) => String.fromCharCode(0x20 + at));

function keyOf(shown: string): Key {
  const name = NAMES[shown];
  if (name) return { kind: 'named', name };
  return { kind: 'text', text: shown === 'Space' ? ' ' : shown };
}

function footOf(model: Model): string {
  const pieces = view(model).at(-1)!;
  const foot = pieces
    .map(({ text }) => text)
    .join('')
    .trim();
  ok(!foot.endsWith('~'), foot);
  return foot;
}

/** `Enter` and `r` of `Enter/r recover`. */
function shownIn(model: Model): string[] {
  return footOf(model)
    .split('  ')
    .flatMap((it) => {
      const [names] = it.split(' ');
      return names === '/' ? ['/'] : names!.split('/');
    });
}

/** `model` with all questions under way, so that only what the key itself does is seen. */
function pressedIn(model: Model, key: Key) {
  const [asking] = update(model, { kind: 'resize', size: model.size });
  const [next, effects] = update(asking, { kind: 'key', key });
  const parts = ['screen', 'dialog', 'points', 'place', 'marked', 'hosted', 'tasks'] as const;
  return effects.length > 0 || parts.some((it) => next[it] !== asking[it]);
}

/** What all pages have in common. */
const GENERAL = ['Up', 'Down', 'PgUp', '1-9', 'Tab', 'Left', 'Right', 'Home', 'End', 'PgDn'];

function check(model: Model, name: string): void {
  const shown = shownIn(model).filter((it) => !GENERAL.includes(it));
  for (const it of shown)
    ok(pressedIn(model, keyOf(it)), `${name}: ${it} is shown, and does nothing`);
  const others = [...CHARACTERS, 'Enter', 'Esc', 'Backspace'].filter(
    (it) => !/^[1-9]$/.test(it) && !shown.includes(it === ' ' ? 'Space' : it),
  );
  for (const it of others) ok(!pressedIn(model, keyOf(it)), `${name}: ${it} is not shown`);
}

test('a page shows every key that does something there, and none that does not', async () => {
  for (const leaving of [
    { key: 'q', word: 'leave' },
    { key: 'l', word: 'log in' },
  ] as const) {
    for (const screen of SCREENS) check({ ...full(screen), leaving }, screen);
    const browsing = full('browse');
    const file = {
      path: 'etc/fstab',
      kind: 'file',
      size: 0,
      modified: TIME,
      target: null,
    } as never;
    const entries = { ...browsing.entries, rows: [file] };
    check({ ...browsing, leaving, entries }, 'browse, on a file');
    const model = full('network');
    const pending = { what: 'the change of eth0', secondsLeft: 60 };
    const changed = { ...(model.network as { value: object }).value, pending } as never;
    check({ ...model, leaving, network: known(changed) }, 'network, changed');
  }
});

test('what is shown in the place of a page has its keys at the bottom too', async () => {
  for (const [screen, keys, shown] of [
    ['sessions', '\r', 'Up/Down/PgUp/PgDn/Home/End log  Enter/Esc back'],
    ['sessions', 'd', 'Enter continue  Esc back'],
    ['alarms', '\r', 'Up/Down/PgUp/PgDn/Home/End scroll  Enter/Esc back'],
    ['points', '/', 'Enter search  Esc back'],
    ['points', '\r', 'Up/Down/Tab field  Enter recover  Esc back'],
    ['points', '\r\t', 'Up/Down/Tab field  Left/Right/Space change  Enter recover  Esc back'],
  ] as const) {
    const all = full(screen);
    let model: Model = { ...all, points: { ...all.points, filter: '' } };
    for (const key of parseKeys(keys, true).keys) [model] = update(model, { kind: 'key', key });
    equal(footOf(model), shown);
  }
});

test('each field of each form has a label that fits, and says what it is in at most three rows', async () => {
  let count = 0;
  for (const screen of SCREENS) {
    const model = full(screen);
    for (const shown of shownIn(model)) {
      const [{ dialog }] = update(model, { kind: 'key', key: keyOf(shown) });
      if (dialog?.kind !== 'form') continue;
      for (const { label, note } of dialog.form.fields) {
        count++;
        ok(label.length <= 14, `${dialog.title}: ${label}`);
        ok(note !== '' && note.length <= 3 * 70, `${dialog.title}: ${label}: ${note}`);
      }
    }
  }
  ok(count > 50, `${count} fields`);
});
