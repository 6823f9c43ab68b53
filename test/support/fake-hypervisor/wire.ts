import { HypervisorError } from '../../../src/hypervisors/base/hypervisor-error.ts';
import type { OnCall } from '../../hypervisors/rig.ts';

/** The way to a host. Each call reaches it after a turn of the loop at the earliest, as one over a network does. */
export interface Wire {
  call<T>(name: string, effect: () => T, signal?: AbortSignal): Promise<T>;
}

export function wireTo(isUp: () => boolean, onCall: OnCall): Wire {
  let count = 0;
  let isCut = false;
  function unreachable(): HypervisorError {
    return new HypervisorError('UNREACHABLE', 'fake host "fake1" does not answer: is it on?');
  }
  return {
    async call(name, effect, signal) {
      signal?.throwIfAborted();
      if (isCut) throw unreachable();
      const mishap = await onCall(name, ++count);
      if (isCut || !isUp()) throw unreachable();
      if (mishap === 'cut-before' || mishap === 'cut-after') isCut = true;
      if (mishap === 'cut-before') throw unreachable();
      if (mishap !== undefined && mishap !== 'cut-after') {
        throw new HypervisorError(mishap, `fake host "fake1": ${name} failed with ${mishap}`);
      }
      const result = effect();
      if (mishap === 'cut-after') throw unreachable();
      signal?.throwIfAborted();
      return result;
    },
  };
}
