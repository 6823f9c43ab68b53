import { jsonText } from '../../lib/json-text.ts';
import { asError } from '../../lib/as-error.ts';
import { type JsonObject, type Of, parse, SchemaError } from '../../lib/schema.ts';
import type { FailureKind } from '../../operations/base/failure.ts';
import { EVENTS_TYPE } from '../../operations/events-type.ts';
import { asksPasskey, mayAskPasskey } from '../../operations/asked-passkey.ts';
import { hostFilesIn } from '../../operations/base/host-files.ts';
import type { Operation } from '../../operations/base/operation.ts';
import type { Report } from '../../operations/events.ts';
import { OPERATIONS, type OperationName, type RequestOf } from '../../operations/operations.ts';
import { givenSecret, passkeyText } from '../../operations/base/secret.ts';
import type { Clock } from '../../sys/base/clock.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import type { HttpRequest } from '../../sys/net/http-server.ts';
import type { UnixPeer } from '../../sys/net/unix-peer.ts';
import type { Caller } from '../base/caller.ts';
import type { AskedPasskey } from '../secrets/passkeys.ts';
import type { Audit, AuditEnd } from '../audit/audit.ts';
import { breaksInvariant, firstFailure, kindOfFailure } from '../base/failures.ts';
import { CatalogError } from '../../catalog/catalog-error.ts';
import { METRICS_TYPE } from '../operations/metrics.ts';
import type { GivenSecret, SecretSource } from '../base/engine.ts';
import { asSeenHere, refuseHiddenTargets } from '../base/service-view.ts';
import { type Handlers, perform } from '../base/call.ts';
import type { Access } from '../base/access.ts';

/*
 * The API of the service: the kernel identifies the client, the request is checked against the protocol's table, and
 * only then does any other code see it. Secrets come in bodies and go only to the handler.
 *
 * A bug in one request is an answer and a line in the log, because guests run in the same process; only a broken
 * invariant ends the process, because from then on data in memory, also for guests, may be wrong.
 */
export interface HttpApiOptions {
  /** What is done here; nothing else is there. */
  readonly handlers: Partial<Handlers>;
  /** The text for Prometheus; default: there is none. */
  readonly metrics?: () => Promise<string>;
  readonly clock: Clock;
  readonly version: string;
  /** The service's own secrets; used if none came with a request. */
  readonly secrets: SecretSource;
  /**
   * Checks the passkey of a set before its key is used; see `Passkeys.check`. Undefined: the service that asks has done
   * it.
   */
  readonly checkPasskey: ((set: string, asked: AskedPasskey) => Promise<void>) | undefined;
  readonly access: (peer: UnixPeer) => Access | undefined;
  /** Throws if the operation is not allowed now, for any client. */
  readonly checkAllowed: (name: OperationName, request: object) => void;
  /** Records that a change begins; the returned function records how it ended. */
  readonly audited: (
    ...[who, name, request]: [Caller, OperationName, JsonObject]
  ) => ReturnType<Audit['begin']>;
  /** Called for a bug of our own in an operation. */
  readonly onFault: (what: string, error: Error) => void;
}

const STATUS = {
  failed: 500,
  usage: 400,
  'in-use': 409,
  'wrong-key': 403,
  'not-found': 404,
  corrupt: 500,
  'no-space': 507,
  denied: 403,
  unreachable: 502,
  'not-proven': 500,
  interrupted: 503,
} as const satisfies Record<FailureKind, number>;

const JSON_TYPE = 'application/json';
const PREFIX = '/v1/';
/** The path for Prometheus. */
const METRICS = '/metrics';
/** Progress is sent as often as people can perceive it. */
const PROGRESS_MS = 100;

export function httpApi(options: HttpApiOptions): (http: HttpRequest) => Promise<void> {
  return async (http) => {
    const { peer } = http;
    const access = peer && options.access(peer);
    if (!access) return refuse(http, 403, 'only root and the groups holdfast and holdfast-view');
    await admit(http, options, { who: peer, access, mayNameFiles: true });
  };
}

/** An authenticated client, and its access. */
export interface Admitted {
  readonly who: Caller;
  readonly access: Access;
  /** Whether a request may name files of this machine, which the service reads and writes. */
  readonly mayNameFiles: boolean;
}

/** Answers a request of an authenticated client. */
export async function admit(
  http: HttpRequest,
  options: Omit<HttpApiOptions, 'access'>,
  admitted: Admitted,
): Promise<void> {
  const { method, path } = http;
  const { who, access } = admitted;
  if (path === `${PREFIX}openapi.json`) {
    const { openApi } = await import('../../operations/openapi.ts');
    return answer(http, 200, openApi(options.version));
  }
  if (path === METRICS && options.metrics) {
    return answerMetrics(http, { ...options, metrics: options.metrics });
  }
  const name = path.startsWith(PREFIX) ? path.slice(PREFIX.length) : '';
  if (!isOperation(name) || !options.handlers[name]) {
    return refuse(http, 404, 'there is no such operation');
  }
  const { access: needed, remote }: Operation = OPERATIONS[name];
  if (method !== 'POST' && !(method === 'GET' && needed === 'view')) {
    return refuse(http, 405, `${name} needs POST`);
  }
  if ('token' in who && remote) {
    const here = 'is for root and the group holdfast, at the host itself';
    return refuse(http, 403, `${name} ${here}: ${remote.denied}`);
  }
  if (needed === 'change' && access !== 'change') {
    return refuse(http, 403, `${name} is for ${thoseWhoMayChange(who)}`);
  }
  await answerCall(http, name, { ...options, ...admitted });
}

