import { run } from '../sys/process/run.ts';
import type { MessageRecord } from '../formats/store/service/alarm.ts';
import { SystemError } from '../sys/base/system-error.ts';
import { AlarmError } from './alarm-error.ts';
import { type Sender, SEND_TIMEOUT_MS } from './channel.ts';
import { noticeText } from './notice-text.ts';

export interface MailSettings {
  readonly to: readonly string[];
  readonly from: string;
  /** A program that accepts mail as sendmail(8) does: of postfix, exim, msmtp. */
  readonly sendmail: string;
}

/** sysexits.h: the message or an address is wrong, and will stay so. Other failures may be fixed in the meantime. */
const REFUSED: readonly (number | undefined)[] = [64, 65, 67];
const STDERR_MAX = 500;
const BASE64_LINE = 76;
/** RFC 2047 2: a word has up to 75 characters, 12 of which give its encoding; 4 characters for 3 bytes. */
const WORD_BYTES = 45;

export function mail({ to, from, sendmail }: MailSettings): Sender {
  return {
    async send(message, signal) {
      // -i: a line with only a dot is not the end. Addresses are arguments: none is taken from the mail's text.
      const args = ['-i', '-f', from, '--', ...to];
      const input = mailText({ to, from }, message);
      const end = await run(sendmail, args, { input, signal, timeoutMs: SEND_TIMEOUT_MS });
      if (end.code === 0) return;
      const how = `ended with ${end.code ?? end.signal}`;
      const words = end.stderr.trim().slice(0, STDERR_MAX);
      const reason = `${sendmail} ${how}${words === '' ? '' : `: ${words}`}`;
      if (REFUSED.includes(end.code)) throw new AlarmError('REFUSED', reason);
      throw new SystemError('FAILED', reason);
    },
  };
}

/** The mail by RFC 5322, with line ends as sendmail expects them. Texts from others cannot add a header. */
export function mailText(
  { to, from }: Pick<MailSettings, 'to' | 'from'>,
  { id, notice }: MessageRecord,
): string {
  const { subject, body } = noticeText(notice);
  const domain = from.split('@').at(-1);
  const encoded = Buffer.from(body).toString('base64');
  const lines = encoded.match(new RegExp(`.{1,${BASE64_LINE}}`, 'g')) ?? [];
  return [
    `From: ${from}`,
    `To: ${to.join(', ')}`,
    `Subject: ${headerWords(subject)}`,
    // The date of the alarm, not of this attempt.
    `Date: ${new Date(notice.time).toUTCString().replace('GMT', '+0000')}`,
    `Message-ID: <${id}@${domain}>`,
    // RFC 3834: prevents automatic replies, such as notices of absence.
    'Auto-Submitted: auto-generated',
    'MIME-Version: 1.0',
    'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: base64',
    '',
    ...lines,
    '',
  ].join('\n');
}

/** RFC 2047: encoded words, each of which is valid alone. */
function headerWords(text: string): string {
  if (/^[\x20-\x7e]*$/.test(text) && !text.includes('=?')) return text;
  const words: string[] = [];
  let word = '';
  for (const sign of text) {
    if (Buffer.byteLength(word + sign) > WORD_BYTES) {
      words.push(word);
      word = '';
    }
    word += sign;
  }
  return [...words, word]
    .map((it) => `=?utf-8?B?${Buffer.from(it).toString('base64')}?=`)
    .join('\n ');
}
