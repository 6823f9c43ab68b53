import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { test } from 'tap';
import type { MachineSnapshot } from '../../../src/hypervisors/base/backup-driver.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { type FakeLibvirtd, fakeLibvirtd, never, refusal } from '../../support/fake-libvirtd.ts';
import { until } from '../../support/until.ts';
import { begin, endless, WISH } from '../taking.ts';

// What a guest may meet while a backup begins: it is never left frozen, and its machine not marked.

const STRICT = { ...WISH, fallBack: false };
const APPLICATION = { ...WISH, consistency: 'application' } as const;

function still({ machine }: FakeLibvirtd): void {
  equal(machine.frozen, 0, 'frozen');
  equal(machine.mark, undefined, 'marked');
}

function nothingBegun({ machine }: FakeLibvirtd): void {
  equal(machine.backup, undefined);
  deepEqual([...machine.checkpoints], []);
}

test('a guest is frozen while a backup begins, and no longer', async () => {
  await using host = await fakeLibvirtd();
  const { machine } = host;
  const during: number[] = [];
  host.answers.beginBackup = (_args, usual) => {
    during.push(machine.frozen);
    ok(machine.mark?.includes('frozen'));
    return usual();
  };
  await using driver = await host.connect();
  await using snapshot = await begin(driver, { id: machine.domain.uuid });
  deepEqual(snapshot.consistency, { asked: 'file-system', got: 'file-system' });
  deepEqual(during, [2]);
  still(host);
});

test('a guest that refuses to freeze leaves no mark: strict, and with a fall-back', async () => {
  await using host = await fakeLibvirtd();
  const { machine } = host;
  host.answers.freeze = () => {
    throw refusal('internal', 'guest agent command failed: command has been disabled');
  };
  await using driver = await host.connect();
  const strict = begin(driver, { id: machine.domain.uuid }, { wish: STRICT });
  await rejects(strict, { code: 'UNSUPPORTED', message: /could not be frozen: .*disabled/ });
  still(host);
  nothingBegun(host);
  await using snapshot = await begin(driver, { id: machine.domain.uuid });
  equal(snapshot.consistency.got, 'crash');
  still(host);
});

test('a guest that cannot freeze programs leaves no mark where less is not accepted', async () => {
  await using host = await fakeLibvirtd();
  await using driver = await host.connect();
  const wish = { ...APPLICATION, fallBack: false };
  await rejects(begin(driver, { id: host.machine.domain.uuid }, { wish }), { code: 'UNSUPPORTED' });
  still(host);
});

test('a mark whose answer was lost is taken away', async () => {
  await using host = await fakeLibvirtd();
  host.answers.setMetadata = (_args, usual) => {
    usual();
    if (host.machine.mark !== undefined) throw refusal('internal');
  };
  await using driver = await host.connect();
  await rejects(begin(driver, { id: host.machine.domain.uuid }), { code: 'FAILED' });
  still(host);
});

test('a guest that takes too long to freeze is thawed, and backed up without', async () => {
  await using host = await fakeLibvirtd();
  const clock = fakeClock('2026-01-01T00:00:00Z');
  const { machine } = host;
  host.answers.freeze = (_args, usual) => {
    usual();
    return never();
  };
  await using driver = await host.connect(clock);
  const work = begin(driver, { id: machine.domain.uuid });
  await until('frozen', () => machine.frozen > 0);
  await clock.advance(31_000);
  await using snapshot = await work;
  equal(snapshot.consistency.got, 'crash');
  match(snapshot.consistency.why!, /did not reply to "freeze" in time/);
  still(host);
});

test('a backup that takes too long to begin: thawed first, ended, and begun again as a whole', async () => {
  await using host = await fakeLibvirtd();
  const clock = fakeClock('2026-01-01T00:00:00Z');
  const { machine } = host;
  const late = Promise.withResolvers<void>();
  let begun = 0;
  host.answers.beginBackup = async (_args, usual) => {
    begun++;
    if (begun === 1) await late.promise;
    return usual();
  };
  await using driver = await host.connect(clock);
  const notices: string[] = [];
  const work = begin(driver, { id: machine.domain.uuid }, { onNotice: (it) => notices.push(it) });
  await until('it begins', () => begun === 1);
  equal(machine.frozen, 2);
  await clock.advance(14_000);
  equal(machine.frozen, 2);
  await clock.advance(2000);
  await until('thawed', () => machine.frozen === 0);
  await until('no mark', () => machine.mark === undefined);
  // libvirt goes on with it all the same: what it has begun by then is ended before the next.
  equal(begun, 1);
  equal(machine.backup, undefined);
  late.resolve();
  await using snapshot = await work;
  equal(snapshot.consistency.got, 'file-system');
  equal(begun, 2);
  const order = host.heard.filter((it) => ['freeze', 'thaw', 'abortJob'].includes(it));
  deepEqual(order, ['freeze', 'thaw', 'abortJob', 'freeze', 'thaw']);
  match(notices.join('\n'), /within 15 seconds: the guest was thawed/);
  equal(machine.checkpoints.size, 1);
  still(host);
});

