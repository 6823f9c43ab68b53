import type { ResultOf } from '../../operations/operations.ts';
import type { Renders } from './render.ts';

export const render = {
  'ssh/show': sshText,
  'ssh/on': sshText,
  'ssh/off': sshText,
} satisfies Renders;

export function sshText({ running, until, shellUntil, keys }: ResultOf<'ssh/show'>): string {
  const on = until === null ? 'on' : `on until ${until}`;
  return [
    `ssh    ${running ? on : 'off'}`,
    `shell  ${shellUntil === null ? 'not allowed' : `allowed until ${shellUntil}`}`,
    ...keys.map(
      ({ user, fingerprint, type, comment }) =>
        `key    ${user}  ${fingerprint}  ${type}  ${comment}`,
    ),
  ].join('\n');
}
