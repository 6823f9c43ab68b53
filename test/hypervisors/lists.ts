import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import type { SuiteOptions, Test, TestHost } from './rig.ts';
import { endless, failureOf } from './taking.ts';

const DISKS = { vda: 262_144 };

export function listsConform(
  test: Test,
  open: () => Promise<TestHost>,
  { cannot = [], knowsOff = true }: SuiteOptions,
): void {
  test('all machines are listed, in the order of their names, with their power', async () => {
    await using rig = await open();
    const names = ['web2', 'db1', 'web1', 'mail', 'web10', 'a', 'zz'];
    for (const name of names) await rig.machine({ name, disks: DISKS });
    const off = await rig.machine({ name: 'off', disks: DISKS });
    await off.shutDown();
    await using host = await rig.connect();
    const listed = await host.machines(endless());
    deepEqual(
      listed.map(({ name }) => name),
      (knowsOff ? [...names, 'off'] : names).sort(),
    );
    equal(new Set(listed.map(({ id }) => id)).size, listed.length);
    for (const { name, power } of listed) equal(power, name === 'off' ? 'off' : 'on');
    ok(host.facts.product.length > 0 && host.facts.host.length > 0);
  });

  test('a host without machines lists none', async () => {
    await using rig = await open();
    await using host = await rig.connect();
    deepEqual(await host.machines(endless()), []);
  });

  test('a machine is described with all its disks, also those that no backup can read', async () => {
    await using rig = await open();
    const { id } = await rig.machine({
      name: 'web1',
      disks: { vda: 262_144, vdb: 1_048_576 },
      excluded: ['sda'],
    });
    await using host = await rig.connect();
    const { machine, files } = await host.describe(id, endless());
    deepEqual([machine.from.id, machine.from.name, machine.from.kind], [id, 'web1', host.kind]);
    deepEqual(machine.disks.map(({ name }) => name).sort(), ['sda', 'vda', 'vdb']);
    const sizes = new Map(machine.disks.map(({ name, size }) => [name, size]));
    deepEqual([sizes.get('vda'), sizes.get('vdb')], [262_144, 1_048_576]);
    const left = machine.disks.filter(({ excluded }) => excluded);
    deepEqual(
      left.map(({ name }) => name),
      ['sda'],
    );
    ok(left[0]!.excluded!.detail.length > 0);
    const definition = files.find(({ kind }) => kind === 'definition');
    equal(definition?.name, machine.native.file);
    ok((await definition.read(endless())).length > 0);
  });

  test('a machine is known by its ID, whatever its name', async () => {
    await using rig = await open();
    const machine = await rig.machine({ name: 'web1', disks: DISKS });
    await using host = await rig.connect();
    await machine.shutDown();
    await machine.rename('web2');
    if (!knowsOff) {
      equal((await failureOf(host.describe(machine.id, endless())))?.code, 'NOT_FOUND');
      await machine.start();
    }
    equal((await host.describe(machine.id, endless())).machine.from.name, 'web2');
    equal((await host.machines(endless()))[0]?.name, 'web2');
    await machine.undefine();
    equal((await failureOf(host.describe(machine.id, endless())))?.code, 'NOT_FOUND');
    deepEqual(await host.machines(endless()), []);
  });

  test('a host that is away is UNREACHABLE, and one that is back is used again', async () => {
    await using rig = await open();
    const { id } = await rig.machine({ name: 'web1', disks: DISKS });
    await using host = await rig.connect();
    await rig.setUp(false);
    equal((await failureOf(host.machines(endless())))?.code, 'UNREACHABLE');
    equal((await failureOf(host.describe(id, endless())))?.code, 'UNREACHABLE');
    equal((await failureOf(rig.connect()))?.code, 'UNREACHABLE');
    await rig.setUp(true);
    await using again = await rig.connect();
    equal((await again.machines(endless())).length, 1);
  });

  for (const [change, code] of [
    ['changeCredentials', 'AUTH'],
    ['changeIdentity', 'IDENTITY'],
  ] as const) {
    if (cannot.includes(change)) continue;
    test(`a host that is not as when it was added is ${code}: ${change}`, async () => {
      await using rig = await open();
      await rig[change]();
      equal((await failureOf(rig.connect()))?.code, code);
    });
  }

  test('a signal that has come ends every call with its reason', async () => {
    await using rig = await open();
    const { id } = await rig.machine({ name: 'web1', disks: DISKS });
    await using host = await rig.connect();
    const reason = new Error('canceled');
    const gone = AbortSignal.abort(reason);
    await rejects(host.machines(gone), reason);
    await rejects(host.describe(id, gone), reason);
    await rejects(host.check(gone), reason);
    await rejects(host.backup.tidy(id, [], gone), reason);
  });

  test('after it was disposed of, each call rejects, and disposing again is harmless', async () => {
    await using rig = await open();
    await using host = await rig.connect();
    await host[Symbol.asyncDispose]();
    await host[Symbol.asyncDispose]();
    ok(await failureOf(host.machines(endless())));
  });
}
