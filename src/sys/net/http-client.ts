import { type IncomingMessage, request } from 'node:http';
import { request as requestOverTls } from 'node:https';
import { createInterface } from 'node:readline';
import { type HttpServerPlace, placeName } from './http-place.ts';
import { systemError } from '../base/system-error.ts';

/** After this, a silent server is probed every second (libuv), ten times. */
const PROBE_AFTER_MS = 20_000;

export interface Posted {
  readonly at: HttpServerPlace;
  readonly path: string;
  readonly accept: string;
  readonly body: string;
  /** Disconnects; the server then cancels the request. */
  readonly signal: AbortSignal;
}

/** The lines of the answer as they come. Rejects UNREACHABLE, NOT_FOUND (no such socket), DENIED. */
export async function* postForLines(posted: Posted): AsyncGenerator<string> {
  const { at, path, accept, body, signal } = posted;
  const headers = {
    accept,
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  };
  const common = { path, method: 'POST', agent: false } as const;
  const sent =
    typeof at === 'string'
      ? request({ ...common, socketPath: at, headers })
      : requestOverTls({
          ...common,
          ...{ host: at.host, port: at.port, minVersion: 'TLSv1.3' },
          ...(at.authority && { ca: Buffer.from(at.authority) }),
          headers: { ...headers, authorization: `Bearer ${at.token}` },
        });
  // Detects a server that vanished, even while a long answer is due.
  sent.setSocketKeepAlive(true, PROBE_AFTER_MS);
  const leave = (): void => void sent.destroy();
  signal.addEventListener('abort', leave, { once: true });
  if (signal.aborted) leave();
  try {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      sent.once('response', resolve);
      sent.once('error', reject);
      sent.end(body);
    });
    // Thrown below: the loop then ends without a last line.
    let failure: Error | undefined;
    answer.once('error', (cause) => (failure = cause));
    yield* createInterface({ input: answer, crlfDelay: Infinity });
    if (failure) throw failure;
  } catch (cause) {
    throw systemError(cause, `ask the service at ${placeName(at)}`);
  } finally {
    signal.removeEventListener('abort', leave);
    sent.destroy();
  }
}
