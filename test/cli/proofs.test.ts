import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { keepProof } from '../../src/catalog/proofs.ts';
import { openEngine, openPoint } from '../../src/engine/base/engine.ts';
import type { ProofResult } from '../../src/formats/store/catalog/proof-result.ts';
import { expectDone, holdfastIn, runCli } from '../support/cli.ts';
import { FAILED_PROOF, PROOF } from '../support/proof-result.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const root = temporaryDirectory();
const { holdfast, backUp, store, passphrase } = await holdfastIn(root);
const image = join(root, 'disk.raw');
writeFileSync(image, Buffer.alloc(4096, 1));
for (const machine of ['web1', 'web2', 'web3']) await expectDone(backUp(machine, [`vda=${image}`]));
const human = (...words: string[]) => runCli([...words, '--store', store]);
const opening = (...words: string[]) => human(...words, '--passphrase-file', passphrase);

async function keep(machine: string, result: ProofResult): Promise<void> {
  await using engine = await openEngine(store);
  const { set, point } = await openPoint(engine, `${machine}@latest`, async () => ({
    ...{ kind: 'passphrase', passphrase: Buffer.from('correct horse') },
  }));
  await keepProof(engine.store, set, point, result, '2026.11.0');
}

const DAYS_3 = 3 * 86_400_000;
const started = new Date(Date.now() - DAYS_3).toISOString();
await keep('web1', { ...FAILED_PROOF, started });
await keep('web1', { ...PROOF, started, serial: 'boot\n\u001b[2Jlogin: ' });
await keep('web2', { ...FAILED_PROOF, started: new Date().toISOString() });

test('without a key, a list says of each recovery point whether it is proven, and since when', async () => {
  const { stdout } = await expectDone(human('backup', 'list'));
  match(stdout, /^web1.* proven 3 days ago$/m);
  match(stdout, /^web2.* FAILED 0 min ago: panic$/m);
  match(stdout, /^web3.* not tried$/m);
  const { result } = await expectDone(human('backup', 'list', '--json'));
  const proofs = (result['points'] as Record<string, unknown>[]).map((it) => it['proof']);
  const { ageSeconds, ...proof } = proofs[0] as Record<string, unknown>;
  ok((ageSeconds as number) >= DAYS_3 / 1000);
  deepEqual(proof, {
    ...{ verdict: 'proven', state: 'works', started },
    ...{ totalMs: PROOF.timings.totalMs, release: '2026.11.0' },
  });
  equal(proofs[2], undefined);
});

test('a recovery point shows its last proof with the checks, and a proof shows those before it', async () => {
  const point = await expectDone(opening('backup', 'show', 'web1@latest'));
  match(point.stdout, /^proof {11}proven 3 days ago$/m);
  match(point.stdout, /^found {11}works: the guest is up: its agent answers$/m);
  match(point.stdout, /^port {12}FAILED after 9\.0 s, 22: refused$/m);
  match(
    (await expectDone(opening('backup', 'show', 'web3@latest'))).stdout,
    /^proof {11}not tried$/m,
  );
  const shown = await expectDone(opening('verify', 'show', 'web1@latest'));
  match(shown.stdout, /^screenshot {6}kept: --screenshot FILE writes it$/m);
  match(shown.stdout, /^before {10}FAILED 3 days ago: panic/m);
  const refused = await opening('verify', 'show', 'web3@latest');
  equal(refused.code, 5);
  match(refused.stderr, /was not tried: "holdfast verify web3-\S+" boots it in isolation/);
});

test('the screenshot and the serial line come out as they were seen', async () => {
  const file = join(root, 'web1.png');
  await expectDone(opening('verify', 'show', 'web1@latest', '--screenshot', file));
  equal(readFileSync(file).subarray(1, 4).toString(), 'PNG');
  const { stdout } = await expectDone(opening('verify', 'show', 'web1@latest', '--serial'));
  equal(stdout, 'boot\n\u001b[2Jlogin: ', 'as it is, where it is not shown by a terminal');
  const none = join(root, 'web2.png');
  const refused = await opening('verify', 'show', 'web2@latest', '--screenshot', none);
  match(refused.stderr, /has no screenshot/);
  ok(!existsSync(none));
});

test('a check finds a damaged proof, and the recovery point is still shown', async () => {
  const { result } = await expectDone(holdfast('backup', 'show', 'web2@latest'));
  const path = join(store, `sets/nightly/proofs/${String(result['point'])}.1.evidence`);
  writeFileSync(path, readFileSync(path).fill(1, 100, 110));
  const checked = await holdfast('store', 'check');
  const { problems } = checked.lines.find((line) => 'problems' in line) as never as {
    readonly problems: readonly { readonly where: string }[];
  };
  deepEqual(
    problems.map(({ where }) => where),
    [path.replace('.1.evidence', '.proof')],
  );
  equal((await expectDone(holdfast('backup', 'show', 'web2@latest'))).result['proof'], undefined);
});
