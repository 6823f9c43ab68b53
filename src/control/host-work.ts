import { checkNetwork } from '../host/network-check.ts';
import { NETWORK_PLACES } from '../host/network-files.ts';
import { openNetwork } from '../host/network.ts';
import { type RunProgram, runProgram } from '../host/programs.ts';
import type {
  HostOperationName,
  HostRequestOf,
  HostResultOf,
} from '../protocol/host-operations.ts';
import type { World } from '../sys/world.ts';
import type { CallOptions, HostWork } from './handlers.ts';

/* Root's part of the work: in a small service of its own, or where root asks by hand. */

type HostHandlers = {
  readonly [N in HostOperationName]: (
    host: Host,
    request: HostRequestOf<N>,
    options: Omit<CallOptions, 'secrets'>,
  ) => Promise<HostResultOf<N>>;
};

interface Host extends World {
  readonly run: RunProgram;
}

const network = (host: Host) => openNetwork({ ...host, places: NETWORK_PLACES });

const HANDLERS: HostHandlers = {
  'network/show': (host) => network(host).show(),
  'network/change': (host, { seconds, ...wanted }) => network(host).change(wanted, seconds),
  'network/remove': (host, { name, seconds }) => network(host).remove(name, seconds),
  'network/confirm': (host) => network(host).confirm(),
  'network/revert': (host) => network(host).revert(),
  'network/reset': (host) => network(host).reset(),
  'network/test': async (host, { host: other }) => ({
    checks: await checkNetwork(host.run, await network(host).show(), other),
  }),
};

export function hostWork(world: World): HostWork {
  const host = { ...world, run: runProgram };
  return (name, request, options) => {
    // The compiler does not see that a name goes with its own request.
    const handler = HANDLERS[name] as (
      host: Host,
      request: unknown,
      options: Omit<CallOptions, 'secrets'>,
    ) => Promise<never>;
    return handler(host, request, options);
  };
}

/** What the timer, and the start of the machine, ask for. */
export async function revertNetwork(world: World, isBoot: boolean): Promise<void> {
  const it = network({ ...world, run: runProgram });
  if (isBoot) return it.revertFiles();
  await it.revert();
}
