import { createHmac } from 'node:crypto';
import { utf8 } from '../lib/bytes.ts';
import { SystemError } from '../sys/base/system-error.ts';
import { postToWeb } from '../sys/net/web-post.ts';
import type { World } from '../sys/world.ts';
import { type Sender, SEND_TIMEOUT_MS } from './channel.ts';
import { noticeText } from './notice-text.ts';

export interface WebhookSettings {
  readonly url: string;
  /** File whose first line is the key that signs; undefined: nothing is signed. */
  readonly secretFile: string | undefined;
}

const SECRET_LENGTH_MAX = 4096;

/**
 * Posts JSON. With a secret, `x-holdfast-signature` is `sha256=` and the HMAC, in hexadecimal, of
 * `x-holdfast-timestamp` (seconds since 1970), a dot, and the body: checking both proves the sender, and that the
 * message is not an old one.
 */
export function webhook({ files, clock }: World, { url, secretFile }: WebhookSettings): Sender {
  async function secret(): Promise<string | undefined> {
    if (secretFile === undefined) return undefined;
    const bytes = await files.readFile(secretFile, SECRET_LENGTH_MAX);
    const [line = ''] = Buffer.from(bytes).toString('utf8').split(/\r?\n/);
    if (line === '') throw new SystemError('FAILED', `${secretFile}: the first line is empty`);
    return line;
  }
  return {
    async send({ id, notice }, signal) {
      const key = await secret();
      // Chat services show `text`.
      const body = JSON.stringify({ id, ...notice, text: noticeText(notice).subject });
      const timestamp = String(Math.floor(clock.now().getTime() / 1000));
      const signed = key !== undefined && {
        'x-holdfast-timestamp': timestamp,
        'x-holdfast-signature': `sha256=${createHmac('sha256', key).update(`${timestamp}.${body}`).digest('hex')}`,
      };
      const status = await postToWeb({
        ...{ url, body: utf8(body), timeoutMs: SEND_TIMEOUT_MS, signal },
        headers: { 'content-type': 'application/json', 'user-agent': 'Holdfast', ...signed },
      });
      if (status >= 200 && status < 300) return;
      throw new SystemError('FAILED', `${new URL(url).host} answered ${status}`);
    },
  };
}
