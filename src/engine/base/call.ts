import { assert } from '../../lib/assert.ts';
import type { OperationName, RequestOf, ResultOf } from '../../operations/operations.ts';
import type { GivenSecret, WorkOptions } from './engine.ts';
import type { UnixPeer } from '../../sys/net/unix-peer.ts';

export interface CallOptions extends WorkOptions {
  /** The secret that came with the request. */
  readonly given: GivenSecret | undefined;
  /** The process that asks; undefined: this process, or another host, which the audit log records. */
  readonly who: UnixPeer | undefined;
}

/** Carries out one operation. */
export type Handler<N extends OperationName> = (
  request: RequestOf<N>,
  options: CallOptions,
) => Promise<ResultOf<N>>;

/** Each process has those that it can carry out, or hands on: nothing else is there. */
export type Handlers<N extends OperationName = OperationName> = { readonly [K in N]: Handler<K> };

/** Handlers before they have what they work on. */
export type HandlersOn<Context, N extends OperationName> = {
  readonly [K in N]: (
    context: Context,
    request: RequestOf<K>,
    options: CallOptions,
  ) => Promise<ResultOf<K>>;
};

export function bound<Context, N extends OperationName>(
  context: Context,
  handlers: HandlersOn<Context, N>,
): Handlers<N> {
  const names = Object.keys(handlers) as N[];
  return handlersFor(names, (name, request, options) => handlers[name](context, request, options));
}

/** All operations of these names, carried out in one way. */
export function handlersFor<N extends OperationName>(
  names: readonly N[],
  run: <K extends N>(name: K, request: RequestOf<K>, options: CallOptions) => Promise<ResultOf<K>>,
): Handlers<N> {
  const own = names.map((name) => {
    const handler: Handler<typeof name> = (request, options) => run(name, request, options);
    return [name, handler];
  });
  return Object.fromEntries(own) as Handlers<N>;
}

/** One of those that are there. */
export function perform<N extends OperationName>(
  handlers: Partial<Handlers>,
  name: N,
  request: RequestOf<N>,
  options: CallOptions,
): Promise<ResultOf<N>> {
  const handler: Handler<N> | undefined = handlers[name];
  assert(handler, `${name} is carried out here`);
  return handler(request, options);
}
