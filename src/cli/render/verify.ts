import { proofFacts } from '../../client/proof-facts.ts';
import { proofText } from '../../client/proof-text.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { CapacityFigure } from '../../operations/nouns/verify.ts';
import type { ResultOf } from '../../operations/operations.ts';
import { NotProven } from '../base/command-errors.ts';
import { fact, table } from '../base/output.ts';
import { capacityText } from './capacity-text.ts';
import type { Renders } from './render.ts';

export const render = {
  'verify/point': provedText,
  'verify/latest': {
    text: ({ points, notTried }) =>
      table(
        ['MACHINE', 'POINT', 'PROOF', 'FOUND'],
        [
          ...points.map(({ machine, point, verdict, state, reason }) => [
            ...[machine, point, verdict === 'proven' ? 'proven' : 'FAILED'],
            `${state}: ${reason}`,
          ]),
          ...notTried.map(({ machine, point, reason }) => [machine, point, 'NOT TRIED', reason]),
        ],
      ),
    failure({ points, notTried }) {
      const bad = points.filter(({ verdict }) => verdict === 'failed').length + notTried.length;
      if (bad === 0) return undefined;
      return new NotProven(`${bad} of ${points.length + notTried.length} are not proven`);
    },
  },
  'verify/measure': measuredText,
  'verify/capacity': ({ figure }) => (figure ? measuredText(figure) : capacityText(figure)),
} satisfies Renders;

export function provedText({ point, set, machine, proof }: ResultOf<'verify/point'>): string {
  return [
    fact('recovery point', point),
    fact('machine', `${machine} in set ${set}`),
    fact('proof', proofText(proof)),
    ...proofFacts(proof).map(([head, text]) => fact(head, text)),
  ].join('\n');
}

function measuredText(figure: CapacityFigure): string {
  const { steps, point, set, processors, accelerator } = figure;
  return [
    `${capacityText(figure)}.`,
    `Measured with ${set}/${point} on ${processors} processors, ${accelerator === 'kvm' ? 'KVM' : 'emulation'}.`,
    '',
    table(
      ['CLONES', 'UP', 'BOOT', 'READ P99', 'READ'],
      steps.map(({ clones, up, bootMs, readP99Us, readBytes }) => [
        ...[String(clones), String(up), `${(bootMs / 1000).toFixed(1)} s`],
        ...[`${(readP99Us / 1000).toFixed(1)} ms`, formatSize(readBytes)],
      ]),
    ),
  ].join('\n');
}
