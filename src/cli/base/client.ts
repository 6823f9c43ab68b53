import { resolve } from 'node:path/posix';
import type { GivenSecret, Engine } from '../../engine/base/engine.ts';
import type { Report } from '../../operations/events.ts';
import type {
  HostOperationName,
  OperationName,
  RequestOf,
  ResultOf,
  StoreOperationName,
} from '../../operations/operations.ts';
import { realFileSystem } from '../../sys/files/real-file-system.ts';
import { type HttpServerPlace, placeName } from '../../sys/net/http-place.ts';
import { isSuperuser } from '../../sys/process/run.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { realWorld } from '../../sys/world.ts';
import { sentSecret } from '../../client/sent-secret.ts';
import { OperationFailure } from '../../operations/base/failure.ts';
import { SERVICE_SOCKET } from '../../client/service-socket.ts';
import { needsPasskey, type Operation } from '../../operations/base/operation.ts';
import { withPasskey } from './passkey.ts';
import {
  findPasskey,
  findSecret,
  givenPasskey,
  isSecretGiven,
  newSecret,
  type SecretOptions,
  secretSource,
} from './secrets.ts';
import type { Handler, Handlers } from '../../engine/base/call.ts';
import { UsageError } from './command-errors.ts';

/*
 * Decides where a command is carried out: by the service that holds the store or, where none runs, in this process.
 * The results are the same.
 */
export interface CallSettings {
  /** The service that the command line or HOLDFAST_SOCKET names: that one or none. */
  readonly named: HttpServerPlace | undefined;
  readonly store: string | undefined;
  readonly engine: () => Promise<Engine>;
  readonly secrets: SecretOptions;
  readonly report: Report;
  readonly signal: AbortSignal;
}

export interface CallOptions {
  /** `never`: without a key the operation does as much as it can. `new`: the secret becomes a set's passphrase. */
  readonly ask?: 'if needed' | 'never' | 'new' | 'new passkey';
  /** The secret of the set, if the command has asked for it already. */
  readonly given?: GivenSecret;
}

export interface Calls {
  call<N extends OperationName>(
    name: N,
    request: RequestOf<N>,
    options?: CallOptions,
  ): Promise<ResultOf<N>>;
  /** As `call`, but with another signal than Ctrl-C's. */
  callOn(signal: AbortSignal): Calls['call'];
  /** The service that carries out commands; undefined: this process does it. */
  service(): Promise<HttpServerPlace | undefined>;
  /** The store of the service; undefined: no service answers. */
  servedStore(): Promise<string | undefined>;
  /** A path as the process that carries the command out finds it. */
  path(given: string): Promise<string>;
}

interface Found {
  readonly at: HttpServerPlace;
  readonly store: string;
}

interface Asked extends Pick<CallOptions, 'given'> {
  readonly ask: NonNullable<CallOptions['ask']>;
  readonly signal: AbortSignal;
}

export function openCalls(settings: CallSettings): Calls {
  const { secrets, report } = settings;
  let found: Promise<Found | undefined> | undefined;
  /** Finds the service once; a search that one signal aborted does not count for another. */
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
    { ask, signal, given: known }: Asked,
  ): Promise<ResultOf<N>> {
    const { askService } = await import('../../client/service-client.ts');
    const { key, passkey: asked = 'not asked' } = await declaredOnce(name);
    const given: GivenSecret | undefined =
      ask === 'new' || ask === 'new passkey'
        ? newSecret(secrets, ask)
        : !known && isSecretGiven(secrets) && key !== undefined
          ? findSecret('', secrets)
          : known;
    let secret = given && sentSecret(given);
    let passkey = asked === 'not asked' ? undefined : givenPasskey(secrets);
    for (;;) {
      try {
        return await askService(at, name, request, { secret, passkey, report, signal });
      } catch (cause) {
        if (!(cause instanceof OperationFailure)) throw cause;
        const { needsKeyOf, needsPasskeyOf } = cause;
        // Each is asked for once: a wrong one is an answer.
        if (needsPasskeyOf !== undefined && passkey === undefined) {
          passkey = findPasskey(needsPasskeyOf, secrets);
        } else if (needsKeyOf !== undefined && secret === undefined) {
          secret = sentSecret(findSecret(needsKeyOf, secrets));
        } else throw cause;
      }
    }
  }
  const local = localHandlers(settings);
  async function here<N extends OperationName>(
    name: N,
    request: RequestOf<N>,
    { ask, signal, given: known }: Asked,
  ): Promise<ResultOf<N>> {
    const handler = await local(name);
    const { noSecrets } = await import('../../engine/base/engine.ts');
    const mayAsk = ask !== 'never' || isSecretGiven(secrets);
    const found = mayAsk ? secretSource(secrets) : noSecrets;
    const source = known ? async () => known : found;
    const isAsked = needsPasskey(await declaredOnce(name), request);
    return handler(request, {
      given: ask === 'new' ? newSecret(secrets, ask) : undefined,
      who: undefined,
      secrets: isAsked
        ? withPasskey(source, { engine: settings.engine, options: secrets, signal })
        : source,
      report,
      signal,
    });
  }
  function callOn(signal: AbortSignal): Calls['call'] {
    return async (name, request, { ask = 'if needed', given } = {}) => {
      const at = (await find(signal))?.at;
      const asked = { ask, signal, ...(given && { given }) };
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
      // Another host resolves it from its own root.
      return isUri || typeof (await service()) !== 'string' ? given : resolve(given);
    },
  };
}

