import type { Input } from '../base/command.ts';
import { UsageError } from '../base/command-errors.ts';

export const USER_OPTION = { user: { type: 'string' } } as const;
export const USER_DETAILS = ['--user USER   admin (the console; the default) or restore (SFTP)'];

export function keyUser(input: Input): 'admin' | 'restore' {
  const user = input.text('user') ?? 'admin';
  if (user === 'admin' || user === 'restore') return user;
  throw new UsageError(`--user admin or restore, not "${user}"`);
}
