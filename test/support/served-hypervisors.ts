import { join } from 'node:path';
import { type Handlers, handlersFor } from '../../src/engine/base/call.ts';
import { openEngine } from '../../src/engine/base/engine.ts';
import type { Hypervisors } from '../../src/engine/hypervisors/hypervisors.ts';
import { storeHandlers } from '../../src/engine/operations/store-handlers.ts';
import { httpApi } from '../../src/engine/server/http-api.ts';
import { OPERATIONS, type OperationName } from '../../src/operations/operations.ts';
import { systemClock } from '../../src/sys/base/clock.ts';
import { SystemError } from '../../src/sys/base/system-error.ts';
import { serveHttp } from '../../src/sys/net/http-server.ts';
import { temporaryDirectory } from './temporary.ts';

/** A service in this process that knows these hypervisors, at a socket: the command line asks it as any other. */
export interface ServedHypervisors extends AsyncDisposable {
  readonly socket: string;
}

/** `store`: the directory of its store; `more`: what it does besides. */
export async function serveHypervisors(
  hypervisors: Hypervisors,
  store: string,
  more: Partial<Handlers> = {},
): Promise<ServedHypervisors> {
  const socket = join(temporaryDirectory(), 'control.sock');
  const none = async (): Promise<never> => {
    throw new SystemError('FAILED', 'this service has hypervisors only');
  };
  const own = storeHandlers({
    engine: () => openEngine(store),
    hypervisors: async () => hypervisors,
    isSecret: () => true,
    service: undefined,
  });
  const handlers: Handlers = {
    ...handlersFor(Object.keys(OPERATIONS) as OperationName[], none),
    ...own,
    ...more,
    'service/show': async () => ({
      ...{ pid: 1, started: '2026-11-30T02:00:00Z', store, storeId: null, space: null },
      ...{ sessions: { running: 0, waiting: 0 }, jobs: { running: 0, waiting: 0 } },
      host: { name: 'box', addresses: [] },
      alarms: { critical: 0, warning: 0, acknowledged: 0, untold: 0 },
      ...{ lockdown: null, notAdopted: [] },
    }),
  };
  const server = await serveHttp({
    at: { kind: 'unix', path: socket },
    knows: () => true,
    onRequest: httpApi({
      ...{ handlers, clock: systemClock(), version: '1', secrets: none, metrics: none },
      audited: async () => async () => {},
      checkAllowed() {},
      checkPasskey: undefined,
      access: () => 'change',
      onFault: (what, error) => {
        throw new Error(what, { cause: error });
      },
    }),
    onError: (error) => {
      throw error;
    },
  });
  return { socket, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}
