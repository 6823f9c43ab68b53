import { resolve } from 'node:path/posix';
import { bareDesk } from '../../engine/operations/bare-context.ts';
import type { GivenSecret, House } from '../../engine/base/engine.ts';
import type { Report } from '../../operations/events.ts';
import type { Operation } from '../../operations/operation.ts';
import type { OperationName, RequestOf, ResultOf } from '../../operations/operations.ts';
import { realFileSystem } from '../../sys/files/real-file-system.ts';
import { type HttpServerPlace, placeName } from '../../sys/net/http-place.ts';
import { isSuperuser } from '../../sys/process/run.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { realWorld } from '../../sys/world.ts';
import { sentSecret } from '../../client/sent-secret.ts';
import { ServiceFailure } from '../../client/service-failure.ts';
import { SERVICE_SOCKET } from '../../client/service-socket.ts';
import {
  findSecret,
  isSecretGiven,
  newSecret,
  type SecretOptions,
  secretSource,
} from './secrets.ts';
import type { HostWork } from '../../engine/base/call.ts';
import type { Desk } from '../../engine/operations/context.ts';
import { UsageError } from './command-errors.ts';

/*
 * Where a command is carried out: by the service that has the store, or, where none runs, in this process. The
 * answers are the same.
 */
export interface CallSettings {
  /** What the command line or HOLDFAST_SOCKET names: that service or none. */
  readonly named: HttpServerPlace | undefined;
  readonly store: string | undefined;
  readonly house: () => Promise<House>;
  readonly secrets: SecretOptions;
  readonly report: Report;
  readonly signal: AbortSignal;
}

export interface CallOptions {
  /** `never`: without a key at hand it is done as far as it goes. `new`: it becomes a set's passphrase. */
  readonly ask?: 'if needed' | 'never' | 'new';
}

export interface Calls {
  call<N extends OperationName>(
    name: N,
    request: RequestOf<N>,
    options?: CallOptions,
  ): Promise<ResultOf<N>>;
  /** As `call`, until another signal than Ctrl-C's. */
  callOn(signal: AbortSignal): Calls['call'];
  /** The service that carries out commands; undefined: this process does. */
  service(): Promise<HttpServerPlace | undefined>;
  /** The store that the service has; undefined: none answers. */
  servedStore(): Promise<string | undefined>;
  /** A path as whoever carries it out finds it. */
  path(given: string): Promise<string>;
}

interface Found {
  readonly at: HttpServerPlace;
  readonly store: string;
}

interface Asked {
  readonly ask: NonNullable<CallOptions['ask']>;
  readonly signal: AbortSignal;
}

export function openCalls(settings: CallSettings): Calls {
  const { secrets, report } = settings;
  let found: Promise<Found | undefined> | undefined;
  /** Once; but what one signal ended is no answer for another. */
  async function find(signal = settings.signal): Promise<Found | undefined> {
    found ??= findService(settings, signal);
    try {
      return await found;
    } catch (cause) {
      found = undefined;
      throw cause;
    }
  }
  const service = async () => (await find())?.at;

  async function remote<N extends OperationName>(
    at: HttpServerPlace,
    name: N,
    request: RequestOf<N>,
    { ask, signal }: Asked,
  ): Promise<ResultOf<N>> {
    const { askService } = await import('../../client/service-client.ts');
    const given: GivenSecret | undefined =
      ask === 'new'
        ? newSecret(secrets)
        : isSecretGiven(secrets) && (await takesKey(name))
          ? findSecret('', secrets)
          : undefined;
    try {
      return await askService(at, name, request, {
        secret: given && sentSecret(given),
        report,
        signal,
      });
    } catch (cause) {
      if (!(cause instanceof ServiceFailure) || cause.needsKeyOf === undefined) throw cause;
      const secret = sentSecret(findSecret(cause.needsKeyOf, secrets));
      return askService(at, name, request, { secret, report, signal });
    }
  }
  async function here<N extends OperationName>(
    name: N,
    request: RequestOf<N>,
    { ask, signal }: Asked,
  ): Promise<ResultOf<N>> {
    const { handle } = await import('../../engine/operations/handlers.ts');
    const { noSecrets } = await import('../../engine/base/engine.ts');
    const mayAsk = ask !== 'never' || isSecretGiven(secrets);
    return handle(name, deskOf(settings), request, {
      given: ask === 'new' ? newSecret(secrets) : undefined,
      who: undefined,
      secrets: mayAsk ? secretSource(secrets) : noSecrets,
      report,
      signal,
    });
  }
  function callOn(signal: AbortSignal): Calls['call'] {
    return async (name, request, { ask = 'if needed' } = {}) => {
      const at = (await find(signal))?.at;
      const asked = { ask, signal };
      return at === undefined ? here(name, request, asked) : remote(at, name, request, asked);
    };
  }
  return {
    service,
    servedStore: async () => (await find())?.store,
    call: callOn(settings.signal),
    callOn,
    async path(given) {
      const isUri = /^[\w+]+:\/\//.test(given);
      // Another host finds it from its own root.
      return isUri || typeof (await service()) !== 'string' ? given : resolve(given);
    },
  };
}

