import type { ResultOf } from '../../operations/operations.ts';
import type { Renders } from './render.ts';

export const render = {
  'host/show': hostText,
  'host/finish-set-up': hostText,
  'host/factory-reset': ({ reset, failed }) =>
    [`Reset: ${reset.join(', ')}.`, ...failed.map((it) => `Not reset: ${it}`)].join('\n'),
} satisfies Renders;

export function hostText(it: ResultOf<'host/show'>): string {
  const clock = it.isSynchronized
    ? 'the clock follows a server'
    : 'the clock does not follow a server';
  const password =
    it.hasPassword === null ? 'there is no account' : it.hasPassword ? 'set' : 'none: locked';
  return [
    `name       ${it.hostname}`,
    `system     ${it.system}, Linux ${it.kernel}`,
    `time zone  ${it.timezone}; ${clock}`,
    `servers    ${it.ntp.join(' ') || "Debian's own"}`,
    `keyboard   ${it.keyboard ?? 'not chosen'}`,
    `password   of the administrator: ${password}`,
  ].join('\n');
}
