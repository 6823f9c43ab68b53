import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { askService } from '../../src/client/service-client.ts';
import { sentSecret } from '../../src/client/sent-secret.ts';
import { parse } from '../../src/lib/schema.ts';
import type { Operation } from '../../src/operations/base/operation.ts';
import { OperationFailure } from '../../src/operations/base/failure.ts';
import { OPERATIONS, type OperationName, type RequestOf } from '../../src/operations/operations.ts';
import { expectDone, runCli } from '../support/cli.ts';
import { makeRawDisk } from '../support/images.ts';
import { serviceHome, serviceWith } from '../support/service.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const root = temporaryDirectory();
const image = join(root, 'disk.raw');
makeRawDisk(image, 8 * 2 ** 20, 20);
const home = serviceHome(root);
const { holdfast, store } = home;
const RIGHT = 'open sesame';
const file = (name: string, line: string): string => {
  writeFileSync(join(root, name), `${line}\n`);
  return join(root, name);
};
const right = ['--passkey-file', file('right', RIGHT)];
const wrong = ['--passkey-file', file('wrong', 'open barley')];
const other = file('other', 'another passkey');

type Given = Partial<Pick<Parameters<typeof askService>[3], 'passkey' | 'secret'>>;
const ask = <N extends OperationName>(name: N, request: RequestOf<N>, given: Given = {}) => {
  const signal = new AbortController().signal;
  return askService(home.socket, name, request, {
    secret: undefined,
    report() {},
    signal,
    ...given,
  });
};

/** A request of each operation that needs the passkey, for a point and a session of a set that has one. */
function requests(point: string, session: string) {
  const reached = { listen: undefined, tls: undefined, nfs: undefined };
  const to = { format: undefined, overwrite: false, erase: undefined };
  const restore = { point, disk: 'vda', to: join(root, 'restored.raw'), ...to };
  const job = { kind: 'restore', request: restore } as const;
  return {
    'session/start': { point, whenFull: 'pause', ...reached },
    'session/resume': { session, ...reached },
    'restore/disk': restore,
    'restore/machine': parse(OPERATIONS['restore/machine'].request, { point, to: 'kvm1' }),
    'restore/machine-disk': parse(OPERATIONS['restore/machine-disk'].request, {
      ...{ point, disk: 'vda', to: 'kvm1' },
    }),
    'restore/images': { point, to: root, format: undefined, overwrite: false },
    'session/finalize': {
      ...{ session, to: root, format: undefined, disks: [] },
      ...{ whileRunning: true, overwrite: false, erase: [] },
    },
    'files/open': { what: point, disk: undefined, isolated: false },
    'backup/show': { point, definition: true },
    'verify/point': parse(OPERATIONS['verify/point'].request, { point, screenshot: true }),
    'verify/show': { point, screenshot: true, picture: false, serial: false },
    'job/create': job,
    'schedule/create': { schedule: 'restores', at: 'yearly', job },
    'set/passkey': { set: 'nightly' },
    'set/remove-passkey': { set: 'nightly' },
  } as const satisfies { readonly [N in OperationName]?: RequestOf<N> };
}

const latest = async (): Promise<string> => {
  const { result } = await expectDone(holdfast('backup', 'list'));
  return (result['points'] as readonly { readonly point: string }[])[0]!.point;
};
const sessions = async () =>
  (await expectDone(holdfast('session', 'list'))).result['sessions'] as readonly {
    readonly session: string;
    readonly state: string;
  }[];

