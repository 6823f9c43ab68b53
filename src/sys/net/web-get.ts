import { request as overHttp } from 'node:http';
import { request as overHttps } from 'node:https';
import { SystemError, systemError } from '../base/system-error.ts';

export interface WebGet {
  readonly protocol: 'http' | 'https';
  /** On this host. */
  readonly port: number;
  readonly path: string;
  /** The time until the answer's first line has arrived. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Asks a server that is reached through a port of this host, whatever certificate it shows, and returns the status.
 * Rejects UNREACHABLE and others.
 */
export async function statusOfWeb(asked: WebGet): Promise<number> {
  const { protocol, port, path, timeoutMs, signal } = asked;
  const timeout = AbortSignal.timeout(timeoutMs);
  const send = protocol === 'https' ? overHttps : overHttp;
  const sent = send({
    ...{ host: '127.0.0.1', port, path, agent: false, rejectUnauthorized: false },
    signal: AbortSignal.any([signal, timeout]),
  });
  try {
    return await new Promise((resolve, reject) => {
      sent.once('response', ({ statusCode }) => resolve(statusCode ?? 0));
      sent.once('error', reject);
      sent.end();
    });
  } catch (cause) {
    if (timeout.aborted) {
      throw new SystemError('UNREACHABLE', `there is no answer within ${timeoutMs / 1000} s`);
    }
    throw systemError(cause, `ask ${path}`);
  } finally {
    // The rest of the answer is not needed, and may be endless.
    sent.on('error', () => {});
    sent.destroy();
  }
}
