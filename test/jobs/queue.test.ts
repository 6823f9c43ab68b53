import { deepEqual, equal, match, ok, rejects, throws } from 'node:assert/strict';
import { test } from 'tap';
import { jobFile } from '../../src/formats/store/service/job.ts';
import { FormatError } from '../../src/formats/format-error.ts';
import type { Outcome } from '../../src/jobs/job-state.ts';
import type { FileSystem } from '../../src/sys/files/file-system.ts';
import { crashingFs, onlyPowerCuts, type CrashingFs } from '../support/crashing-fs.ts';
import { opened } from '../support/job-queue.ts';
import { seeded } from '../support/random.ts';

const MINUTE = 60_000;
const DONE: Outcome = { kind: 'done', result: { fine: true } };
const REQUEST = { set: 'a' };

const disk = (): CrashingFs => crashingFs(seeded(1));

test('one job after the other in a lane, and lanes side by side', async () => {
  const running: string[] = [];
  const gates: PromiseWithResolvers<Outcome>[] = [];
  const { queue, clock } = await opened(disk(), async ({ kind }) => {
    running.push(kind);
    const gate = Promise.withResolvers<Outcome>();
    gates.push(gate);
    return gate.promise;
  });
  await queue.submit({ kind: 'backup', request: REQUEST });
  await queue.submit({ kind: 'keep', request: REQUEST });
  await queue.submit({ kind: 'check', request: {} });
  await clock.advance(1);
  deepEqual(running, [], 'nothing before it is started');
  queue.start();
  await clock.advance(1);
  deepEqual(running, ['backup', 'check']);
  gates[0]!.resolve(DONE);
  await clock.advance(1);
  deepEqual(running, ['backup', 'check', 'keep']);
  for (const gate of gates) gate.resolve(DONE);
  await clock.advance(1);
  deepEqual(
    queue.list().map(({ job }) => job.state),
    ['done', 'done', 'done'],
  );
  await queue[Symbol.asyncDispose]();
});

test('a failure is tried again later and later, and then is one', async () => {
  const times: number[] = [];
  const { queue, clock } = await opened(disk(), async () => {
    times.push(clock.monotonicMs());
    return { kind: 'failed', reason: 'the disk is away', again: 'soon' };
  });
  const { id } = await queue.submit({ kind: 'backup', request: REQUEST });
  queue.start();
  await clock.advance(500 * MINUTE);
  deepEqual(
    times.map((ms) => Math.round(ms / MINUTE)),
    [0, 1, 6, 21, 81],
  );
  const { job } = queue.show(id);
  equal(job.state, 'failed');
  equal(job.reason, 'the disk is away');
  const notes = await queue.notes(id);
  match(notes.join('\n'), /waiting: the disk is away; again at 2026-11-21T12:01:00/);
  await queue[Symbol.asyncDispose]();
});

test('what waits for something that is away waits as long as it takes, and is woken', async () => {
  let isAway = true;
  let attempts = 0;
  const { queue, clock } = await opened(disk(), async () => {
    attempts++;
    return isAway ? { kind: 'failed', reason: 'host is away', again: 'until' } : DONE;
  });
  const { id } = await queue.submit({ kind: 'backup', request: REQUEST });
  queue.start();
  await clock.advance(3 * 24 * 60 * MINUTE);
  equal(queue.show(id).job.state, 'waiting');
  equal(queue.show(id).job.failures, 0);
  ok(attempts > 400 && attempts < 460, `${attempts} attempts`);
  isAway = false;
  queue.wake();
  await clock.advance(1);
  equal(queue.show(id).job.state, 'done');
  await queue[Symbol.asyncDispose]();
});

test('cancel: a waiting job never begins, a running one is asked to end', async () => {
  const { queue, clock } = await opened(disk(), (_job, { signal }) => {
    const ended: Outcome = { kind: 'failed', reason: 'aborted', again: 'soon' };
    return new Promise((resolve) => signal.addEventListener('abort', () => resolve(ended)));
  });
  const first = await queue.submit({ kind: 'backup', request: REQUEST });
  const second = await queue.submit({ kind: 'backup', request: REQUEST });
  queue.start();
  await clock.advance(1);
  await queue.cancel(second.id);
  equal(queue.show(second.id).job.state, 'canceled');
  const heard: string[] = [];
  const attended = queue.attend(
    first.id,
    (event) => void heard.push(event.event === 'notice' ? event.message : ''),
    new AbortController().signal,
  );
  await queue.cancel(first.id);
  equal((await attended).job.state, 'canceled');
  deepEqual(heard, ['being canceled', 'canceled']);
  await rejects(queue.cancel(first.id), /is canceled already/);
  await rejects(queue.cancel('nothing'), { code: 'NOT_FOUND' });
  await queue[Symbol.asyncDispose]();
});

