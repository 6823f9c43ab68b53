import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';

const exec = promisify(execFile);
const LIMIT_MS = 300_000;

/** Runs a program of other people and answers what it printed; rejects unless it ends with 0. */
export async function program(command: string, ...args: string[]): Promise<string> {
  const { stdout } = await exec(command, args, { timeout: LIMIT_MS, maxBuffer: 2 ** 26 });
  return stdout;
}

/** A reason to skip, where a program is not installed; false: it is there. */
export function without(...commands: string[]): string | false {
  const missing = commands.filter((it) => spawnSync('which', [it]).status !== 0);
  return (
    missing.length > 0 && `${missing.join(', ')} not installed: sh appliance/set-up.sh --tests`
  );
}
