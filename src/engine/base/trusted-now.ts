import { type TrustedTime, trustedTime } from '../../alarms/trusted-time.ts';
import type { Box } from '../../box/box.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { World } from '../../sys/world.ts';

interface Host {
  readonly store: World;
  readonly box: Pick<Box, 'directory' | 'prepare'>;
}

/** Undefined: it is not known, and no lock has ended. A box whose files cannot be written must not end one either. */
export async function knownTime({ store, box }: Host): Promise<TrustedTime | undefined> {
  try {
    await box.prepare();
    return await trustedTime(store, box.directory);
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    return undefined;
  }
}

/** Trusted time, since 1970, by which locks end. */
export async function trustedNow(host: Host): Promise<number | undefined> {
  return (await knownTime(host))?.trustedMs;
}
