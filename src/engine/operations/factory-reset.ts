import { SystemError } from '../../sys/base/system-error.ts';
import type { RequestOf, ResultOf } from '../../operations/operations.ts';
import type { CallOptions } from '../base/call.ts';
import type { Desk } from './context.ts';

type Result = ResultOf<'host/factory-reset'>;

/** The machine as it came, and nobody from other hosts is let in any more. */
export async function factoryReset(
  desk: Desk,
  request: RequestOf<'host/factory-reset'>,
  options: CallOptions,
): Promise<Result> {
  const { reset, failed } = await desk.host('host/factory-reset', request, options);
  const tokens = await desk.tokens().catch(onlySystem);
  const { box } = desk;
  const steps: (readonly [string, () => Promise<void>])[] = [
    // Where the service does not listen for other hosts, a token lets no client in.
    ...(tokens instanceof SystemError ? [] : [['tokens', () => tokens.revokeAll()] as const]),
    ...(box ? [['memory of the box', () => box.reset()] as const] : []),
  ];
  const all = { reset: [...reset], failed: [...failed] };
  for (const [what, act] of steps) {
    const problem = await act().catch(onlySystem);
    if (problem) all.failed.push(`${what}: ${problem.message}`);
    else all.reset.push(what);
  }
  return all;
}

function onlySystem(cause: unknown): SystemError {
  if (cause instanceof SystemError) return cause;
  throw cause;
}
