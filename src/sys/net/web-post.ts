import { request as overHttp } from 'node:http';
import { request as overHttps } from 'node:https';
import { SystemError, systemError } from '../base/system-error.ts';

export interface WebPost {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** Until the answer's first line is there. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Posts `body` and answers the status; redirections are not followed. Rejects UNREACHABLE and others. Nothing that it
 * says names more of the address than its host: what stands in the rest may be a secret.
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
    // What else the answer says is of no interest, and may be endless.
    sent.on('error', () => {});
    sent.destroy();
  }
}
