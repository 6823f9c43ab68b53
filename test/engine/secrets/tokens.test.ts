import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { openBox } from '../../../src/box/box.ts';
import { factoryReset } from '../../../src/engine/operations/factory-reset.ts';
import { openTokens } from '../../../src/engine/secrets/tokens.ts';
import { wrongTokens } from '../../../src/engine/secrets/wrong-tokens.ts';
import { decodeTokens, encodeTokens } from '../../../src/formats/store/service/tokens.ts';
import { FormatError } from '../../../src/formats/format-error.ts';
import { hostFilesIn } from '../../../src/operations/base/host-files.ts';
import { OPERATIONS } from '../../../src/operations/operations.ts';
import { SystemError } from '../../../src/sys/base/system-error.ts';
import { realWorld } from '../../../src/sys/world.ts';
import { crashingFs, onlyPowerCuts } from '../../support/crashing-fs.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { faultyFs, full } from '../../support/faulty-fs.ts';
import { seeded } from '../../support/random.ts';
import { simulatedWorld } from '../../support/store.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const PATH = '/state/tokens.json';
const LOOK = { may: 'look', files: false, expiresDays: undefined } as const;

test('a token gives access until it is revoked or expired; its text is stored nowhere', async () => {
  const disk = crashingFs(seeded(1));
  const clock = fakeClock('2026-11-21T18:00:00Z');
  const world = { ...simulatedWorld(disk.files), clock };
  await using tokens = await openTokens(world, PATH);
  const look = await tokens.create({ ...LOOK, token: 'grafana' });
  const short = await tokens.create({ ...LOOK, token: 'short', may: 'manage', expiresDays: 2 });
  match(look.secret, /^hft_[\w-]{43}$/);
  ok(look.secret !== short.secret);
  await rejects(tokens.create({ ...LOOK, token: 'grafana' }), { code: 'EXISTS' });
  await rejects(tokens.create({ ...LOOK, token: '../x' }), { code: 'BAD_NAME' });
  const stored = Buffer.from(await disk.files.readFile(PATH, 2 ** 20)).toString();
  for (const { secret } of [look, short]) ok(!stored.includes(secret.slice(4)));

  await using again = await openTokens(world, PATH);
  equal(again.find(look.secret)?.name, 'grafana');
  equal(again.find(short.secret)?.may, 'manage');
  for (const wrong of [
    '',
    'x',
    `${look.secret}x`,
    look.secret.slice(0, -1),
    `hft_${'A'.repeat(43)}`,
  ]) {
    equal(again.find(wrong), undefined, wrong);
  }
  const { ended } = again.find(look.secret)!;
  await again.revoke('grafana');
  ok(ended.aborted);
  equal(again.find(look.secret), undefined);
  await rejects(again.revoke('grafana'), { code: 'NOT_FOUND' });
  await clock.advance(2 * 86_400_000);
  equal(again.find(short.secret), undefined);
  deepEqual(
    again.list().tokens.map(({ token, expired }) => [token, expired]),
    [['short', true]],
  );
});

test('what is under way by a token ends when the token does, and not before', async () => {
  const clock = fakeClock('2026-11-21T18:00:00Z');
  const world = { ...simulatedWorld(crashingFs(seeded(1)).files), clock };
  await using tokens = await openTokens(world, PATH);
  const short = await tokens.create({ ...LOOK, token: 'short', expiresDays: 2 });
  const long = await tokens.create({ ...LOOK, token: 'long' });
  const [{ ended }, other] = [tokens.find(short.secret)!, tokens.find(long.secret)!];
  await clock.advance(2 * 86_400_000 - 1000);
  equal(ended.aborted, false);
  await clock.advance(20_000);
  ok(ended.aborted);
  match((ended.reason as Error).message, /token "short" has expired/);
  equal(other.ended.aborted, false);
  // The clock is set back: the token is valid again, for requests from now on.
  clock.turn(-86_400_000);
  equal(tokens.find(short.secret)!.ended.aborted, false);
  clock.turn(86_400_000);
  equal(tokens.find(short.secret), undefined);
});

