import type { Finding } from '../../../src/hypervisors/base/finding.ts';
import type { Hypervisor, HypervisorOptions } from '../../../src/hypervisors/base/hypervisor.ts';
import { HypervisorError } from '../../../src/hypervisors/base/hypervisor-error.ts';
import type { MachineSummary } from '../../../src/hypervisors/base/machines.ts';
import type { OnCall } from '../../hypervisors/rig.ts';
import { backupDriver } from './backup.ts';
import { describeMachine, type Link } from './describe.ts';
import type { FakeHost, FakeMachine } from './host.ts';
import { restoreDriver } from './restore.ts';
import { guestFiles } from './guest-files.ts';
import { runDriver } from './run.ts';
import { type Wire, wireTo } from './wire.ts';

/*
 * The driver of the fake: like a real one, it knows of the host only what calls over the wire answer, and each answer
 * may be the last. Lists come in parts.
 */

export interface FakeOptions extends HypervisorOptions {
  readonly credentials?: string | undefined;
  /** What the host showed when it was added. */
  readonly identity?: string | undefined;
  readonly onCall?: OnCall | undefined;
}

/** As many machines come with one answer. */
const PAGE_LENGTH = 3;

export async function connectFake(host: FakeHost, options: FakeOptions): Promise<Hypervisor> {
  const raw = wireTo(() => host.isUp, options.onCall ?? (() => undefined));
  // The host asks with each call who calls, as one whose connections end and begin again does.
  const wire: Wire = {
    call(name, effect, signal) {
      const admitted = (): ReturnType<typeof effect> => {
        admit(host, options);
        return effect();
      };
      return raw.call(name, admitted, signal);
    },
  };
  const link: Link = { host, wire, options };
  await wire.call('log in', () => {});
  let isOpen = true;
  function open(): Link {
    if (isOpen) return link;
    throw new HypervisorError('FAILED', 'the connection to fake host "fake1" was closed here');
  }
  return {
    kind: 'libvirt',
    facts: { product: 'Fake 1.0', host: 'fake1' },
    machines: async (signal) => listMachines(open(), signal),
    describe: async (id, signal) => describeMachine(open(), id, signal),
    check: async (signal) => checkHost(open(), signal),
    backup: backupDriver(open),
    run: runDriver(open),
    restore: restoreDriver(open),
    guests: guestFiles(open),
    async [Symbol.asyncDispose]() {
      isOpen = false;
    },
  };
}

function admit(host: FakeHost, { identity = 'key 1', credentials = 'secret' }: FakeOptions): void {
  if (host.identity !== identity) {
    const message = `host "fake1" shows ${host.identity}, not ${identity}, which it had when it was added`;
    throw new HypervisorError('IDENTITY', message);
  }
  if (host.credentials !== credentials) {
    throw new HypervisorError('AUTH', 'fake host "fake1" does not accept these credentials');
  }
}

async function listMachines({ host, wire }: Link, signal: AbortSignal) {
  const all: MachineSummary[] = [];
  for (;;) {
    const part = await wire.call(
      'list machines',
      () => [...host.machines.values()].slice(all.length, all.length + PAGE_LENGTH).map(summaryOf),
      signal,
    );
    if (part.length === 0) break;
    all.push(...part);
  }
  return all.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function summaryOf({ id, name, power }: FakeMachine): MachineSummary {
  return { id, name, power };
}

async function checkHost({ host, wire }: Link, signal: AbortSignal): Promise<readonly Finding[]> {
  const { scratchCapacity, scratchUsed } = await wire.call(
    'read capacity',
    () => ({ ...host }),
    signal,
  );
  if (scratchUsed < scratchCapacity) return [];
  const message = `the scratch space of fake host "fake1" is full (${scratchCapacity} bytes)`;
  return [{ level: 'blocker', code: 'scratch-space', message, remedy: 'give it more space' }];
}
