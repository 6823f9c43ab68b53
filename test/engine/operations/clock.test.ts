import { equal, match, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { openAlarmBook } from '../../../src/alarms/alarm-book.ts';
import { confirmedClock } from '../../../src/engine/operations/clock.ts';
import { checkDeletions } from '../../../src/engine/points/deletions.ts';
import { simulatedWorld } from '../../support/store.ts';

test('a clock that has jumped is not confirmed before a person has acknowledged the alarm', async () => {
  const world = simulatedWorld();
  for (const path of ['/store', '/box']) await world.files.makeDirectory(path);
  const book = await openAlarmBook({
    ...{ world, directory: '/store', checks: () => 'checked', async onNews() {}, onTrouble() {} },
  });
  const engine = { store: { ...world, directory: '/store' }, box: { directory: '/box' } } as never;
  const confirm = (uid: number) => confirmedClock(engine, { uid } as never);
  const message = 'a year; nothing is forgotten until a person acknowledges it';
  await book.raise({ kind: 'clock-jump', level: 'critical', message });
  await rejects(confirm(1), { code: 'FROZEN', message: /alarm acknowledge clock-jump/ });
  await rejects(checkDeletions(engine), (cause: Error) => {
    match(cause.message, /alarm acknowledge clock-jump/);
    equal(cause.message.split('nothing is forgotten').length, 2, 'it is said once');
    return true;
  });
  await book.acknowledge('clock-jump', 1);
  equal((await confirm(1)).confirmedBy, 1);
  const { confirmedBy, replaced } = await confirm(2);
  equal(confirmedBy, null);
  equal(replaced, null);
});
