import { table } from '../base/output.ts';
import { DamageFound } from '../base/command-errors.ts';
import type { Renders } from './render.ts';

export const render = {
  'audit/show': ({ entries }) =>
    table(
      ['TIME', 'WHO', 'FROM', 'WHAT', '', ''],
      entries.map(({ time, uid, pid, token, address, what, outcome, request, reason }) => [
        time,
        token === null ? `user ${uid ?? '-'}` : `token ${token}`,
        address ?? (pid === null ? '-' : `process ${pid}`),
        what,
        outcome,
        reason ?? (request === null ? '' : JSON.stringify(request)),
      ]),
    ),
  'audit/check': {
    text({ entries, first, hash }) {
      const from = first > 1 ? `, from number ${first} on` : '';
      return `${entries} entries${from}; the last hash is ${hash}`;
    },
    failure: ({ problem }) => (problem === null ? undefined : new DamageFound(problem)),
  },
} satisfies Renders;