test('a power cut at any call leaves the tokens from before or after it', async () => {
  const work = async (fs: ReturnType<typeof crashingFs>): Promise<void> => {
    await using tokens = await openTokens(simulatedWorld(fs.files), PATH);
    await tokens.create({ ...LOOK, token: 'a' });
    made++;
    await tokens.create({ ...LOOK, token: 'b' });
    made++;
  };
  let made = 0;
  const whole = crashingFs(seeded(1));
  await work(whole);
  for (let cut = 1; cut <= whole.calls() + 1; cut++) {
    const fs = crashingFs(seeded(cut), cut);
    made = 0;
    await work(fs).catch(onlyPowerCuts);
    await using after = await openTokens(simulatedWorld(fs.reboot().files), PATH);
    const { tokens } = after.list();
    ok(tokens.length >= made && tokens.length <= 2, `cut ${cut}`);
  }
});

test('an altered file of tokens gives no access', async () => {
  const bytes = encodeTokens([
    { ...LOOK, name: 'a', created: 'x', expires: undefined, hash: new Uint8Array(32) },
  ]);
  equal(decodeTokens(bytes)[0]!.name, 'a');
  const text = Buffer.from(bytes).toString();
  for (const altered of [
    text.replace('look', 'manage'),
    text.slice(1),
    '',
    '{}\n',
    'x'.repeat(99),
  ]) {
    let error: unknown;
    try {
      decodeTokens(Buffer.from(altered));
    } catch (cause) {
      error = cause;
    }
    ok(error instanceof FormatError, altered);
  }
});

test('who tries tokens waits longer each time, and fills no log', async () => {
  const clock = fakeClock('2026-11-21T18:00:00Z');
  const noted: string[] = [];
  const wrong = wrongTokens(clock, async (words) => void noted.push(words));
  const { signal } = new AbortController();
  const answered: number[] = [];
  for (let n = 0; n < 100; n++) void wrong.tried('192.0.2.7', signal).then(() => answered.push(n));
  void wrong.tried('192.0.2.8', signal).then(() => answered.push(1000));
  await clock.advance(0);
  deepEqual(noted, ['a request without a valid token, the last from 192.0.2.7']);
  await clock.advance(250);
  deepEqual(answered, [0, 1000], 'another host does not wait for it');
  await clock.advance(250);
  deepEqual(answered, [0, 1000, 1]);
  await clock.advance(60_000);
  equal(answered.length, 101);
  deepEqual(noted.slice(1), ['100 requests without a valid token, the last from 192.0.2.8']);
  await wrong[Symbol.asyncDispose]();
});

test('another address of the same IPv6 host waits as long as the first', async () => {
  const clock = fakeClock('2026-11-21T18:00:00Z');
  await using wrong = wrongTokens(clock, async () => {});
  const { signal } = new AbortController();
  const answered: string[] = [];
  for (const address of ['2001:db8::1', '2001:db8::2:1', '2001:db8:0:1::1']) {
    void wrong.tried(address, signal).then(() => answered.push(address));
  }
  await clock.advance(250);
  deepEqual(answered, ['2001:db8::1', '2001:db8:0:1::1']);
  await clock.advance(250);
  equal(answered.length, 3);
});

