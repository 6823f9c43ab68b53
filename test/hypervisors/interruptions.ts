import { deepEqual, equal, ok } from 'node:assert/strict';
import { BlockError } from '../../src/block/block-error.ts';
import type { Hypervisor } from '../../src/hypervisors/base/hypervisor.ts';
import { noise } from '../support/random.ts';
import { madeMachine, NAMES } from './backups.ts';
import type { Mishap, SuiteOptions, Test, TestHost, TestMachine } from './rig.ts';
import { begin, endless, failureOf, type Point, same, take, truth } from './taking.ts';

const FAULTS = ['FAILED', 'BUSY', 'LOST', 'DENIED', 'UNREACHABLE'] as const;

export function interruptionsConform(
  test: Test,
  open: () => Promise<TestHost>,
  { stride = 1 }: SuiteOptions,
): void {
  for (const mishap of ['cut-before', 'cut-after'] as const) {
    const when = mishap === 'cut-before' ? 'before' : 'after';
    test(`whatever call is the last of a process, ${when} its effect, the next tidies and goes on`, async () => {
      await forEachCall(
        { open, stride },
        () => mishap,
        async ({ rig, machine, foreign, points }) => {
          await using host = await rig.connect();
          await recovered(host, machine, points.at(-1)!);
          deepEqual(
            (await machine.traces()).filter((it) => foreign.includes(it)),
            foreign,
          );
          equal((await machine.traces()).length, foreign.length + 1);
        },
      );
    });
  }

  for (const code of FAULTS) {
    test(`${code} at any call leaves no guest frozen, and nothing that the next one cannot tidy`, async () => {
      await forEachCall(
        { open, stride },
        () => code,
        async ({ rig, machine, points }) => {
          equal(await machine.isFrozen(), false);
          await using host = await rig.connect();
          await recovered(host, machine, points.at(-1)!);
        },
      );
    });
  }

  test('one failure in the middle of a backup, and nothing of it is left even before tidying', async () => {
    await forEachCall(
      { open, stride },
      () => 'FAILED',
      async ({ machine, call, foreign, points }) => {
        // A removal that failed is what tidying is for, and so is all that comes after the recovery point.
        if (points.length > 1 || /end|remove|abort|delete/i.test(call)) return;
        equal((await machine.traces()).length, foreign.length + 1, `${points.length} points`);
      },
    );
  });

  test('a signal at any call ends the backup with its reason, and leaves nothing', async () => {
    const count = await callsOfBackup(open);
    for (let at = 1; at <= count; at += stride) {
      await using rig = await open();
      const controller = new AbortController();
      const reason = new Error(`canceled at ${at}`);
      const machine = await madeMachine(rig);
      await machine.addForeignCheckpoint();
      await using before = await rig.connect();
      const point = await take(before, machine);
      const traces = await machine.traces();
      await using host = await rig.connect({
        onCall: (_name, count) => {
          if (count === at) controller.abort(reason);
          return undefined;
        },
      });
      const { signal } = controller;
      // A snapshot that is there is the caller's to end; here it ends at once.
      const work = begin(host, machine, { since: point, signal }).then((it) =>
        it[Symbol.asyncDispose](),
      );
      await failureOf(work, (cause) => cause === reason);
      equal(await machine.isFrozen(), false, `canceled at call ${at}`);
      deepEqual(await machine.traces(), traces, `canceled at call ${at}`);
    }
  });

  test('a host that goes away while a disk is read: what cannot be ended is reported, and tidied later', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await using host = await rig.connect();
    const point = await take(host, machine);
    const notices: string[] = [];
    const snapshot = await begin(host, machine, {
      since: point,
      onNotice: (it) => notices.push(it),
    });
    await rig.setUp(false);
    const [disk] = snapshot.disks;
    // Where the machine itself serves its disks, they can still be read.
    const read = disk!.device.read(new Uint8Array(512), 0);
    equal(await failureOf(read, (cause) => cause instanceof BlockError), undefined);
    await snapshot[Symbol.asyncDispose]();
    ok(notices.length > 0);
    await rig.setUp(true);
    await using again = await rig.connect();
    await recovered(again, machine, point);
  });

  test('a point whose acceptance failed counts all the same', async () => {
    await using rig = await open();
    const machine = await madeMachine(rig);
    await using host = await rig.connect();
    const point = await take(host, machine);
    await machine.write('vda', 40_000, noise(5000, 3));
    let published: Point | undefined;
    const failing = take(host, machine, {
      since: point,
      onPublished: (it) => {
        published = it;
      },
      onBegun: async (snapshot) => {
        const { accept } = snapshot;
        // The host is away for just that long.
        Object.assign(snapshot, {
          accept: async () => {
            await rig.setUp(false);
            try {
              await accept();
            } finally {
              await rig.setUp(true);
            }
          },
        });
      },
    });
    equal((await failureOf(failing))?.code, 'UNREACHABLE');
    await using again = await rig.connect();
    await recovered(again, machine, published!);
  });
}

