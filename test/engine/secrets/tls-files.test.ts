import { equal, match, rejects } from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { readTlsFiles } from '../../../src/engine/secrets/tls-files.ts';
import { systemClock } from '../../../src/sys/base/clock.ts';
import { realFileSystem } from '../../../src/sys/files/real-file-system.ts';
import { selfSigned } from '../../support/certificates.ts';
import { without } from '../../support/programs.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

// F12
test('TLS files that no client could be served with are refused by name, before any client connects', {
  skip: without('openssl'),
}, async () => {
  const directory = temporaryDirectory();
  const [certificate, key] = [
    join(directory, 'server-cert.pem'),
    join(directory, 'server-key.pem'),
  ];
  const other = join(directory, 'other-key.pem');
  const sound = join(directory, 'sound.pem');
  await selfSigned({ certificate: sound, key: other }, 'other');
  await selfSigned({ certificate, key }, 'holdfast', 'IP:127.0.0.1');
  const now = systemClock().now().getTime();
  const problems: string[] = [];
  const read = (laterDays = 0) => {
    const clock = { ...systemClock(), now: () => new Date(now + laterDays * 86_400_000) };
    const world = { files: realFileSystem(), clock };
    return readTlsFiles(world, { kind: 'x509', directory }, (it) => void problems.push(it));
  };
  equal((await read()).kind, 'x509');
  equal(problems.length, 0);
  await read(30);
  match(problems[0]!, /server-cert\.pem expired on \d{4}-\d\d-\d\d/);
  await read(-30);
  match(problems[1]!, /server-cert\.pem is valid from .* is the clock right/);

  writeFileSync(join(directory, 'ca-cert.pem'), 'junk');
  await rejects(read(), { code: 'FAILED', message: /ca-cert\.pem is not a certificate/ });
  copyFileSync(sound, join(directory, 'ca-cert.pem'));
  await read();
  copyFileSync(other, key);
  await rejects(read(), {
    code: 'FAILED',
    message: /server-key\.pem is not the key of .*cert\.pem/,
  });
  writeFileSync(key, '');
  await rejects(read(), { code: 'FAILED', message: /server-key\.pem is not a private key/ });
  writeFileSync(certificate, 'junk');
  await rejects(read(), { code: 'FAILED', message: /server-cert\.pem is not a certificate/ });
});
