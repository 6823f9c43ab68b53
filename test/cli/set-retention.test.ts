import { deepEqual, equal, match } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { expectDone, holdfastIn, runCli } from '../support/cli.ts';
import { temporaryDirectory } from '../support/temporary.ts';

test('a backup without a service is followed by the rules of its set', async () => {
  const directory = temporaryDirectory();
  const { holdfast, store } = await holdfastIn(directory);
  const image = join(directory, 'vm.raw');
  writeFileSync(image, new Uint8Array(4096));
  const backUp = () =>
    expectDone(
      holdfast('backup', 'create', 'nightly', '--machine', 'vm', '--disk', `vda=${image}`),
    );
  const first = (await backUp()).result['point'];
  await expectDone(holdfast('set', 'change', 'nightly', '--keep-last', '2'));
  await backUp();
  const listed = async () => {
    const { result } = await expectDone(holdfast('backup', 'list'));
    return (result['points'] as { point: string }[]).map(({ point }) => point);
  };
  equal((await listed()).length, 2);
  await backUp();
  equal((await listed()).length, 2);
  equal((await listed()).includes(String(first)), false);

  const shown = await runCli(['set', 'show', 'nightly', '--store', store]);
  match(shown.stdout, /keeps +last 2; hours, days, weeks, months and years in UTC/);
  const dry = await runCli(['backup', 'retain', 'nightly', '--dry-run', '--store', store]);
  match(
    dry.stdout,
    /^keep last 2; .* in UTC\nstays .*last 2 of 2\nstays .*last 1 of 2\nvm: the oldest/,
  );
  const none = await runCli(['set', 'change', 'nightly', '--keep-all', '--store', store]);
  deepEqual(none.stdout, 'Set nightly keeps all backups\n');
});
