import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ending, type Run, timed } from './measure.ts';

const MAIN = new URL('../src/cli/main.ts', import.meta.url).pathname;

/** A store of ours with an encrypted set `bench`, driven as a user drives it. */
export interface Holdfast {
  readonly store: string;
  run(...args: string[]): Promise<Run>;
  /** The same without a store and its passphrase. */
  runBare(...args: string[]): Promise<Run>;
  /** What a query answers. */
  ask(...args: string[]): unknown;
  /** `recover`, once it is ready. */
  recover(point: string, ...more: string[]): Promise<Serving>;
  /** `mount`, once it is ready. */
  mount(at: string): Promise<ChildProcess>;
}

/** Disposing interrupts it. */
export interface Serving extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly uri: string;
  readonly session: string;
  readonly qemu: string;
  /** From the start of the command to its word that it is ready. */
  readonly readySeconds: number;
}

/** `tree`: the directory of the project to run; default: this one. */
export async function holdfastIn(directory: string, tree?: string): Promise<Holdfast> {
  const main = tree === undefined ? MAIN : join(tree, 'src/cli/main.ts');
  mkdirSync(directory, { recursive: true });
  const store = join(directory, 'store');
  const passphrase = join(directory, 'passphrase');
  writeFileSync(passphrase, 'bench\n');
  const common = ['--store', store, '--passphrase-file', passphrase, '--json'];
  const runBare = (...args: string[]) => timed([process.execPath, main, ...args]);
  const run = (...args: string[]) => runBare(...args, ...common);
  await run('store', 'create');
  await run('set', 'create', 'bench', '--encrypt');
  return {
    store,
    ...{ run, runBare },
    ask: (...args) =>
      JSON.parse(execFileSync(process.execPath, [main, ...args, ...common], { encoding: 'utf8' })),
    async recover(point, ...more) {
      const started = performance.now();
      const { child, event } = await ready([main, 'recover', point, ...more, ...common]);
      const [first] = event['exports'] as { uri: string }[];
      return {
        ...ending(child, 'SIGINT'),
        child,
        uri: first!.uri,
        session: event['session'] as string,
        qemu: event['qemu'] as string,
        readySeconds: (performance.now() - started) / 1000,
      };
    },
    mount: async (at) => (await ready([main, 'mount', at, ...common])).child,
  };
}

/** Starts a command that runs until it is stopped, and waits for its word that it is ready. */
async function ready(args: readonly string[]) {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface(child.stdout)) {
    const event = JSON.parse(line) as Record<string, unknown>;
    if (event['event'] !== 'ready') continue;
    child.stdout.resume();
    return { child, event };
  }
  throw new Error(`${args[1]} ended before it was ready`);
}
