import type { ServiceContext } from '../../src/engine/operations/context.ts';
import { serviceHandlers } from '../../src/engine/operations/service-handlers.ts';
import { type Handlers, handlersFor } from '../../src/engine/base/call.ts';
import { openPasskeys } from '../../src/engine/secrets/passkeys.ts';
import { systemClock } from '../../src/sys/base/clock.ts';
import { openBox } from '../../src/box/box.ts';
import { namesOf } from '../../src/operations/operations.ts';
import { realWorld } from '../../src/sys/world.ts';
import { temporaryDirectory } from './temporary.ts';

/** A service that has nothing: all that it is asked for ends as `none` does. Spread it, and give it something. */
export function emptyService(none: () => Promise<never>): ServiceContext {
  return {
    ...{ engine: none, sessions: none, jobs: none, throughput: none, audit: none, monitor: none },
    ...{ makeStore: none, show: none, keep: none, support: none, tokens: none, follow: none },
    box: openBox(realWorld(), { directory: temporaryDirectory(), credentials: undefined }),
    passkeys: openPasskeys(systemClock()),
    whyWaiting: () => undefined,
    overlay: () => undefined,
    machine: () => undefined,
    driven: () => undefined,
  };
}

/** All operations of a service of which workers and small services end as `none` does. */
export function handlersOn(service: ServiceContext, none: () => Promise<never>): Handlers {
  return serviceHandlers(service, {
    host: handlersFor(namesOf('hostd'), none),
    files: handlersFor(namesOf('filesd'), none),
    inWorker: handlersFor(namesOf('worker'), none),
    hypervisors: none,
    isSecret: () => true,
  });
}
