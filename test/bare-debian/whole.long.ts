import { equal } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'tap';

/** `.ci/bare-debian`: this machine cannot make one, and it has said why. */
const CANNOT = 77;

test('all tests pass in a bare Debian 12, with its own npm and Node', {
  timeout: 24 * 3600_000,
}, async (t) => {
  const child = spawn('bash', ['.ci/bare-debian', 'npm test'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let failures = '';
  let last = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = `${last}${text}`.split('\n');
    last = lines.pop()!;
    for (const line of lines) if (/^ *not ok /.test(line)) failures += `${line.trim()}\n`;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code === CANNOT) t.pass('it runs', { skip: 'no bare Debian can be made here' });
  else equal(code, 0, failures);
});
