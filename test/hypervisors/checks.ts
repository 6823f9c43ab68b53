import { deepEqual, equal, ok } from 'node:assert/strict';
import type { Finding, FindingCode } from '../../src/hypervisors/base/finding.ts';
import type { SuiteOptions, Test, TestHost, TestMachine } from './rig.ts';
import { begin, endless, failureOf, take, WISH } from './taking.ts';

const DISKS = { vda: 262_144, vdb: 262_144 };

/** Each trouble of a machine: how it comes about, the code that it is found by, and what it means for a backup. */
const TROUBLES: readonly {
  readonly code: FindingCode;
  readonly level: Finding['level'];
  readonly make: (machine: TestMachine) => Promise<unknown>;
}[] = [
  { code: 'power', level: 'note', make: (it) => it.shutDown() },
  { code: 'snapshots', level: 'warning', make: (it) => it.makeInternalSnapshot() },
  { code: 'foreign-tracking', level: 'warning', make: (it) => it.addForeignCheckpoint() },
  { code: 'busy', level: 'blocker', make: (it) => it.runForeignJob() },
];

export function checksConform(
  test: Test,
  open: () => Promise<TestHost>,
  { knowsOff = true }: SuiteOptions = {},
): void {
  test('nothing stands in the way of a backup of a machine that runs with its agent', async () => {
    await using rig = await open();
    const { id } = await rig.machine({ name: 'web1', disks: DISKS });
    await using host = await rig.connect();
    const findings = [
      ...(await host.check(endless())),
      ...(await host.backup.check(id, WISH, endless())),
    ];
    deepEqual(
      findings.filter(({ level }) => level !== 'note'),
      [],
    );
  });

  for (const { code, level, make } of TROUBLES) {
    if (code === 'power' && !knowsOff) continue;
    test(`a check finds "${code}" as a ${level}, says what to do, and changes nothing`, async () => {
      await using rig = await open();
      const machine = await rig.machine({ name: 'web1', disks: DISKS });
      await make(machine);
      const before = await machine.traces();
      await using host = await rig.connect();
      const findings = await host.backup.check(machine.id, WISH, endless());
      const found = findings.find((it) => it.code === code);
      equal(found?.level, level);
      ok(found.message.length > 0);
      ok(level === 'note' || (found.remedy ?? '').length > 0);
      deepEqual(await machine.traces(), before);
      const failure = await failureOf(take(host, machine));
      equal(failure !== undefined, level === 'blocker');
    });
  }

  test('a guest without an agent is a warning, and a blocker where less is not accepted', async () => {
    await using rig = await open();
    const { id } = await rig.machine({ name: 'web1', disks: DISKS, hasAgent: false });
    await using host = await rig.connect();
    for (const [fallBack, level] of [
      [true, 'warning'],
      [false, 'blocker'],
    ] as const) {
      const findings = await host.backup.check(id, { ...WISH, fallBack }, endless());
      equal(findings.find(({ code }) => code === 'agent')?.level, level);
    }
    const crash = { ...WISH, consistency: 'crash' as const, fallBack: false };
    const findings = await host.backup.check(id, crash, endless());
    ok(findings.every(({ code }) => code !== 'agent'));
  });

  test('each disk that no backup can read is found', async () => {
    await using rig = await open();
    const machine = await rig.machine({ name: 'web1', disks: DISKS, excluded: ['sda', 'sdb'] });
    await using host = await rig.connect();
    const findings = await host.backup.check(machine.id, WISH, endless());
    const excluded = findings.filter(({ code }) => code === 'disk-excluded');
    deepEqual(excluded.map(({ disk }) => disk ?? '').sort(), ['sda', 'sdb']);
  });

  test('a check of a machine that is not there is NOT_FOUND', async () => {
    await using rig = await open();
    const machine = await rig.machine({ name: 'web1', disks: DISKS });
    await machine.undefine();
    await using host = await rig.connect();
    const check = host.backup.check(machine.id, WISH, endless());
    equal((await failureOf(check))?.code, 'NOT_FOUND');
    equal((await failureOf(begin(host, machine)))?.code, 'NOT_FOUND');
    deepEqual(await host.backup.tidy(machine.id, [], endless()), []);
  });
}