function thoseWhoMayChange(who: Caller): string {
  return 'token' in who ? 'tokens that may manage' : 'root and the group holdfast';
}

/** Throws DENIED. */
function checkGuarded(name: OperationName, request: object, { who, access }: Admitted): void {
  if (access === 'change') return;
  const { guarded = [] }: Operation = OPERATIONS[name];
  const field = guarded.find((it) => (request as JsonObject)[it]);
  if (field === undefined) return;
  const message = `"${field}" of ${name} is for ${thoseWhoMayChange(who)}`;
  throw new SystemError('DENIED', message);
}

function isOperation(name: string): name is OperationName {
  return Object.hasOwn(OPERATIONS, name);
}

/** Refuses a request. An unread body ends the connection. */
export function refuse(http: HttpRequest, status: number, message: string): void {
  const kind = status === 401 || status === 403 ? 'denied' : 'usage';
  answer(http, status, { event: 'error', kind, message }, true);
}

function answer(http: HttpRequest, status: number, value: object, close = false): void {
  const line = `${jsonText(value)}\n`;
  http.begin(status, JSON_TYPE, close);
  http.send(line);
  http.end();
}

interface Told {
  readonly kind: FailureKind;
  readonly message: string;
}

/**
 * The failure as the client sees it. Bugs of our own are only logged: the client may not be allowed to read the log.
 */
function toldOf(error: unknown, what: string, onFault: HttpApiOptions['onFault']): Told {
  const cause = asError(firstFailure(error));
  const kind = kindOfFailure(cause);
  if (kind !== undefined) return { kind, message: cause.message };
  onFault(what, cause);
  return { kind: 'failed', message: 'internal error: the log of the service says more' };
}

async function answerMetrics(
  http: HttpRequest,
  { metrics, onFault }: Required<Pick<HttpApiOptions, 'metrics' | 'onFault'>>,
): Promise<void> {
  try {
    const text = await metrics();
    http.begin(200, METRICS_TYPE);
    http.send(text);
    http.end();
  } catch (error) {
    const told = toldOf(error, 'metrics', onFault);
    answer(http, STATUS[told.kind], { event: 'error', ...told });
    if (breaksInvariant(error)) throw error;
  }
}

async function answerCall(
  http: HttpRequest,
  name: OperationName,
  options: Omit<HttpApiOptions, 'access'> & Admitted,
): Promise<void> {
  const { handlers, clock, audited, checkAllowed, onFault, who, mayNameFiles } = options;
  const isStream = http.accept.includes(EVENTS_TYPE);
  const line = (value: object): void => http.send(`${jsonText(value)}\n`);
  const needs: Needs = {};
  let ended: AuditEnd = async () => {};
  let asked: object | undefined;
  if (isStream) http.begin(200, EVENTS_TYPE);
  try {
    const { request, given, passkey } = parsedBody(name, await http.body());
    if (!mayNameFiles) checkNoFiles(name, request);
    checkGuarded(name, request, options);
    if (OPERATIONS[name].access === 'change')
      ended = await audited(who, name, withoutHidden(name, request));
    // After the try was recorded.
    checkAllowed(name, request);
    // Not before: a client without access must learn nothing about the files that a request names.
    asked = request;
    await refuseHiddenTargets(name, request);
    const result = await perform(handlers, name, request, {
      ...{ given, who: 'token' in who ? undefined : who },
      signal: http.signal,
      report: isStream ? paced(clock, line) : () => {},
      secrets: secretsOf({ name, request, given, passkey, signal: http.signal, needs }, options),
    });
    await ended('done');
    if (!isStream) return answer(http, 200, result);
    line({ event: 'result', result });
    http.end();
  } catch (error) {
    const failed = toldOf(error, name, onFault);
    const message = asked ? await asSeenHere(failed, name, asked) : failed.message;
    const told = { ...failed, message };
    await ended('failed', told.message);
    const failure = { event: 'error', ...told, ...(told.kind === 'wrong-key' && needs) };
    if (isStream) {
      line(failure);
      http.end();
    } else answer(http, STATUS[told.kind], failure, true);
    if (breaksInvariant(error)) throw error;
  }
}

/** What the client has to add to its request. */
interface Needs {
  needsKeyOf?: string | undefined;
  needsPasskeyOf?: string | undefined;
}

