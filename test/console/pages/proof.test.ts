import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import { abilitiesOf, render } from '../../../src/console/terminal/render.ts';
import { view } from '../../../src/console/app/view.ts';
import { pictureLines } from '../../../src/console/widgets/picture.ts';
import type { ProofOutcome } from '../../../src/operations/base/proofs.ts';
import type { ResultOf } from '../../../src/operations/operations.ts';
import { driveUp, pointAt, TIME } from '../../support/console.ts';

const OUTCOME: ProofOutcome = {
  ...{ verdict: 'failed', state: 'panic', started: TIME, ageSeconds: 7200 * 2 },
  ...{ totalMs: 9000, release: '2026.11.0' },
};
const GOOD: ProofOutcome = {
  ...{ ...OUTCOME, verdict: 'proven', state: 'works', ageSeconds: 86_400 * 3 },
};

/** The upper half white, the lower one black. */
const PICTURE = {
  ...{ width: 40, height: 20 },
  rgb: Buffer.concat([Buffer.alloc(40 * 10 * 3, 255), Buffer.alloc(40 * 10 * 3)]).toString(
    'base64',
  ),
};
const SHOWN: ResultOf<'verify/show'> = {
  ...{ point: pointAt(0).point, set: 'nightly', machine: 'web0', earlier: [GOOD] },
  proof: {
    ...{ ...OUTCOME, reason: 'the kernel panicked', accelerator: 'tcg', preparedMs: 100 },
    ...{ bootMs: null, readBytes: 1024, writtenBytes: 0, without: [], hasScreenshot: true },
    checks: [{ kind: 'agent', what: '', outcome: 'failed', afterMs: 9000, detail: 'no answer' }],
    screenText: null,
  },
  ...{ screenshot: undefined, picture: PICTURE, serial: 'Kernel panic - not syncing\n\u001b[2J' },
};

function onPoints() {
  const driven = driveUp();
  while (driven.model().screen !== 'points') driven.type('\t');
  driven.tick(20_000);
  const points = [{ ...pointAt(0), proof: OUTCOME }, { ...pointAt(1), proof: GOOD }, pointAt(2)];
  driven.answer('backup/page', { points, damaged: [], total: 3, first: 0 });
  return driven;
}

test('the page of recovery points shows what is proven, has failed, and was not tried', async () => {
  const driven = onPoints();
  match(driven.text(), /web0 .*FAILED 4 h /);
  match(driven.text(), /web1 .*proven 3 d /);
  match(driven.text(), /web2 .*not tried /);
});

test('a proof is shown with its checks, its screen and its serial line, and with what to do', async () => {
  const driven = onPoints();
  driven.type('v');
  const [asked] = driven.asked.filter(({ call }) => call.name === 'verify/show');
  const point = `nightly/${pointAt(0).point}`;
  const request = { point, screenshot: false, picture: true, serial: true };
  deepEqual(asked!.call.request, request);
  driven.answer('verify/show', SHOWN);
  match(driven.text(), /FAILED 4 h ago: panic .*\(more below\)/);
  match(driven.text(), /found +panic: the kernel panicked/);
  match(driven.text(), /agent +FAILED after 9\.0 s: no answer/);
  match(driven.text(), /before +proven 3 days ago/);
  match(driven.text(), /Verify an older recovery point of web0/);
  driven.type('\u001b[F');
  match(driven.text(), /Screen:/);
  match(driven.text(), / #{40}$/m);
  match(driven.text(), /serial line:\n Kernel panic - not syncing\n \?\[2J/);
  driven.type('\u001b');
  equal(driven.model().dialog, undefined);
});

test('a recovery point that was not tried is booted, and one that was can be booted again', async () => {
  const driven = onPoints();
  driven.type('\u001b[B\u001b[Bv');
  match(driven.text(), new RegExp(`Verify nightly/${pointAt(2).point}`));
  driven.type('\u001b\u001b[A\u001b[Av');
  driven.answer('verify/show', SHOWN);
  driven.type('v');
  match(driven.text(), new RegExp(`Verify nightly/${pointAt(0).point}`));
});

test('terminals with colors and blocks get two pixels in each character, others a sign of brightness', async () => {
  const lines = pictureLines(PICTURE, 20);
  deepEqual([lines.length, lines[0]![0]!.text.length], [5, 20]);
  equal(lines[0]![0]!.text, '#'.repeat(20));
  equal(lines[4]![0]!.text, ' '.repeat(20));
  const size = { columns: 30, rows: 6 };
  const colored = render(undefined, lines, size, abilitiesOf('xterm-256color', 'C.UTF-8')).output;
  ok(colored.includes('\u001b[38;5;231;48;5;231m\u2580'));
  ok(colored.includes('\u001b[38;5;231;48;5;16m\u2580'), 'the row in the middle is half and half');
  const plain = render(undefined, lines, size, abilitiesOf('vt220')).output;
  // oxlint-disable-next-line eslint/no-control-regex -- the terminal's own sequences
  ok(/^[\u0020-\u007e\u001b]*$/.test(plain) && plain.includes('####'));
  deepEqual(pictureLines({ width: 3, height: 3, rgb: '' }, 20), []);
});

test('a screen that is too narrow for the picture shows all of it, smaller', async () => {
  const driven = onPoints();
  driven.type('v');
  driven.answer('verify/show', { ...SHOWN, picture: { ...PICTURE } });
  driven.send({ kind: 'resize', size: { columns: 30, rows: 60 } } as never);
  const widest = Math.max(
    ...view(driven.model()).map((it) => it.reduce((sum, { text }) => sum + text.length, 0)),
  );
  ok(widest <= 30, String(widest));
});
