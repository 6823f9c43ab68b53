import { EVENTS_TYPE } from '../operations/events-type.ts';
import type { FailureKind } from '../operations/base/failure.ts';
import type { Notice, Progress, Report } from '../operations/events.ts';
import type { OperationName, RequestOf, ResultOf } from '../operations/operations.ts';
import type { SentSecret } from '../operations/base/secret.ts';
import { postForLines } from '../sys/net/http-client.ts';
import { type HttpServerPlace, placeName } from '../sys/net/http-place.ts';
import { SystemError } from '../sys/base/system-error.ts';
import { OperationFailure } from '../operations/base/failure.ts';

export interface AskOptions {
  readonly secret: SentSecret | undefined;
  /** The passkey of a set. */
  readonly passkey?: string | undefined;
  readonly report: Report;
  readonly signal: AbortSignal;
}

type Line =
  | Progress
  | Notice
  | { readonly event: 'result'; readonly result: unknown }
  | {
      readonly event: 'error';
      readonly kind: FailureKind;
      readonly message: string;
      readonly needsKeyOf?: string;
      readonly needsPasskeyOf?: string;
    };

/** Rejects OperationFailure; UNREACHABLE where the service went away, or where something else answers. */
export async function askService<N extends OperationName>(
  at: HttpServerPlace,
  name: N,
  request: RequestOf<N>,
  { secret, passkey, report, signal }: AskOptions,
): Promise<ResultOf<N>> {
  const body = JSON.stringify({ ...request, secret, passkey });
  const posted = { at, path: `/v1/${name}`, accept: EVENTS_TYPE, body, signal };
  try {
    for await (const text of postForLines(posted)) {
      const line = lineIn(text, at);
      if (line.event === 'result') return line.result as ResultOf<N>;
      if (line.event === 'error') {
        throw new OperationFailure(line.kind, line.message, line);
      }
      report(line);
    }
  } catch (cause) {
    signal.throwIfAborted();
    throw cause;
  }
  signal.throwIfAborted();
  throw new SystemError(
    'UNREACHABLE',
    `the service at ${placeName(at)} ended before it had answered`,
  );
}

/** Any program at the given address may answer: a proxy answers in HTML. */
function lineIn(text: string, at: HttpServerPlace): Line {
  let line: Partial<Line> | null = null;
  try {
    line = JSON.parse(text) as Partial<Line> | null;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
  }
  if (typeof line?.event === 'string') return line as Line;
  const message = `${placeName(at)} is not the service of Holdfast: is the address right?`;
  throw new SystemError('UNREACHABLE', message);
}
