import { flushCompileCache } from 'node:module';

/**
 * Starts this process again with the same ID and arguments, and with these additional flags of Node; returns if it
 * has them already. Code compiled so far is not compiled again, and the compiler that strips types, 40 MiB, leaves
 * the memory. Nothing may be open or under way.
 */
export function startAgainWith(flags: readonly string[]): void {
  const { execArgv, argv, execPath, env } = process;
  if (!process.execve || flags.every((flag) => execArgv.includes(flag))) return;
  flushCompileCache();
  process.execve(execPath, [execPath, ...execArgv, ...flags, ...argv.slice(1)], env);
}
