import type { ResultOf } from '../../operations/operations.ts';

export function hostText(it: ResultOf<'host/show'>): string {
  const clock = it.isSynchronized ? 'the clock follows a server' : 'the clock follows no server';
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
