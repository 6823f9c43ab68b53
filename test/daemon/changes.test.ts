import { deepEqual, ok } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import { askService } from '../../src/client/service-client.ts';
import type { Change } from '../../src/operations/events.ts';
import { OPERATIONS, type OperationName, type RequestOf } from '../../src/operations/operations.ts';
import { expectDone } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { serviceHome } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { until } from '../support/until.ts';

const root = temporaryDirectory();
const image = join(root, 'disk.raw');
makeRawDisk(image, 2 * 2 ** 20, 30);
const home = serviceHome(root);
const { holdfast, passphrase } = home;
const at = home.socket;

const all = { set: undefined, machine: undefined, contains: undefined, first: 0, count: 100 };
const QUERIES: { readonly [N in OperationName]?: RequestOf<N> } = {
  'service/show': {},
  'export/list': {},
  'alarm/list': { all: true },
  'lockdown/show': {},
  'store/usage': { reclaimable: false },
  'set/list': {},
  'backup/page': all,
  'job/list': { first: 0, count: 100, active: false },
  'schedule/list': {},
  'session/list': {},
};
/** What changes by itself, and moments that an unchanged state is told with. */
const RESTLESS = new Set(['space', 'takenBytes', 'progress', 'growth', 'clients']);

async function answers(): Promise<Map<OperationName, string>> {
  const found = new Map<OperationName, string>();
  for (const [name, request] of Object.entries(QUERIES) as [OperationName, never][]) {
    const asked = { secret: undefined, report: () => {}, signal: AbortSignal.timeout(60_000) };
    const result: unknown = await askService(at, name, request, asked).catch(
      (error: Error) => error.message,
    );
    const still = (key: string, value: unknown) => (RESTLESS.has(key) ? undefined : value);
    found.set(name, JSON.stringify(result, still));
  }
  return found;
}

const secret = ['--passphrase-file', passphrase];
const STEPS: readonly (readonly string[])[] = [
  ['store', 'create'],
  ['set', 'create', 'nightly', '--encrypt', ...secret],
  ['set', 'create', 'plain'],
  ['backup', 'create', 'nightly', '--machine', 'vm', '--disk', `vda=${image}`],
  ['backup', 'create', 'plain', '--machine', 'vm', '--disk', `vda=${image}`, '--queue'],
  ['recover', 'nightly/vm@latest', '--detach'],
  ['session', 'stop', 'SESSION'],
  ['session', 'keep', 'SESSION'],
  ['recover', 'nightly/vm@latest', '--detach'],
  ['session', 'stop', 'SESSION'],
  ['session', 'discard', 'SESSION'],
  [
    ...['schedule', 'create', 'daily', '--at', 'daily', '--backup', 'plain'],
    ...['--machine', 'vm', '--disk', `vda=${image}`],
  ],
  ['schedule', 'run', 'daily'],
  ['schedule', 'remove', 'daily'],
  ['backup', 'retain', 'plain', '--machine', 'vm', '--keep-last', '1'],
  ['lockdown', 'on'],
  ['lockdown', 'off'],
];

test('the service tells what an operation changes: no query answers differently without it', async () => {
  await using service = await home.run();
  const told: Change[] = [];
  const left = new AbortController();
  const following = askService(
    at,
    'service/follow',
    {},
    {
      ...{ secret: undefined, signal: left.signal },
      report: (event) =>
        void (
          event.event !== 'progress' &&
          event.event !== 'notice' &&
          event.event !== 'step' &&
          told.push(event)
        ),
    },
  ).catch(() => {});
  // Nothing says when a follower has come. Also an operation that fails is told.
  await until('an event that the follower hears', async () => {
    await holdfast('alarm', 'acknowledge', 'none');
    return told.length > 0;
  });
  let before = await answers();
  let session = '';
  for (const step of STEPS) {
    const first = told.length;
    const { result } = await expectDone(
      holdfast(...step.map((it) => (it === 'SESSION' ? session : it))),
    );
    if (typeof result['session'] === 'string') session = result['session'];
    if (typeof result['job'] === 'string')
      await expectDone(holdfast('job', 'attend', result['job']));
    const after = await answers();
    const changed = [...after.keys()].filter((name) => after.get(name) !== before.get(name));
    ok(changed.length > 0, `${step.join(' ')} changes something that is asked here`);
    before = after;
    const untold = (): readonly string[] => {
      const nouns = told
        .slice(first)
        .flatMap((it) => (it.event === 'changed' ? it.nouns : [it.event]));
      return changed.filter((name) => !OPERATIONS[name].shows.some((it) => nouns.includes(it)));
    };
    await until(
      `"${step.join(' ')}" is told`,
      () => untold().length === 0,
      () => `${untold().join(', ')} answered differently`,
    );
  }
  left.abort();
  await following;
  deepEqual(service.log().match(/internal error/), null);
});