/** libvirt takes 16 seconds each time to begin a backup. */
async function slow(host: FakeLibvirtd, wish: typeof WISH): Promise<MachineSnapshot> {
  const clock = fakeClock('2026-01-01T00:00:00Z');
  host.answers.beginBackup = async (_args, usual) => {
    await clock.sleep(16_000);
    return usual();
  };
  const driver = await host.connect(clock);
  const work = begin(driver, { id: host.machine.domain.uuid }, { wish });
  let isOver = false;
  const onOver = (): void => void (isOver = true);
  work.then(onOver, onOver);
  await until('its end', async () => {
    await clock.advance(1000);
    return isOver;
  });
  return work;
}

test('libvirt that is always slow: the third attempt freezes nothing, and says why', async () => {
  await using host = await fakeLibvirtd();
  await using snapshot = await slow(host, WISH);
  equal(snapshot.consistency.got, 'crash');
  match(snapshot.consistency.why!, /did not begin the backup within the 15 seconds/);
  equal(host.heard.filter((it) => it === 'freeze').length, 2);
  equal(host.heard.filter((it) => it === 'beginBackup').length, 3);
  still(host);
});

test('libvirt that is always slow: refused where less is not accepted, and nothing is left', async () => {
  await using host = await fakeLibvirtd();
  await rejects(slow(host, STRICT), { code: 'UNSUPPORTED', message: /within the 15 seconds/ });
  still(host);
  nothingBegun(host);
});

test('libvirtd that hangs: the order to thaw is sent at the limit, and carried out as soon as it can be', async () => {
  await using host = await fakeLibvirtd();
  const clock = fakeClock('2026-01-01T00:00:00Z');
  const { machine, heard } = host;
  const hang = Promise.withResolvers<void>();
  host.answers.beginBackup = () => hang.promise.then(() => Promise.reject(refusal('internal')));
  host.answers.thaw = (_args, usual) => hang.promise.then(() => usual());
  await using driver = await host.connect(clock);
  const work = begin(driver, { id: machine.domain.uuid }, { wish: STRICT });
  const refused = rejects(work, { code: 'FAILED' });
  await until('it begins', () => heard.includes('beginBackup'));
  await clock.advance(15_000);
  await until('the order', () => heard.includes('thaw'));
  hang.resolve();
  await until('thawed', () => machine.frozen === 0);
  await refused;
  still(host);
  nothingBegun(host);
});

test('a connection that is cut while the guest is frozen: it is thawed over another one', async () => {
  await using host = await fakeLibvirtd();
  const { machine } = host;
  host.answers.beginBackup = () => {
    host.cut();
    return never();
  };
  await using driver = await host.connect();
  await rejects(begin(driver, { id: machine.domain.uuid }), { code: 'UNREACHABLE' });
  still(host);
});

test('a freeze that the guest ended itself is a power cut, and told; strict, nothing is left', async () => {
  await using host = await fakeLibvirtd();
  const { machine } = host;
  host.answers.beginBackup = (_args, usual) => {
    machine.frozen = 0;
    return usual();
  };
  await using driver = await host.connect();
  {
    await using snapshot = await begin(driver, { id: machine.domain.uuid });
    equal(snapshot.consistency.got, 'crash');
    match(snapshot.consistency.why!, /no longer frozen when the backup had begun/);
  }
  const strict = begin(driver, { id: machine.domain.uuid }, { wish: STRICT });
  await rejects(strict, { code: 'UNSUPPORTED', message: /no longer frozen/ });
  still(host);
  nothingBegun(host);
});

test('a guest without any file system that can be frozen is as wished', async () => {
  await using host = await fakeLibvirtd();
  host.machine.fileSystems = 0;
  await using driver = await host.connect();
  await using snapshot = await begin(driver, { id: host.machine.domain.uuid });
  equal(snapshot.consistency.got, 'file-system');
});

