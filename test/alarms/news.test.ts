import { equal, ok } from 'node:assert/strict';
import { test } from 'tap';
import { openAlarmBook } from '../../src/alarms/alarm-book.ts';
import { simulatedWorld } from '../support/store.ts';

test('an alarm is noted only once its messages are certain to be sent, also after a crash', async () => {
  const world = simulatedWorld();
  await world.files.makeDirectory('/store');
  const asked = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const book = await openAlarmBook({
    ...{ world, directory: '/store', checks: () => 'checked', onTrouble() {} },
    async onNews() {
      asked.resolve();
      await gate.promise;
    },
  });
  const raised = book.raise({ kind: 'clock-jump', level: 'critical', message: 'a year' });
  await asked.promise;
  await new Promise((resolve) => setTimeout(resolve, 20));
  equal(await world.files.stat('/store/alarms.json'), undefined);
  gate.resolve();
  await raised;
  ok(await world.files.stat('/store/alarms.json'));
});
