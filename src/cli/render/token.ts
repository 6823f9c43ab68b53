import type { ResultOf } from '../../operations/operations.ts';
import { table } from '../base/output.ts';
import type { Renders } from './render.ts';

export const render = {
  'token/create': {
    text: ({ secret }) => secret,
    say({ token, expires }) {
      const until = expires === null ? 'until it is revoked' : `until ${expires}`;
      return [`Token "${token}" is valid ${until}. It is not shown again.`];
    },
  },
  'token/list': ({ tokens }) =>
    table(
      ['TOKEN', 'MAY', 'FILES', 'CREATED', 'EXPIRES'],
      tokens.map(({ token, may, files, created, expires, expired }) => [
        token,
        may,
        files ? 'yes' : 'no',
        created,
        expired ? `${expires} (over)` : (expires ?? 'never'),
      ]),
    ),
  'lockdown/show': lockdownText,
  'lockdown/on': lockdownText,
  'lockdown/off': lockdownText,
} satisfies Renders;

function lockdownText({ on, since, uid, persons, approvals }: ResultOf<'lockdown/show'>): string {
  if (!on) return 'the lockdown is off';
  const begun = `the lockdown is on since ${since}, by user ${uid}`;
  if (persons === 1) return begun;
  const agreed = approvals.map((it) => `user ${it.uid} approved at ${it.time}`);
  return [begun, `${persons} users must approve its end`, ...agreed].join('\n');
}