async function declaredOnce(name: OperationName): Promise<Operation> {
  const { declared } = await import('./declared.ts');
  return declared(name);
}

/** Uses a service if it is the named one, or holds the named store, or if no store was named. */
async function findService(
  { named, store }: CallSettings,
  signal: AbortSignal,
): Promise<Found | undefined> {
  // A service that this user may not even see is not meant for this user.
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
    // A service that was not named and does not answer counts as absent.
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

/** What a command line does itself where no service runs: what needs a store, and, for root, the machine. */
function localHandlers({ engine }: CallSettings) {
  const silent = () => new SystemError('UNREACHABLE', silentService(SERVICE_SOCKET));
  // Each is loaded where it is needed, for a quick start.
  let store: Promise<Handlers<StoreOperationName>> | undefined;
  let machine: Promise<Handlers<HostOperationName>> | undefined;
  async function openStoreHandlers() {
    const { storeHandlers } = await import('../../engine/operations/store-handlers.ts');
    const { retainingBackups } = await import('../../engine/operations/retaining-backups.ts');
    const handlers = storeHandlers({
      engine,
      async hypervisors() {
        const own = await import('../../engine/hypervisors/own-hypervisors.ts');
        return own.ownHypervisors();
      },
      // This process reads with the rights of its user.
      isSecret: () => false,
      service: undefined,
    });
    return { ...handlers, ...retainingBackups(handlers, engine) };
  }
  /** A machine that can be reached in no other way is mended by hand. */
  async function openHostHandlers() {
    const { hostHandlers } = await import('../../engine/host/host-work.ts');
    return hostHandlers(realWorld());
  }
  return async <N extends OperationName>(name: N): Promise<Handler<N>> => {
    const inStore: Partial<Handlers> = await (store ??= openStoreHandlers());
    const handler: Handler<N> | undefined = inStore[name];
    if (handler) return handler;
    const onMachine: Partial<Handlers> = await (machine ??= openHostHandlers());
    const own: Handler<N> | undefined = onMachine[name];
    if (!own) throw silent();
    if (isSuperuser()) return own;
    const what = 'no service answers, and without one only root sets up the host';
    throw new SystemError('DENIED', what);
  };
}

function unreachable(where: string, why: string): string {
  return `no service answers at ${where}: ${why}`;
}

function silentService(socket: string): string {
  return unreachable(socket, 'start it ("systemctl start holdfastd")');
}

/** Installed by appliance/install: a command that names no store uses the service's store. */
const UNIT = '/usr/lib/systemd/system/holdfastd.service';

/** The error if neither a store nor a service was named, and no service answers. */
export async function noStoreNamed(): Promise<Error> {
  const isInstalled = (await realFileSystem().stat(UNIT)) !== undefined;
  if (!isInstalled) return new UsageError('which store? Give --store DIR, or set HOLDFAST_STORE');
  return new SystemError('UNREACHABLE', silentService(SERVICE_SOCKET));
}