test('the names of files in a request are found, those of other hosts are none', async () => {
  const disk = (where: string) => ({ name: 'vda', where });
  const backup = { set: 's', machine: 'm', disks: [disk('/x'), disk('nbd://h/e')] };
  const cases = [
    ['backup/create', backup, ['/x']],
    ['backup/create', { ...backup, disks: [disk('nbd://h')], changed: '/c' }, ['/c']],
    [
      'backup/create',
      { ...backup, disks: [disk('nbd+unix:///?socket=/s')] },
      ['nbd+unix:///?socket=/s'],
    ],
    ['restore/disk', { point: 'p', disk: 'vda', to: 'nbds://h/x?tls-fingerprint=AB:cd' }, []],
    ...[
      'nbds://h/x?tls-certificates=/s',
      'nbds://h/x?tls-psk-file=/s',
      'nbds://h/x?tls-hostname=h&tls-certificates=/s',
      'nbds://h/x?tls-hostname=h#&tls-certificates=/s',
      'nbd://h/x?tls-hostname=h?tls-certificates=/s',
    ].map((to) => ['restore/disk', { point: 'p', disk: 'vda', to }, [to]] as const),
    ['job/create', { kind: 'backup', request: backup }, ['/x']],
    [
      'schedule/create',
      { schedule: 'n', at: 'daily', job: { kind: 'backup', request: backup } },
      ['/x'],
    ],
    ['restore/disk', { point: 'p', disk: 'vda', to: '/dev/sda' }, ['/dev/sda']],
    [
      'job/create',
      { kind: 'restore', request: { point: 'p', disk: 'vda', to: '/dev/sda' } },
      ['/dev/sda'],
    ],
    ['restore/disk', { point: 'p', disk: 'vda', to: 'nbd://h:10809/x' }, []],
    [
      'session/start',
      { point: 'p', listen: 'unix:/x', tls: { kind: 'psk', path: '/k' } },
      ['unix:/x', '/k'],
    ],
    ['session/start', { point: 'p', listen: 'tcp:0.0.0.0:10809' }, []],
    ['session/start', { point: 'p', listen: 'fd:3' }, ['fd:3']],
    // What one field takes for an address is a path for another.
    ['backup/create', { ...backup, disks: [disk('tcp:/../x:1')] }, ['tcp:/../x:1']],
    ['backup/create', { ...backup, disks: [], changed: 'nbd://h/../x' }, ['nbd://h/../x']],
    ['restore/disk', { point: 'p', disk: 'vda', to: 'tcp:h:1' }, ['tcp:h:1']],
    ['session/start', { point: 'p', listen: 'tcp:h:1/../x' }, ['tcp:h:1/../x']],
    ['session/start', { point: 'p', listen: 'nbd://h/x' }, ['nbd://h/x']],
    ['session/start', { point: 'p', tls: { kind: 'x509', directory: 'tcp:h:1' } }, ['tcp:h:1']],
    ['session/keep', { session: '/etc/passwd' }, []],
  ] as const;
  for (const [name, request, files] of cases) {
    const found = hostFilesIn(OPERATIONS[name].request, request);
    deepEqual([...new Set(found)], files, name);
  }
});

test('a factory reset revokes every token, or says that it could not', async () => {
  const disk = crashingFs(seeded(3));
  let isFull = false;
  const files = faultyFs(disk.files, (operation, path) =>
    isFull && operation === 'write' ? full(path) : undefined,
  );
  await using tokens = await openTokens(simulatedWorld(files), PATH);
  const made = [
    await tokens.create({ ...LOOK, token: 'grafana' }),
    await tokens.create({ ...LOOK, token: 'ann', may: 'manage' }),
  ];
  const { ended } = tokens.find(made[1]!.secret)!;
  const machine = { reset: ['network'], failed: [] };
  const box = openBox(realWorld(), { directory: temporaryDirectory(), credentials: undefined });
  async function noTokens(): Promise<never> {
    throw new SystemError('FAILED', 'no other host is served');
  }
  const service = { box, tokens: async () => tokens };
  deepEqual(await factoryReset(machine, { box, tokens: noTokens }), {
    reset: ['network', 'memory of the box'],
    failed: [],
  });
  isFull = true;
  const { failed } = await factoryReset(machine, service);
  match(failed.join(), /^tokens: .*no space left/);
  equal(ended.aborted, false);
  isFull = false;
  const done = { reset: ['network', 'tokens', 'memory of the box'], failed: [] };
  deepEqual(await factoryReset(machine, service), done);
  // It has one that knows no store: nothing that it meets is adopted by itself.
  equal(await box.isNew(), false);
  equal(ended.aborted, true);
  for (const { secret } of made) equal(tokens.find(secret), undefined);
  await using again = await openTokens(simulatedWorld(files), PATH);
  deepEqual(again.list().tokens, []);
});
