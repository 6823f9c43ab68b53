import { join } from 'node:path/posix';
import { type House, openHouse, type SecretSource } from '../control/house.ts';
import { type KeeperEvent, sessionKeeper, type SessionKeeper } from '../control/session-keeper.ts';
import type { Log } from './log.ts';

/** The service's one store, and what runs on it. */
export interface OwnedStore extends AsyncDisposable {
  readonly house: House;
  readonly sessions: SessionKeeper;
}

/** Held as long as the service has the store: whoever else runs a service on it is refused. */
const LOCK = 'service.lock';

/** Rejects NOT_A_STORE where there is none; BUSY, naming the service that has it. */
export async function ownStore(
  directory: string,
  { secrets, log }: { readonly secrets: SecretSource; readonly log: Log },
): Promise<OwnedStore> {
  await using stack = new AsyncDisposableStack();
  const house = stack.use(await openHouse(directory));
  stack.use(await house.world.files.lock(join(directory, LOCK), 'holdfastd'));
  const onEvent = (event: KeeperEvent): void => tell(log, event);
  const sessions = stack.use(sessionKeeper(house, { secrets, onEvent }));
  await sessions.resumeAll();
  const owned = stack.move();
  return { house, sessions, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function tell(log: Log, event: KeeperEvent): void {
  const { session } = event;
  switch (event.kind) {
    case 'started':
    case 'resumed':
    case 'stopped':
      return log('info', `session ${session} is ${event.kind}`);
    case 'waits':
      return log('warning', `session ${session} cannot be resumed yet: ${event.reason}`);
    case 'notice':
      return log('notice', `session ${session}: ${event.message}`);
  }
}
