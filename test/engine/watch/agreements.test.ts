import { equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { acknowledge } from '../../../src/engine/operations/alarms.ts';
import { agreements } from '../../../src/engine/watch/agreements.ts';
import type { Monitor } from '../../../src/engine/watch/monitor.ts';
import type { SessionSupervisor } from '../../../src/engine/sessions/session-supervisor.ts';
import { openAlarmBook } from '../../../src/alarms/alarm-book.ts';
import { crashingFs } from '../../support/crashing-fs.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { seeded } from '../../support/random.ts';
import { simulatedWorld } from '../../support/store.ts';

test('the alarm about the clock is acknowledged by two users within an hour, where the settings say so', async () => {
  const clock = fakeClock('2026-11-21T12:00:00Z');
  const { files } = crashingFs(seeded(1));
  await files.makeDirectory('/store');
  const alarms = await openAlarmBook({
    ...{ world: { ...simulatedWorld(files), clock }, directory: '/store' },
    ...{ checks: () => 'checked', onNews: async () => {}, onTrouble: () => {} },
  });
  const jump = { kind: 'clock-jump', level: 'critical', message: 'a year' } as const;
  const sessions = {} as SessionSupervisor;
  const by = (uid: number | undefined, persons: number, agree: Monitor['agree']) =>
    acknowledge(
      { monitor: { alarms, persons: () => persons, agree }, sessions },
      'clock-jump',
      uid === undefined ? undefined : { uid, gids: [uid], pid: 1 },
    );
  const isOpen = () => alarms.list()[0]?.ended === undefined;

  await alarms.raise(jump);
  await by(1000, 1, agreements(clock));
  equal(isOpen(), false);

  await alarms.raise(jump);
  const agree = agreements(clock);
  await rejects(by(1000, 2, agree), { code: 'LOCKED', message: /user 1000 has, another one has/ });
  await rejects(by(1000, 2, agree), { code: 'LOCKED' }, 'one person does not count twice');
  await rejects(by(undefined, 2, agree), { code: 'LOCKED', message: /a token is not a user/ });
  await clock.advance(61 * 60_000);
  await rejects(by(1001, 2, agree), { code: 'LOCKED' }, 'the first was too long ago');
  equal(isOpen(), true);
  await by(1000, 2, agree);
  equal(isOpen(), false);
});