test('a stop is no failure: the job waits, and runs at the next start', async () => {
  const home = disk();
  const { queue, clock } = await opened(home, (_job, { signal }) => {
    const ended: Outcome = { kind: 'failed', reason: 'aborted', again: 'never' };
    return new Promise((resolve) => signal.addEventListener('abort', () => resolve(ended)));
  });
  const { id } = await queue.submit({ kind: 'backup', request: REQUEST });
  queue.start();
  await clock.advance(1);
  equal(queue.show(id).job.state, 'running');
  await queue[Symbol.asyncDispose]();
  const again = await opened(home.copy(seeded(2)), async () => DONE);
  equal(again.queue.show(id).job.state, 'waiting');
  equal(again.queue.show(id).job.deaths, 0);
  again.queue.start();
  await again.clock.advance(1);
  equal(again.queue.show(id).job.state, 'done');
  await again.queue[Symbol.asyncDispose]();
});

test('a job that was running when the service died runs again, and is never lost', async () => {
  let home = disk();
  let id: string | undefined;
  for (let death = 0; death < 20; death++) {
    const { queue, clock } = await opened(home, () => new Promise(() => {}));
    id ??= (await queue.submit({ kind: 'backup', request: REQUEST })).id;
    equal(queue.show(id).job.deaths, death);
    queue.start();
    // One that may be what kills the service leaves time to cancel it.
    await clock.advance(1);
    equal(queue.show(id).job.state, death <= 3 ? 'running' : 'waiting', `life ${death}`);
    await clock.advance(4 * MINUTE);
    equal(queue.show(id).job.state, 'running');
    home = home.reboot();
  }
  const { queue, clock } = await opened(home, async () => DONE);
  match(queue.show(id!).job.reason!, /ended while it ran, 20 times/);
  queue.start();
  await clock.advance(10 * MINUTE);
  equal(queue.show(id!).job.state, 'done');
});

test('a power cut at any call: a job that was acknowledged is there', async () => {
  const submitted = async (fs: CrashingFs): Promise<string> => {
    const { queue } = await opened(fs, async () => DONE);
    return (await queue.submit({ kind: 'backup', request: REQUEST })).id;
  };
  const whole = disk();
  await submitted(whole);
  ok(whole.calls() > 5);
  for (let cut = 1; cut <= whole.calls() + 2; cut++) {
    for (let seed = 1; seed <= 10; seed++) {
      const fs = crashingFs(seeded(seed), cut);
      let acknowledged: string | undefined;
      try {
        acknowledged = await submitted(fs);
      } catch (error) {
        onlyPowerCuts(error);
      }
      if (cut > whole.calls() + 1) ok(acknowledged !== undefined);
      const { queue, troubles } = await opened(fs.reboot(), async () => DONE);
      const ids = queue.list().map(({ job }) => job.id);
      if (acknowledged !== undefined) deepEqual(ids, [acknowledged], `cut ${cut}`);
      deepEqual(troubles, [], `cut ${cut}`);
    }
  }
});

test('a job without room is refused, and an unreadable record is reported and harms no other', async () => {
  const home = disk();
  const { queue, world } = await opened(home, async () => DONE);
  for (let n = 0; n < 1000; n++) await queue.submit({ kind: 'check', request: {} });
  await rejects(queue.submit({ kind: 'check', request: {} }), { code: 'FULL' });
  await put(world.files, '/store/jobs/broken.json', '{"format": "holdfast-job", "version": 9}');
  await put(world.files, '/store/jobs/long.json', ' '.repeat(9 * 2 ** 20));
  const again = await opened(home.copy(seeded(3)), async () => DONE);
  equal(again.queue.list().length, 1000);
  match(again.troubles.join('\n'), /broken\.json/);
  match(again.troubles.join('\n'), /long\.json is too long/);
});

test('codec: what was written is read, anything else is a FormatError', async () => {
  const { queue } = await opened(disk(), async () => DONE);
  const job = await queue.submit({ kind: 'backup', request: { set: 'a', deep: [1, { b: null }] } });
  deepEqual(jobFile.decode(jobFile.encode(job)), job);
  const bytes = jobFile.encode(job);
  for (let length = 0; length < bytes.length - 1; length += 7) {
    throws(() => jobFile.decode(bytes.subarray(0, length)), FormatError);
  }
});

async function put(files: FileSystem, path: string, text: string): Promise<void> {
  await using file = await files.create(path);
  await file.write(Buffer.from(text), 0);
}
