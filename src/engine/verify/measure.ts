import { keepCapacity, knownCapacity } from '../../box/capacity.ts';
import { readMachine } from '../../catalog/point-files.ts';
import { MiB } from '../../lib/sizes.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import { memoryFor } from '../../sessions/proof/proof-machine.ts';
import { processors } from '../../sys/process/processors.ts';
import { type Engine, openPoint, type WorkOptions } from '../base/engine.ts';
import { ownRelease } from '../base/release.ts';
import { measureCapacity } from './capacity.ts';
import { budgetOf, OVERHEAD_BYTES } from './proof-runs.ts';
import { scriptRunner } from './script-runner.ts';
import { askedBy } from './verify-point.ts';

/* How many machines this box carries: measured with clones of a recovery point, and kept with the box. */

export async function measure(
  engine: Engine,
  { point: query, most, ...asked }: RequestOf<'verify/measure'>,
  { secrets, signal, report }: WorkOptions,
): Promise<ResultOf<'verify/measure'>> {
  const { store, guestMemory: memory, box } = engine;
  const { set, point } = await openPoint(engine, query, secrets);
  const { prove } = await import('../../sessions/proof/prove.ts');
  await using borrowed = await engine.reader();
  const { reader } = borrowed;
  const own = asked.memory === undefined ? undefined : asked.memory * MiB;
  const memoryBytes = own ?? memoryFor(await readMachine(store, set, point));
  const budget = budgetOf({ memory: undefined, processors: undefined });
  let accelerator: 'kvm' | 'tcg' = 'tcg';
  const found = await measureCapacity({
    ...{ room: Math.floor(budget.memoryBytes / (memoryBytes + OVERHEAD_BYTES)), most },
    async boot(onRead) {
      const proof = await prove(store, {
        ...{ set, point, reader, memory, signal, onRead, asked: askedBy(asked), onStep() {} },
        runScript: scriptRunner(store, { set: set.name, point }),
      });
      accelerator = proof.accelerator;
      const { bootMs, totalMs } = proof.timings;
      const isUp = proof.verdict === 'proven';
      return { isUp, state: proof.state, bootMs: bootMs ?? totalMs, readBytes: proof.readBytes };
    },
    onStep: ({ clones, up, bootMs, readP99Us }) =>
      report({
        event: 'notice',
        message:
          `${up} of ${clones} at once came up in ${(bootMs / 1000).toFixed(1)} s; 99 of 100 reads took at most ` +
          `${(readP99Us / 1000).toFixed(1)} ms`,
      }),
  });
  const record = {
    ...{ measured: store.clock.now().toISOString(), release: await ownRelease() },
    ...{ set: set.name, machine: point.machine, point: point.id },
    ...{ accelerator, processors: processors(), memoryBytes, ...found },
  };
  await keepCapacity(store, box.directory, record);
  return record;
}

export async function capacity({
  store,
  box,
}: Pick<Engine, 'store' | 'box'>): Promise<ResultOf<'verify/capacity'>> {
  return { figure: (await knownCapacity(store, box.directory)) ?? null };
}
