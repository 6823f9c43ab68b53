import { deepEqual, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import { answerPage, driveUp, refusal, TIME } from '../../support/console.ts';

const READY = {
  event: 'ready',
  session: 'web-1a2b3c',
  point: 'p',
  qemu: '-drive x',
  libvirt: '<disk/>',
  exports: [],
} as const;

test('a passkey is asked for, then the passphrase that is missing too; both are seen nowhere', async () => {
  const driven = driveUp();
  driven.type('2');
  answerPage(driven, 100);
  driven.type('\r\r');
  const missing = { kind: 'wrong-key', message: 'a passkey', needsKeyOf: undefined } as const;
  driven.fail('session/start', { ...missing, needsPasskeyOf: 'nightly' });
  match(driven.text(), /set "nightly" has a passkey/);
  driven.type('open sesame');
  match(driven.text(), /> \*{11}_/);
  driven.type('\r');
  const asked = () => driven.asked.find(({ call }) => call.name === 'session/start')!;
  deepEqual([asked().passkey, asked().secret], ['open sesame', undefined]);
  driven.fail('session/start', refusal('the service has no passphrase', 'nightly'));
  match(driven.text(), /set "nightly" is encrypted/);
  driven.type('correct horse\r');
  const base64 = Buffer.from('correct horse').toString('base64');
  deepEqual([asked().passkey, asked().secret], ['open sesame', { kind: 'passphrase', base64 }]);
  driven.answer('session/start', READY);
  for (const it of ['open sesame', base64]) ok(!JSON.stringify(driven.model()).includes(it));
});

test('a new passkey is typed twice', async () => {
  const driven = driveUp();
  driven.type('4');
  const set = {
    set: 'nightly',
    created: TIME,
    encrypted: true,
    passkey: false,
    lockDays: 0,
    problem: null,
    retention: null,
    retentionProblem: null,
  };
  driven.answer('set/list', { sets: [set], damaged: [] });
  match(driven.text(), /ENCRYPTED +PASSKEY +KEEPS.*yes +no +all/s);
  driven.type('popen sesame\ropen sesame\r');
  const { call, secret } = driven.asked.find((it) => it.call.name === 'set/passkey')!;
  deepEqual(call.request, { set: 'nightly' });
  const base64 = Buffer.from('open sesame').toString('base64');
  deepEqual(secret, { kind: 'passphrase', base64 });
});
