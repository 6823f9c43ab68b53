import { equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import { withoutSecrets } from '../../../src/engine/audit/redaction.ts';
import { formatRecoveryKey } from '../../../src/formats/store/catalog/key-slot.ts';
import { noise } from '../../support/random.ts';

const PASSPHRASE = 'correct "horse" battery';

test('a secret that is known by its value is nowhere, however it is written', async () => {
  const forms = [
    PASSPHRASE,
    JSON.stringify({ it: PASSPHRASE }),
    `https://x/?p=${encodeURIComponent(PASSPHRASE)}`,
    `Authorization ${Buffer.from(PASSPHRASE).toString('base64')}`,
    Buffer.from(PASSPHRASE).toString('hex'),
  ];
  for (const text of forms) {
    const clean = withoutSecrets(`before ${text} after`, [PASSPHRASE]);
    match(clean, /^before .*\(removed\).* after$/, text);
    ok(!clean.includes('horse') && !clean.includes('Y29ycmVjdCAi'), text);
  }
});

test('what looks like a secret is taken out, what only stands beside it stays', async () => {
  const key = formatRecoveryKey(noise(32, 1));
  const cases = [
    ['nbd://admin:s3cr3t@host:10809/vda', 'nbd://(removed)@host:10809/vda'],
    ['https://hooks.example.org/services/T0/B0/s3cr3t', 'https://hooks.example.org/(removed)'],
    ['see https://box:8443?token=s3cr3t.', 'see https://box:8443/(removed)'],
    ['{"password": "s3cr3t", "user": "ann"}', '{"password": "(removed)", "user": "ann"}'],
    ['mount -o username=ann,password=s3cr3t,ro', 'mount -o username=ann,password=(removed),ro'],
    ['Authorization: Bearer s3cr3t.x', 'Authorization: (removed) (removed)'],
    ['the token hft_Zm9v-s3cr3t_x is not valid', 'the token (removed) is not valid'],
    ['client:00112233445566778899aabbccddeeff', 'client:(removed)'],
    [`the key ${key} is shown once`, 'the key (removed) is shown once'],
    ['-----BEGIN PRIVATE KEY-----\ns3cr3t\n-----END PRIVATE KEY-----\nrest', '(removed)\nrest'],
    ['-----BEGIN EC PRIVATE KEY-----\ns3cr3t', '(removed)'],
  ] as const;
  for (const [text, clean] of cases) {
    const found = withoutSecrets(text, []);
    ok(!found.includes('s3cr3t') && !found.includes(key.slice(0, 14)), found);
    if (!text.startsWith('Authorization')) equal(found, clean);
  }
  for (const harmless of [
    '"passphraseFiles": {"nightly": "/etc/holdfast/nightly.passphrase"}',
    'web1-20260314T020000Z-53c1d4 of 5f0c8e5e-1c1b-4d6c-9a53-2f3c1b1c9d0e',
    'unix:/run/holdfast/sessions/web1-3f9c2a.sock',
    'a password is missing',
    `${'0'.repeat(64)} is a hash`,
  ]) {
    equal(withoutSecrets(harmless, ['abc']), harmless);
  }
});
