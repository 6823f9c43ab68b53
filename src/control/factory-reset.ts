import { SystemError } from '../sys/system-error.ts';
import type { HostRequestOf, HostResultOf } from '../protocol/host-operations.ts';
import type { CallOptions, Desk } from './handlers.ts';

type Result = HostResultOf<'host/factory-reset'>;

/** The machine as it came, and nobody from other hosts is let in any more. */
export async function factoryReset(
  desk: Desk,
  request: HostRequestOf<'host/factory-reset'>,
  options: CallOptions,
): Promise<Result> {
  const { reset, failed } = await desk.host('host/factory-reset', request, options);
  const tokens = await desk.tokens().catch(onlySystem);
  // Where the service listens for no other hosts, nobody comes in by one.
  if (tokens instanceof SystemError) return { reset, failed };
  const problem = await tokens.revokeAll().catch(onlySystem);
  if (problem) return { reset, failed: [...failed, `tokens: ${problem.message}`] };
  return { reset: [...reset, 'tokens'], failed };
}

function onlySystem(cause: unknown): SystemError {
  if (cause instanceof SystemError) return cause;
  throw cause;
}