/** All operations are loaded for this, which takes longer than to ask: only where a secret was given at all. */
async function takesKey(name: OperationName): Promise<boolean> {
  const { OPERATIONS } = await import('../../operations/operations.ts');
  const { key }: Operation = OPERATIONS[name];
  return key !== undefined;
}

/** A service is asked if it is the one that was named, or if it has the store that was named, or any. */
async function findService(
  { named, store }: CallSettings,
  signal: AbortSignal,
): Promise<Found | undefined> {
  // One that this user may not even see is not for this user.
  const standard = realFileSystem()
    .stat(SERVICE_SOCKET)
    .catch(() => undefined);
  if (named === undefined && !(await standard)) return undefined;
  const { askService } = await import('../../client/service-client.ts');
  const at = typeof named === 'object' ? named : resolve(named ?? SERVICE_SOCKET);
  const where = placeName(at);
  const options = { secret: undefined, report: () => {}, signal };
  try {
    const shown = await askService(at, 'service/show', {}, options);
    if (store === undefined || resolve(store) === shown.store) {
      return { at, store: shown.store };
    }
  } catch (cause) {
    // A service that was not named and does not answer is none.
    if (named === undefined && cause instanceof SystemError) return undefined;
    if (named === undefined && store !== undefined) return undefined;
    if (!(cause instanceof SystemError)) throw cause;
    const message =
      typeof at === 'string' ? silentService(where) : unreachable(where, cause.message);
    throw new SystemError('UNREACHABLE', message, { cause });
  }
  if (named === undefined) return undefined;
  throw new UsageError(`the service at ${where} has another store than ${store}`);
}

/** For root, also where no service runs: a machine that nobody can reach is mended by hand. */
const hostHere: HostWork = async (name, request, options) => {
  if (!isSuperuser()) {
    throw new SystemError(
      'DENIED',
      'no service answers, and without one only root sets up the machine',
    );
  }
  const { hostWork } = await import('../../engine/host/host-work.ts');
  return hostWork(realWorld())(name, request, options);
};

function deskOf({ house }: CallSettings): Desk {
  return { ...bareDesk('UNREACHABLE', silentService(SERVICE_SOCKET)), house, host: hostHere };
}

function unreachable(where: string, why: string): string {
  return `no service answers at ${where}: ${why}`;
}

function silentService(socket: string): string {
  return unreachable(socket, 'start it ("systemctl start holdfastd")');
}

/** As appliance/install leaves it: a command that names no store uses that of the service. */
const UNIT = '/usr/lib/systemd/system/holdfastd.service';

/** Neither a store nor a service was named, and no service answers. */
export async function noStoreNamed(): Promise<Error> {
  const isInstalled = (await realFileSystem().stat(UNIT)) !== undefined;
  if (!isInstalled) return new UsageError('which store? Give --store DIR, or set HOLDFAST_STORE');
  return new SystemError('UNREACHABLE', silentService(SERVICE_SOCKET));
}
