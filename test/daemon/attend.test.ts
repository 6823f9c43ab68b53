import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import { collectedFrom, type Ended, expectDone, spawnCliIn } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { until } from '../support/until.ts';

// A session is followed by a script: what happens to it, and how it ended.
const root = temporaryDirectory();
const image = join(root, 'disk.raw');
makeRawDisk(image, 2 ** 22, 51);
const home = serviceHome(root);
const { holdfast } = home;

interface Step {
  readonly event: string;
  readonly state: string;
  readonly message: string | null;
  readonly time: string;
}

async function started(): Promise<string> {
  const { result } = await expectDone(holdfast('recover', 'vm@latest', '--detach'));
  return result['session'] as string;
}

interface Following {
  readonly ended: Promise<Ended>;
  /** Resolves once it has printed a step of that state: it looks from time to time. */
  seen(state: string): Promise<void>;
}

function follow(session: string): Following {
  const child = spawnCliIn([], ['session', 'attend', session, '--socket', home.socket, '--json']);
  let printed = '';
  child.stdout.on('data', (part: Buffer) => (printed += part.toString()));
  return {
    ended: collectedFrom(child),
    seen: (state) => until(`a step "${state}"`, () => printed.includes(`"state":"${state}"`)),
  };
}

test('a session is followed through its stop to its end, and the exit code says how it ended', async () => {
  await using _service = await serviceWith(home, image);
  const session = await started();
  const following = follow(session);
  await following.seen('running');
  await expectDone(holdfast('session', 'stop', session));
  await following.seen('ready');
  const finalize = ['session', 'finalize', session, '--disk', `vda=${join(root, 'out.raw')}`];
  await expectDone(holdfast(...finalize));
  const followed = await following.ended;
  equal(followed.code, 0, followed.stderr);
  deepEqual(followed.result, { session, ended: 'finalized' });
  const steps = followed.lines as unknown as Step[];
  const all = steps.filter(({ event }) => event === 'step');
  const messages = all.flatMap(({ message }) => message ?? []);
  deepEqual(messages, ['started', 'stopped', 'ended: finalized']);
  ok(all.some(({ state, message }) => state === 'ready' && message === null));
  for (const { time } of all) match(time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);

  const kept = await started();
  const keeping = follow(kept);
  await keeping.seen('running');
  await expectDone(holdfast('session', 'stop', kept));
  const job = await expectDone(holdfast('session', 'keep', kept, '--queue'));
  await expectDone(holdfast('job', 'attend', job.result['job'] as string));
  deepEqual((await keeping.ended).result, { session: kept, ended: 'kept' });

  const other = await started();
  const losing = follow(other);
  await losing.seen('running');
  await expectDone(holdfast('session', 'stop', other));
  await expectDone(holdfast('session', 'discard', other));
  const lost = await losing.ended;
  equal(lost.code, 1);
  match(lost.stderr, /was discarded/);
  ok(lost.stdout.includes(`{"session":"${other}","ended":"discarded"}`));
  equal((await holdfast('session', 'attend', other)).code, 5);
});
