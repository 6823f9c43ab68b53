import { lockBegin, type TrustedTime, trustedTime } from '../../alarms/trusted-time.ts';
import type { Box } from '../../box/box.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { World } from '../../sys/world.ts';

interface Host {
  readonly store: World;
  readonly box: Pick<Box, 'directory' | 'prepare'>;
}

/** Undefined: it cannot be read, and no lock has ended. A box that cannot begin its record must not end one either. */
export async function knownTime({ store, box }: Host): Promise<TrustedTime | undefined> {
  try {
    await box.prepare();
    return await trustedTime(store, box.directory);
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    return undefined;
  }
}

/** Trusted time, since 1970, by which locks end; undefined: it is not known, and none has ended. */
export async function trustedNow(host: Host): Promise<number | undefined> {
  return (await knownTime(host))?.trustedMs;
}

/** When locks that are made now begin, since 1970. */
export async function lockBeginNow(host: Host): Promise<number> {
  return lockBegin(await knownTime(host), host.store.clock.now().getTime());
}