test('a set with a passkey gives nothing out without it, in each face; the service goes on by itself', async (t) => {
  await using stack = new AsyncDisposableStack();
  const service = stack.use(await serviceWith(home, image));
  const point = await latest();
  const started = await expectDone(holdfast('recover', point, '--detach'));
  const session = started.result['session'] as string;
  const shown = async (): Promise<unknown> =>
    ((await expectDone(holdfast('set', 'list'))).result['sets'] as { passkey: boolean }[])[0]!
      .passkey;
  equal(await shown(), false);
  await expectDone(holdfast('set', 'passkey', 'nightly', '--new-passkey-file', right[1]!));
  equal(await shown(), true);

  await t.test('what shows disks asks for it, and nothing happens before', async () => {
    const all = requests(point, session);
    for (const [name, request] of Object.entries(all)) {
      const secret = OPERATIONS[name as OperationName] as Operation;
      const given: Given =
        secret.key === 'new'
          ? { secret: sentSecret({ kind: 'passphrase', passphrase: Buffer.from('evil passkey') }) }
          : {};
      await rejects(
        ask(name as OperationName, request as never, given),
        (cause) =>
          cause instanceof OperationFailure &&
          cause.needsPasskeyOf === 'nightly' &&
          cause.kind === 'wrong-key' &&
          /set "nightly" has a passkey/.test(cause.message),
        name,
      );
    }
    await rejects(
      ask('session/start', all['session/start'], { passkey: 'open barley' }),
      (cause) =>
        cause instanceof OperationFailure &&
        cause.needsPasskeyOf === undefined &&
        /this is not the passkey of set "nightly"/.test(cause.message),
    );
    const left = await expectDone(holdfast('job', 'list'));
    equal(left.result['total'], 0);
    equal((await sessions()).length, 1);
  });

  await t.test('an operation that needs none refuses one', async () => {
    await rejects(ask('set/list', {}, { passkey: RIGHT }), /takes no passkey/);
  });

  await t.test('the command line asks, or reads it from a file', async () => {
    const restore = (to: string, ...more: string[]) =>
      holdfast('restore', 'disk', point, 'vda', '--to', join(root, to), ...more);
    const none = await restore('a.raw');
    equal(none.code, 2);
    match(none.stderr, /set "nightly" has a passkey, which is missing.*--passkey-file/);
    equal((await restore('a.raw', ...wrong)).code, 4);
    await expectDone(restore('a.raw', ...right));
    deepEqual(readFileSync(join(root, 'a.raw')), readFileSync(image));
    const queued = await expectDone(restore('b.raw', '--queue', ...right));
    const done = await expectDone(holdfast('job', 'attend', queued.result['job'] as string));
    equal(done.result['state'], 'done');
  });

  await t.test('backups need none', async () => {
    const disk = ['--machine', 'vm', '--disk', `vda=${image}`];
    await expectDone(holdfast('backup', 'create', 'nightly', ...disk));
  });

  await t.test('a killed service resumes its sessions by itself', async () => {
    await service.stop('SIGKILL');
    stack.use(await home.run());
    const [it] = await sessions();
    deepEqual([it?.session, it?.state], [session, 'running']);
    await expectDone(holdfast('session', 'stop', session));
    equal((await holdfast('session', 'resume', session)).code, 2);
    await expectDone(holdfast('session', 'resume', session, ...right));
    await expectDone(holdfast('session', 'stop', session));
  });

  await t.test('it is changed with the one before, and is written nowhere', async () => {
    const change = ['set', 'passkey', 'nightly', '--new-passkey-file', other];
    equal((await holdfast(...change, ...wrong)).code, 4);
    await expectDone(holdfast(...change, ...right));
    const files = readdirSync(store, { recursive: true, withFileTypes: true });
    for (const it of files.filter((one) => one.isFile())) {
      const bytes = readFileSync(join(it.parentPath, it.name), 'latin1');
      for (const secret of [RIGHT, 'another passkey', 'open barley', 'evil passkey']) {
        ok(!bytes.includes(secret), `${it.name} has ${secret}`);
      }
    }
  });

  await t.test('a lost one is removed with the key of the set, which a person gives', async () => {
    const remove = ['set', 'remove-passkey', 'nightly'];
    equal((await holdfast(...remove)).code, 2);
    equal((await holdfast(...remove, '--passphrase-file', wrong[1]!)).code, 4);
    equal(await shown(), true);
    await expectDone(holdfast(...remove, '--passphrase-file', home.passphrase));
    equal(await shown(), false);
    await expectDone(holdfast('session', 'resume', session));
    await expectDone(holdfast('session', 'stop', session));
    await expectDone(holdfast('session', 'discard', session));
  });
});

test('a command that opens the store itself asks as well', async () => {
  {
    await using _service = await home.run();
    await expectDone(holdfast('set', 'passkey', 'nightly', '--new-passkey-file', right[1]!));
  }
  const alone = (...words: string[]) =>
    runCli([...words, '--store', store, '--passphrase-file', home.passphrase, '--json']);
  const point = (
    (await expectDone(alone('backup', 'list'))).result['points'] as { point: string }[]
  )[0]!.point;
  for (const words of [
    ['restore', 'disk', point, 'vda', '--to', join(root, 'alone.raw')],
    ['store', 'cat', 'point', point],
  ]) {
    equal((await alone(...words)).code, 2);
    equal((await alone(...words, ...wrong)).code, 4);
    await expectDone(alone(...words, ...right));
  }
  const disk = ['--machine', 'vm', '--disk', `vda=${image}`];
  await expectDone(alone('backup', 'create', 'nightly', ...disk));
});
