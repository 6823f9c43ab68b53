import { deepEqual, equal, ok } from 'node:assert/strict';
import type { WritesTo } from '../../src/hypervisors/base/run-driver.ts';
import { noise } from '../support/random.ts';
import type { Mishap, SuiteOptions, Test } from './rig.ts';
import type { RunTestHost } from './run-rig.ts';
import {
  COPY,
  type Journal,
  journal,
  PLACE,
  type Prepared,
  prepare,
  STAY,
  walkOn,
  WITHDRAW,
} from './running.ts';
import { endless } from './taking.ts';

type Steps = typeof PLACE;

const WRITTEN = noise(5000, 1);
const MISHAPS: readonly Mishap[] = ['cut-before', 'cut-after', 'FAILED', 'UNREACHABLE'];

export function runInterruptionsConform(
  test: Test,
  open: () => Promise<RunTestHost>,
  { stride = 1 }: SuiteOptions,
): void {
  for (const mishap of MISHAPS) {
    thereConforms(test, open, { mishap, stride });
    test(`${mishap} at any call: the same step again, and the machine stays on its own disks`, async () => {
      await atEachCall(
        open,
        { mishap, stride, steps: () => [...PLACE, ...COPY, ...STAY] },
        async (after) => {
          const { rig, prepared, noted } = after;
          deepEqual([await rig.sessionTraces(), (await rig.poolDisks()).length], [[], 2]);
          const expected = [
            await prepared.served.contents('vda'),
            await prepared.served.contents('vdb'),
          ];
          await prepared.served.setUp(false);
          const guest = await rig.made(noted.id!);
          deepEqual([await guest.contents('vda'), await guest.contents('vdb')], expected);
          await guest.write('vda', 512, noise(512, 9));
          await using host = await rig.connect();
          const machines = await host.machines(endless());
          deepEqual(machines.map(({ power }) => power).sort(), ['off', 'on']);
        },
      );
    });

    test(`${mishap} at any call: the same step again, and a withdrawn machine leaves nothing`, async () => {
      await atEachCall(
        open,
        { mishap, stride, steps: () => [...PLACE, ...COPY, ...WITHDRAW] },
        async (after) => {
          const { rig, prepared } = after;
          deepEqual([await rig.sessionTraces(), await rig.poolDisks()], [[], []]);
          await using host = await rig.connect();
          const machines = await host.machines(endless());
          deepEqual(
            machines.map(({ id, name }) => [id, name]),
            [[prepared.old.id, prepared.plan.name]],
          );
        },
      );
    });
  }
}

interface Interrupting {
  readonly mishap: Mishap;
  readonly stride: number;
  readonly writes?: WritesTo;
}

/** What is promised of machines whose guests write to the host's own storage. */
function thereConforms(
  test: Test,
  open: () => Promise<RunTestHost>,
  interrupting: Interrupting,
): void {
  const writes = 'there';
  const { mishap } = interrupting;
  test(`${mishap} at any call: the same step again, and what its guest wrote there is whole`, async () => {
    const steps = (rig: RunTestHost): Steps => [
      ...PLACE,
      async (_run, _prepared, { id }) => (await rig.made(id!)).write('vda', 4096, WRITTEN),
      ...COPY,
      ...STAY,
    ];
    await atEachCall(open, { ...interrupting, writes, steps }, async ({ rig, prepared, noted }) => {
      deepEqual([await rig.sessionTraces(), (await rig.poolDisks()).length], [[], 2]);
      const expected = await prepared.served.contents('vda');
      await prepared.served.setUp(false);
      const guest = await rig.made(noted.id!);
      expected.set(WRITTEN, 4096);
      deepEqual(await guest.contents('vda'), expected);
    });
  });
  test(`${mishap} at any call: the same step again, and nothing of it is left there`, async () => {
    const steps = (): Steps => [...PLACE, ...WITHDRAW];
    await atEachCall(open, { ...interrupting, writes, steps }, async ({ rig }) => {
      deepEqual([await rig.sessionTraces(), await rig.poolDisks()], [[], []]);
    });
  });
}

interface Interrupted {
  readonly rig: RunTestHost;
  readonly prepared: Prepared;
  readonly noted: Journal;
}

/** In a fresh host each time; ends with one in which nothing happened. */
async function atEachCall(
  open: () => Promise<RunTestHost>,
  {
    mishap,
    stride,
    writes,
    steps: stepsOf,
  }: Interrupting & { readonly steps: (rig: RunTestHost) => Steps },
  judge: (after: Interrupted) => Promise<void>,
): Promise<void> {
  for (let at = 1; ; at += stride) {
    await using rig = await open();
    const prepared = await prepare(rig, 'session1', writes);
    const steps = stepsOf(rig);
    const noted = journal();
    const onCall = (count: number) => (count === at ? mishap : undefined);
    let calls: readonly string[] = [];
    try {
      calls = await walkOn(rig, prepared, { steps, noted, onCall });
      await judge({ rig, prepared, noted });
    } catch (cause) {
      throw new Error(`${mishap} at call ${at} (${calls[at - 1]})`, { cause });
    }
    if (calls.length < at) {
      ok(at > steps.length);
      equal(noted.id, prepared.plan.uuid);
      return;
    }
  }
}
