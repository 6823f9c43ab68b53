import { request as overHttp } from 'node:http';
import { request as overHttps } from 'node:https';
import { SystemError, systemError } from '../base/system-error.ts';

export interface WebPost {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** The time until the answer's first line has arrived. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Posts `body` and returns the status; redirections are not followed. Rejects UNREACHABLE and others. Error messages
 * name only the host of the address: the rest may hold a secret.
 */
export async function postToWeb({
  url,
  headers,
  body,
  timeoutMs,
  signal,
}: WebPost): Promise<number> {
  const { host, protocol } = new URL(url);
  const timeout = AbortSignal.timeout(timeoutMs);
  const send = protocol === 'https:' ? overHttps : overHttp;
  const sent = send(url, {
    ...{ method: 'POST', agent: false, signal: AbortSignal.any([signal, timeout]) },
    headers: { ...headers, 'content-length': body.length },
  });
  try {
    return await new Promise((resolve, reject) => {
      sent.once('response', ({ statusCode }) => resolve(statusCode ?? 0));
      sent.once('error', reject);
      sent.end(body);
    });
  } catch (cause) {
    if (timeout.aborted) {
      throw new SystemError('UNREACHABLE', `${host} does not answer within ${timeoutMs / 1000} s`);
    }
    throw systemError(cause, `post to ${host}`);
  } finally {
    // The rest of the answer is not needed, and may be endless.
    sent.on('error', () => {});
    sent.destroy();
  }
}