interface Body<N extends OperationName> {
  readonly request: RequestOf<N>;
  readonly given: GivenSecret | undefined;
  readonly passkey: string | undefined;
}

/**
 * The keys of a request: the one that came with it, else the service's own. All that opens a set asks here, in each
 * process; so this is also where a person's request has to have the set's passkey.
 */
function secretsOf(
  {
    name,
    request,
    given,
    passkey,
    signal,
    needs,
  }: Body<OperationName> & {
    readonly name: OperationName;
    readonly signal: AbortSignal;
    readonly needs: Needs;
  },
  { secrets, checkPasskey, who }: Pick<HttpApiOptions, 'secrets' | 'checkPasskey'> & Admitted,
): SecretSource {
  // Not the address or the process: both are easily changed.
  const by = 'token' in who ? `token ${who.token}` : `user ${who.uid}`;
  const check = asksPasskey(name, request) ? checkPasskey : undefined;
  const passed = new Map<string, Promise<void>>();
  return async (set, when) => {
    if (check) {
      needs.needsPasskeyOf = passkey === undefined ? set : undefined;
      const checked = passed.get(set) ?? check(set, { passkey, by, signal });
      passed.set(set, checked);
      await checked;
      needs.needsPasskeyOf = undefined;
    }
    if (given) return given;
    needs.needsKeyOf = set;
    if ((OPERATIONS[name] as Operation).keyOf === 'a person') {
      const what = `${name} needs the passphrase or the recovery key of set "${set}"`;
      throw new CatalogError('WRONG_KEY', `${what}: the one that the service has does not count`);
    }
    const own = await secrets(set, when);
    needs.needsKeyOf = undefined;
    return own;
  };
}

function parsedBody<N extends OperationName>(name: N, body: Uint8Array): Body<N> {
  const operation: Operation = OPERATIONS[name];
  const value = body.length === 0 ? {} : parsedJson(body);
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  const { secret, passkey, ...request } = isObject ? (value as Record<string, unknown>) : {};
  if (!isObject) throw new SchemaError([], 'a request is an object');
  if (secret !== undefined && operation.key === undefined) {
    throw new SchemaError(['secret'], `${name} takes no secret`);
  }
  if (passkey !== undefined && !mayAskPasskey(name)) {
    throw new SchemaError(['passkey'], `${name} takes no passkey`);
  }
  return {
    passkey: passkey === undefined ? undefined : parse(passkeyText, passkey, ['passkey']),
    request: parse(operation.request, request) as RequestOf<N>,
    given: secret === undefined ? undefined : readGiven(parse(givenSecret, secret, ['secret'])),
  };
}

/**
 * A client that may name files of this machine is equivalent to the service's user, who may read nearly all of them.
 */
function checkNoFiles(name: OperationName, request: unknown): void {
  const [file] = hostFilesIn(OPERATIONS[name].request, request);
  if (file === undefined) return;
  throw new SystemError(
    'DENIED',
    `"${file}" is a file of the service's machine: only a token of "token create --files" may name one`,
  );
}

/** Deeper than any real request; a megabyte of brackets would block the process for a tenth of a second. */
const DEPTH_MAX = 32;

function isTooDeep(body: Uint8Array): boolean {
  const [quote, backslash, openList, openObject, closeList, closeObject] = Buffer.from('"\\[{]}');
  let depth = 0;
  let isText = false;
  for (let at = 0; at < body.length; at++) {
    const sign = body[at];
    if (isText) {
      if (sign === backslash) at++;
      else if (sign === quote) isText = false;
    } else if (sign === quote) isText = true;
    else if (sign === openList || sign === openObject) {
      if (++depth > DEPTH_MAX) return true;
    } else if (sign === closeList || sign === closeObject) depth--;
  }
  return false;
}

function parsedJson(body: Uint8Array): unknown {
  if (isTooDeep(body)) throw new SchemaError([], `a request is at most ${DEPTH_MAX} levels deep`);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    // The message of JSON.parse quotes its input, which may be a secret.
    throw new SchemaError([], 'the body is not JSON');
  }
}

function readGiven(secret: Of<typeof givenSecret>): GivenSecret {
  return secret.kind === 'passphrase'
    ? { kind: secret.kind, passphrase: Buffer.from(secret.base64, 'base64') }
    : secret;
}

/** Passes on the first and last report of each phase, and some between. */
function paced(clock: Clock, line: (event: object) => void): Report {
  let last = { phase: '', at: 0 };
  return (event) => {
    if (event.event === 'progress') {
      const { phase, position, total } = event;
      const at = clock.monotonicMs();
      if (phase === last.phase && at - last.at < PROGRESS_MS && position < total) return;
      last = { phase, at };
    }
    line(event);
  };
}

function withoutHidden(name: OperationName, request: object): JsonObject {
  const { hidden = [] }: Operation = OPERATIONS[name];
  return Object.fromEntries(Object.entries(request).filter(([field]) => !hidden.includes(field)));
}
