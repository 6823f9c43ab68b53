import { deepEqual, equal } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import { lineLog } from '../../src/daemon/log.ts';
import { openJournal } from '../../src/sys/systemd/journal.ts';
import { fakeClock } from '../support/fake-clock.ts';
import { notifySocket } from '../support/notify-socket.ts';
import { without } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const clock = fakeClock('2026-11-21T18:00:00Z');
const skip = without('perl');

test('lines are for people, or for the journal with their priority', async () => {
  const lines: string[] = [];
  const write = (line: string): void => void lines.push(line);
  for (const journal of [false, true]) {
    const log = lineLog(clock, { journal, write });
    log('info', 'all is well');
    log('error', 'two\n  lines', { session: 'web1-3f9c2a' });
  }
  deepEqual(lines, [
    '2026-11-21 18:00:00 all is well\n',
    '2026-11-21 18:00:00 error: two | lines\n',
    '<6>all is well\n',
    '<3>two | lines\n',
  ]);
});

test('what is about a session or a job goes to the journal with a field', { skip }, async () => {
  const path = join(temporaryDirectory(), 'journal');
  const lines: string[] = [];
  const write = (line: string): void => void lines.push(line);
  {
    await using socket = await notifySocket(path);
    const log = lineLog(clock, {
      ...{ journal: true, write, identifier: 'holdfastd' },
      fields: openJournal(path),
    });
    log('notice', 'not about one');
    log('warning', 'it waits', { job: 'j1' });
    const field = (name: string, value: string): string =>
      `${name};${String.fromCharCode(value.length)}${'\0'.repeat(7)}${value}`;
    equal(
      await socket.next(/it waits/),
      [
        field('MESSAGE', 'it waits'),
        field('PRIORITY', '4'),
        field('SYSLOG_IDENTIFIER', 'holdfastd'),
        field('HOLDFAST_JOB', 'j1'),
      ].join(';'),
    );
  }
  deepEqual(lines, ['<5>not about one\n']);
});

test('where the journal is gone the line goes to standard error', { skip }, async () => {
  const path = join(temporaryDirectory(), 'journal');
  equal(openJournal(path), undefined);
  const socket = await notifySocket(path);
  const lines: string[] = [];
  const log = lineLog(clock, {
    ...{ journal: true, write: (line) => void lines.push(line) },
    fields: openJournal(path),
  });
  await socket[Symbol.asyncDispose]();
  log('info', 'no reader', { session: 's' });
  deepEqual(lines, ['<6>no reader\n']);
});