test('a machine that is paused while its guest is frozen: told, and thawed as soon as it runs', async () => {
  await using host = await fakeLibvirtd();
  const clock = fakeClock('2026-01-01T00:00:00Z');
  const { machine, heard } = host;
  host.answers.beginBackup = (_args, usual) => {
    machine.state = 'paused';
    return usual();
  };
  await using driver = await host.connect(clock);
  const work = begin(driver, { id: machine.domain.uuid });
  await until('a thaw', () => heard.includes('thaw'));
  await clock.advance(2000);
  equal(machine.frozen, 2);
  ok(machine.mark);
  machine.state = 'running';
  await clock.advance(10_000);
  await using snapshot = await work;
  equal(snapshot.consistency.got, 'file-system');
  still(host);
});

test('a machine that stays paused keeps its mark, is reported, and is thawed by the next backup', async () => {
  await using host = await fakeLibvirtd();
  const clock = fakeClock('2026-01-01T00:00:00Z');
  const { machine, heard } = host;
  host.answers.beginBackup = (_args, usual) => {
    machine.state = 'paused';
    return usual();
  };
  await using driver = await host.connect(clock);
  const id = machine.domain.uuid;
  const notices: string[] = [];
  const work = begin(driver, { id }, { onNotice: (it) => notices.push(it) });
  await until('a thaw', () => heard.includes('thaw'));
  for (let minute = 0; minute < 2; minute++) await clock.advance(60_000);
  const snapshot = await work;
  let isOver = false;
  void snapshot[Symbol.asyncDispose]().then(() => (isOver = true));
  await until('its end', async () => {
    await clock.advance(1000);
    return isOver;
  });
  match(
    notices[0]!,
    /may still be frozen \(the machine is paused: resume it \("virsh resume web1"\)\)/,
  );
  ok(machine.mark);
  machine.state = 'running';
  const told = await driver.backup.tidy(id, [], endless());
  deepEqual(told, ['its guest was frozen, and was thawed']);
  still(host);
});

test('a guest that could not be thawed is thawed when its backup ends, if it can be by then', async () => {
  await using host = await fakeLibvirtd();
  const clock = fakeClock('2026-01-01T00:00:00Z');
  const { machine, heard } = host;
  host.answers.beginBackup = (_args, usual) => {
    machine.agent = 'disconnected';
    return usual();
  };
  await using driver = await host.connect(clock);
  const notices: string[] = [];
  const options = { onNotice: (it: string) => notices.push(it) };
  const work = begin(driver, { id: machine.domain.uuid }, options);
  await until('a thaw', () => heard.includes('thaw'));
  for (let minute = 0; minute < 2; minute++) await clock.advance(60_000);
  const snapshot = await work;
  equal(machine.frozen, 2);
  machine.agent = 'connected';
  await snapshot[Symbol.asyncDispose]();
  equal(notices.length, 2);
  match(notices[1]!, /was frozen, and was thawed/);
  still(host);
});

test('a machine that was turned off while its guest was frozen: nothing is told, nothing waits', async () => {
  await using host = await fakeLibvirtd();
  const { machine } = host;
  host.answers.beginBackup = () => {
    Object.assign(machine, { state: 'off', frozen: 0, mark: undefined });
    throw refusal('operationFailed', 'domain is not running');
  };
  await using driver = await host.connect();
  const notices: string[] = [];
  const options = { onNotice: (it: string) => notices.push(it) };
  await rejects(begin(driver, { id: machine.domain.uuid }, options), { code: 'FAILED' });
  deepEqual(notices, []);
});

test('a guest that was left frozen, and whose agent is away, does not keep the next backup', async () => {
  await using host = await fakeLibvirtd();
  const { machine } = host;
  machine.mark = '<frozen by="store1"/>';
  machine.agent = 'disconnected';
  await using driver = await host.connect();
  const told = await driver.backup.tidy(machine.domain.uuid, [], endless());
  equal(told.length, 1);
  match(told[0]!, /may still be frozen .*virsh domfsthaw web1/);
  ok(machine.mark, 'the next backup tries it too');
  await using snapshot = await begin(driver, { id: machine.domain.uuid });
  equal(snapshot.consistency.got, 'crash');
});

test('a mark of a guest that is no longer frozen goes without a word', async () => {
  await using host = await fakeLibvirtd();
  host.machine.mark = '<frozen by="store1"/>';
  await using driver = await host.connect();
  deepEqual(await driver.backup.tidy(host.machine.domain.uuid, [], endless()), []);
  still(host);
});