/** A host after a backup to whose calls something happened. */
interface Aftermath {
  readonly rig: TestHost;
  readonly machine: TestMachine;
  /** Names of the calls that were made. */
  readonly calls: readonly string[];
  /** Traces of others, which were there before. */
  readonly foreign: readonly string[];
  /** Those that are published, oldest first. */
  readonly points: readonly Point[];
}

/** Makes a point undisturbed, and then one to whose calls `onCall` happens. */
async function prepared(
  rig: TestHost,
  onCall: (count: number) => Mishap | undefined,
): Promise<Aftermath> {
  const machine = await madeMachine(rig);
  await machine.addForeignCheckpoint();
  const foreign = await machine.traces();
  const points: Point[] = [];
  {
    await using host = await rig.connect();
    points.push(await take(host, machine));
  }
  await machine.write('vda', 30_000, noise(5000, 1));
  await machine.write('vdb', 90_000, noise(5000, 2));
  const then = await truth(machine, NAMES);
  const calls: string[] = [];
  const since = points[0]!;
  const work = (async () => {
    await using host = await rig.connect({
      onCall: (name, count) => {
        calls.push(name);
        return onCall(count);
      },
    });
    await take(host, machine, { since, onPublished: (point) => points.push(point) });
  })();
  // Disks reject as all devices do.
  await failureOf(work, (cause) => cause instanceof BlockError);
  equal(await machine.isRunning(), true);
  for (const { disks } of points.slice(1)) same(disks, then);
  return { rig, machine, calls, foreign, points };
}

/** Its host is gone before the next one comes: a real one has no two machines of one name. */
async function callsOfBackup(open: () => Promise<TestHost>): Promise<number> {
  await using rig = await open();
  return (await prepared(rig, () => undefined)).calls.length;
}

/** Lets it happen to the first call of a backup, then in a fresh host to the second, until a backup ends before. */
async function forEachCall(
  { open, stride }: { readonly open: () => Promise<TestHost>; readonly stride: number },
  mishap: () => Mishap,
  judge: (after: Aftermath & { readonly call: string }) => Promise<void>,
): Promise<void> {
  for (let at = 1; ; at += stride) {
    await using rig = await open();
    const after = await prepared(rig, (count) => (count === at ? mishap() : undefined));
    const call = after.calls[at - 1];
    if (call === undefined) {
      ok(at > 4, `only ${at} calls`);
      equal(after.points.length, 2);
      return;
    }
    try {
      await judge({ ...after, call });
    } catch (cause) {
      throw new Error(`${mishap()} at call ${at} (${call})`, { cause });
    }
  }
}

/** What the engine does with each backup: it tidies, and builds on the last point that was published. */
async function recovered(host: Hypervisor, machine: TestMachine, point: Point): Promise<void> {
  await host.backup.tidy(machine.id, [point.tracking!], endless());
  equal(await machine.isFrozen(), false);
  equal(await machine.isRunning(), true);
  await machine.write('vdb', 10_000, noise(3000, 4));
  const next = await take(host, machine, {
    since: point,
    onBegun: async ({ disks }) => {
      for (const { name, changed, why } of disks) ok(changed, `disk ${name}: ${why}`);
    },
  });
  same(next.disks, await truth(machine, NAMES));
}
