import { BlockError } from '../../block/block-error.ts';
import { HypervisorError } from './hypervisor-error.ts';

/** The host's own word, of a disk that fails because its host is gone or full. */
export async function asHost<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    if (cause instanceof BlockError && cause.cause instanceof HypervisorError) {
      if (cause.code !== 'NO_SPACE') throw cause.cause;
      throw new HypervisorError('NO_SPACE', cause.message, { cause });
    }
    throw cause;
  }
}
