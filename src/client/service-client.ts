import { EVENTS_TYPE } from '../protocol/openapi.ts';
import type { FailureKind } from '../protocol/failure.ts';
import type { OperationName, RequestOf, ResultOf } from '../protocol/operations.ts';
import type { SentSecret } from '../protocol/requests.ts';
import type { Notice, Progress, Report } from '../protocol/results.ts';
import { postForLines } from '../sys/http-client.ts';
import { type HttpServerPlace, placeName } from '../sys/http-place.ts';
import { SystemError } from '../sys/system-error.ts';
import { ServiceFailure } from './service-failure.ts';

export interface AskOptions {
  readonly secret: SentSecret | undefined;
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
    };

/** Rejects ServiceFailure; UNREACHABLE where the service went away. */
export async function askService<N extends OperationName>(
  at: HttpServerPlace,
  name: N,
  request: RequestOf<N>,
  { secret, report, signal }: AskOptions,
): Promise<ResultOf<N>> {
  const body = JSON.stringify({ ...request, secret });
  const posted = { at, path: `/v1/${name}`, accept: EVENTS_TYPE, body, signal };
  try {
    for await (const text of postForLines(posted)) {
      const line = JSON.parse(text) as Line;
      if (line.event === 'result') return line.result as ResultOf<N>;
      if (line.event === 'error') {
        throw new ServiceFailure(line.kind, line.message, line.needsKeyOf);
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
