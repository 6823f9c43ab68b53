import { equal, rejects } from 'node:assert/strict';
import { test } from 'tap';
import { hostReach } from '../../../../src/engine/sessions/placed/host-reach.ts';
import type { PlacedPhase } from '../../../../src/formats/store/sessions/session.ts';
import { type ExportWay, localExports } from '../../../../src/hypervisors/base/export-way.ts';
import { HypervisorError } from '../../../../src/hypervisors/base/hypervisor-error.ts';
import { placedRecord } from '../../../support/placed-session.ts';

const { signal } = new AbortController();

function counted(isReached: boolean) {
  let opened = 0;
  let closed = 0;
  const exports: ExportWay = {
    ...localExports,
    open() {
      opened++;
      return {
        async reached() {
          if (!isReached) throw new HypervisorError('UNREACHABLE', 'it is away');
        },
        async [Symbol.asyncDispose]() {
          closed++;
        },
      };
    },
  };
  return { exports, counts: () => `${opened} ${closed}` };
}

const recordIn = (phase: PlacedPhase) => ({
  ...placedRecord(phase),
  listen: 'unix:/run/holdfast/session.sock',
});

test('the way to the disks is open while the machine is on them, also while its guest shuts down', async () => {
  for (const phase of ['placing', 'running', 'copying', 'pivoting', 'withdrawing'] as const) {
    const { exports, counts } = counted(true);
    const reach = hostReach(() => {});
    await reach.require(exports, recordIn(phase), signal);
    await reach.require(exports, recordIn(phase), signal);
    equal(counts(), '1 0', phase);
    await reach.close();
    equal(counts(), '1 1', phase);
  }
  const { exports, counts } = counted(true);
  await hostReach(() => {}).require(exports, recordIn('settling'), signal);
  equal(counts(), '0 0');
});

test('a machine is withdrawn also where its hypervisor does not reach its disks', async () => {
  const { exports } = counted(false);
  const withdrawn = recordIn('withdrawing');
  await hostReach(() => {}).require(exports, withdrawn, signal);
  await hostReach(() => {}).require(
    exports,
    { ...withdrawn, listen: 'tcp:127.0.0.1:10809' },
    signal,
  );
  const running = hostReach(() => {}).require(exports, recordIn('running'), signal);
  await rejects(running, { code: 'BUSY', message: /does not reach the disks.*it is away/ });
});
