import { table } from '../base/output.ts';
import type { Renders } from './render.ts';

export const render = {
  'set/list': {
    text: ({ sets }) =>
      table(
        ['SET', 'CREATED', 'ENCRYPTED', 'PASSKEY'],
        sets.map(({ set, created, encrypted, passkey }) => [
          ...[set, created],
          ...[encrypted ? 'yes' : 'no', passkey ? 'yes' : 'no'],
        ]),
      ),
    say: ({ sets, damaged }) => [
      ...sets.flatMap(({ problem }) => (problem === null ? [] : [`REFUSED ${problem}`])),
      ...damaged.map(({ reason }) => `DAMAGED ${reason}`),
    ],
  },
} satisfies Renders;
