import { type Fact, proofFacts } from '../../client/proof-facts.ts';
import { proofText } from '../../client/proof-text.ts';
import type { ResultOf } from '../../operations/operations.ts';
import type { FormDialog, ProofDialog } from '../state/dialog.ts';
import type { Model } from '../state/model.ts';
import type { Work } from '../state/service.ts';
import { type Line, line, wrapped } from '../terminal/screen.ts';
import { operationForm } from '../widgets/operation-form.ts';
import { type DialogKind, key } from '../widgets/page.ts';
import { pictureLines } from '../widgets/picture.ts';
import { BACK, scrolling, textRows } from '../widgets/scrolled.ts';
import { textWidth } from '../widgets/typed.ts';

/* The last proof of a recovery point: its checks, its screen in blocks, its serial line, and what to do. */

const HEAD_WIDTH = 16;

export function showProof(point: string): Work {
  const request = { point, screenshot: false, picture: true, serial: true };
  return { title: `proof of ${point}`, call: { name: 'verify/show', request } };
}

export function proofDialog(shown: ResultOf<'verify/show'>): ProofDialog {
  return { kind: 'proof', shown, top: 0 };
}

export const proofKind: DialogKind<ProofDialog> = {
  keys: (it) => [
    scrolling('scroll', textRows, (model, by) => {
      const last = linesOf(it, model).length - textRows(model);
      return { ...it, top: Math.max(0, Math.min(it.top + by, last)) };
    }),
    key(['v'], 'verify again', () => verifyForm(`${it.shown.set}/${it.shown.point}`)),
    BACK,
  ],
  body(it, model) {
    const { point, proof } = it.shown;
    const lines = linesOf(it, model);
    const shown = lines.slice(it.top, it.top + textRows(model));
    const more = lines.length > it.top + shown.length ? '  (more below)' : '';
    const style = proof.verdict === 'proven' ? 'good' : 'bad';
    return [line(` ${point}: ${proofText(proof)}${more}`, style), [], ...shown];
  },
};

function linesOf({ shown }: ProofDialog, model: Model): readonly Line[] {
  const { machine, set, proof, picture, serial = '', earlier } = shown;
  const width = textWidth(model);
  const facts: readonly Fact[] = [
    ['machine', `${machine} in set ${set}`],
    ...proofFacts(proof),
    ...earlier.map((it): Fact => ['before', `${proofText(it)} (${it.started})`]),
  ];
  const screen = picture ? pictureLines(picture, width) : [];
  const text = serial === '' ? [] : wrapped(serial, width);
  return [
    ...facts.flatMap((fact) => factLines(fact, width)),
    ...(proof.verdict === 'proven' ? [] : adviceLines(shown, width)),
    ...titled('Screen:', screen.map(indented)),
    ...titled(
      'End of the serial line:',
      text.map((it) => line(` ${it}`)),
    ),
  ];
}

function factLines([head, text]: Fact, width: number): readonly Line[] {
  const lines = wrapped(text, Math.max(1, width - HEAD_WIDTH));
  return lines.map((it, at) => line(` ${(at === 0 ? head : '').padEnd(HEAD_WIDTH)}${it}`));
}

function adviceLines({ machine }: ProofDialog['shown'], width: number): readonly Line[] {
  const advice =
    `Verify an older recovery point of ${machine} (v on the page Points) to find the last one that works. ` +
    'Recover from that one until the machine is repaired and backed up again.';
  return [[], ...wrapped(advice, width).map((it) => line(` ${it}`, 'warning'))];
}

function titled(title: string, lines: readonly Line[]): readonly Line[] {
  if (lines.length === 0) return [];
  return [[], line(` ${title}`, 'strong'), ...lines];
}

function indented(it: Line): Line {
  return [{ text: ' ', style: 'plain' }, ...it];
}

/** The form that boots a recovery point in isolation, with the checks that it has to pass. */
export function verifyForm(point: string): FormDialog {
  return operationForm('verify/point', {
    title: `Verify ${point}`,
    does: 'verify',
    asks: ['timeout', 'agent', 'text', 'port', 'http', 'screen'],
    given: { point },
    task: () => `verify ${point}`,
  });
}
