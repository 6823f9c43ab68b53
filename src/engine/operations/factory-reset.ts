import { SystemError } from '../../sys/base/system-error.ts';
import type { ResultOf } from '../../operations/operations.ts';
import type { ServiceFacts } from './context.ts';

type Result = ResultOf<'host/factory-reset'>;

/** The machine is as it was delivered; what the service has of its own is reset as well, and no token is valid. */
export async function factoryReset(
  machine: Result,
  { box, tokens }: Pick<ServiceFacts, 'box' | 'tokens'>,
): Promise<Result> {
  const own = await tokens().catch(onlySystem);
  const steps: (readonly [string, () => Promise<void>])[] = [
    // Where the service does not listen for other hosts, a token is of no use.
    ...(own instanceof SystemError ? [] : [['tokens', () => own.revokeAll()] as const]),
    ['memory of the box', () => box.reset()],
  ];
  const all = { reset: [...machine.reset], failed: [...machine.failed] };
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
