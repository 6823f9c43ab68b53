import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, createServer as createNetServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'tap';
import { mail, mailText } from '../../src/alarms/mail.ts';
import { webhook } from '../../src/alarms/webhook.ts';
import type { MessageRecord } from '../../src/formats/store/service/alarm.ts';
import { realWorld } from '../../src/sys/world.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const root = temporaryDirectory();
const world = realWorld();
const never = new AbortController().signal;

function message(words = 'the disk of the store is 96 % full'): MessageRecord {
  return {
    ...{ id: '20261121T120000000Z-0a0b0c0d', created: '2026-11-21T12:00:00.000Z', attempts: 0 },
    ...{ notBefore: undefined, reason: undefined },
    notice: {
      ...{ event: 'raised', host: 'box', alarm: 'pool-space', kind: 'pool-space' },
      ...{ level: 'critical', message: words, time: '2026-11-21T12:00:00.000Z' },
    },
  };
}

interface Heard {
  readonly request: IncomingMessage;
  readonly body: string;
}

async function hearing(status: number, headers: Record<string, string> = {}) {
  const heard: Heard[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (part: Buffer) => (body += part.toString()));
    request.on('end', () => {
      heard.push({ request, body });
      response.writeHead(status, headers).end('x'.repeat(100_000));
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    heard,
    url: `http://127.0.0.1:${port}/hooks/T0P-SECRET?key=S3CRET`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}

test('a webhook gets JSON, signed so that only this host could have sent it', async () => {
  await using server = await hearing(204);
  const secretFile = join(root, 'secret');
  writeFileSync(secretFile, 'a long key\nof one line\n');
  await webhook(world, { url: server.url, secretFile }).send(message(), never);
  const [{ request, body }] = server.heard as [Heard];
  equal(request.url, '/hooks/T0P-SECRET?key=S3CRET');
  const { text, ...told } = JSON.parse(body) as Record<string, string>;
  deepEqual(told, { id: message().id, ...message().notice });
  equal(text, 'Holdfast on box: critical: the disk of the store is 96 % full');
  const time = request.headers['x-holdfast-timestamp'] as string;
  ok(Math.abs(Number(time) - Date.now() / 1000) < 120);
  const hmac = createHmac('sha256', 'a long key').update(`${time}.${body}`).digest('hex');
  equal(request.headers['x-holdfast-signature'], `sha256=${hmac}`);
  await webhook(world, { url: server.url, secretFile: undefined }).send(message(), never);
  equal(server.heard[1]!.request.headers['x-holdfast-signature'], undefined);
});

test('what a webhook answers is told without its address, and redirections are not followed', async () => {
  await using other = await hearing(200);
  await using server = await hearing(302, { location: other.url });
  const failure = async (url: string): Promise<string> => {
    const sent = webhook(world, { url, secretFile: undefined }).send(message(), never);
    return sent.then(
      () => 'sent',
      (error: Error) => error.message,
    );
  };
  match(await failure(server.url), /^127\.0\.0\.1:\d+ answered 302$/);
  equal(other.heard.length, 0);
  const refusing = createNetServer();
  await once(refusing.listen(0, '127.0.0.1'), 'listening');
  const { port } = refusing.address() as AddressInfo;
  refusing.close();
  await once(refusing, 'close');
  const refused = await failure(`http://user:pass@127.0.0.1:${port}/T0P-SECRET`);
  match(refused, /^post to 127\.0\.0\.1:\d+: no program listens there \(ECONNREFUSED\)/);
  const unknown = await failure('http://nowhere.invalid/T0P-SECRET');
  match(unknown, /^post to nowhere\.invalid: /);
  for (const text of [refused, unknown]) ok(!/SECRET|pass/.test(text), text);
  const noSecret = webhook(world, { url: server.url, secretFile: join(root, 'nothing') });
  await rejects(noSecret.send(message(), never), { code: 'NOT_FOUND' });
});

/** A program that takes mail: notes what it got, and ends as it is told. */
function sendmail(
  code: number,
  words = '',
): { program: string; got: () => string; args: () => string } {
  const program = join(root, `sendmail-${code}`);
  const script = `#!/bin/sh
printf '%s\\n' "$@" >'${program}.args'
cat >'${program}.mail'
echo '${words}' >&2
exit ${code}
`;
  writeFileSync(program, script);
  chmodSync(program, 0o755);
  return {
    program,
    got: () => readFileSync(`${program}.mail`, 'utf8'),
    args: () => readFileSync(`${program}.args`, 'utf8'),
  };
}

const people = { to: ['ops@example.org', 'night@example.org'], from: 'holdfast@box.example.org' };

test('mail goes out through sendmail, with recipients as arguments', async () => {
  const { program, got, args } = sendmail(0);
  await mail({ ...people, sendmail: program }).send(message(), never);
  deepEqual(args().trim().split('\n'), ['-i', '-f', people.from, '--', ...people.to]);
  const [head, body] = got().split('\n\n') as [string, string];
  deepEqual(head.split('\n'), [
    'From: holdfast@box.example.org',
    'To: ops@example.org, night@example.org',
    'Subject: Holdfast on box: critical: the disk of the store is 96 % full',
    'Date: Sat, 21 Nov 2026 12:00:00 +0000',
    'Message-ID: <20261121T120000000Z-0a0b0c0d@box.example.org>',
    'Auto-Submitted: auto-generated',
    'MIME-Version: 1.0',
    'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: base64',
  ]);
  const text = Buffer.from(body, 'base64').toString('utf8');
  match(text, /^the disk of the store is 96 % full\n/);
  match(text, /holdfast alarm acknowledge pool-space/);
});

test('what others have named cannot add a header, an end or a recipient', async () => {
  const evil = 'job x\r\nBcc: evil@example.org\n\n.\nhello =?utf-8?B?YQ==?= Größe 日本語'.repeat(
    20,
  );
  const text = mailText(people, message(evil));
  const [head = '', ...rest] = text.split('\n\n');
  const headers = head.replaceAll('\n ', ' ').split('\n');
  equal(headers.length, 9);
  ok(!headers.some((line) => /^bcc/i.test(line)));
  for (const line of text.split('\n')) ok(line.length <= 90 && /^[\x20-\x7e]*$/.test(line), line);
  const subject = headers.find((line) => line.startsWith('Subject: '))!.slice(9);
  const words = subject.split(' ').map((word) => /^=\?utf-8\?B\?(.*)\?=$/.exec(word)![1]!);
  const decoded = words.map((word) => Buffer.from(word, 'base64').toString('utf8')).join('');
  match(decoded, /^Holdfast on box: critical: job x Bcc: evil@example\.org/);
  ok(!decoded.includes('\ufffd'), 'no letter is cut in two');
  equal(rest.length, 1);
  ok(Buffer.from(rest[0]!, 'base64').toString('utf8').startsWith(evil));
});

test('exit codes as sysexits(3) has them: some are for good, the rest may be better later', async () => {
  for (const [code, expected] of [
    [67, 'REFUSED'],
    [64, 'REFUSED'],
    [65, 'REFUSED'],
    [75, 'FAILED'],
    [69, 'FAILED'],
    [78, 'FAILED'],
    [1, 'FAILED'],
  ] as const) {
    const { program } = sendmail(code, 'msmtp: cannot connect to mail.example.org');
    const sent = mail({ ...people, sendmail: program }).send(message(), never);
    await rejects(sent, (error: Error & { code: string }) => {
      equal(error.code, expected);
      match(error.message, new RegExp(`ended with ${code}: msmtp: cannot connect`));
      return true;
    });
  }
  const nothing = join(root, 'nothing');
  ok(!existsSync(nothing));
  await rejects(mail({ ...people, sendmail: nothing }).send(message(), never), {
    code: 'NOT_FOUND',
  });
});
