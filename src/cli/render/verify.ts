import { proofFacts } from '../../client/proof-facts.ts';
import { proofText } from '../../client/proof-text.ts';
import { fact } from '../base/output.ts';
import type { Renders } from './render.ts';

export const render = {
  'verify/point': ({ point, set, machine, proof }) =>
    [
      fact('recovery point', point),
      fact('machine', `${machine} in set ${set}`),
      fact('proof', proofText(proof)),
      ...proofFacts(proof).map(([head, text]) => fact(head, text)),
    ].join('\n'),
} satisfies Renders;
