import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expectDone, type Holdfast, runCli, startCli } from './cli.ts';
import { rememberApart } from './box-state.ts';
import { PATIENCE_MS, until } from './until.ts';

rememberApart();

const MAIN = new URL('../../src/daemon/main.ts', import.meta.url).pathname;

/** The service as a process of its own. */
export interface RunningService extends AsyncDisposable {
  readonly pid: number;
  readonly ended: Promise<number | null>;
  /** What it has logged. */
  log(): string;
  /** Resolves once it has logged something that matches. */
  logged(what: RegExp): Promise<void>;
  signal(signal: NodeJS.Signals): void;
  stop(signal: NodeJS.Signals): Promise<number | null>;
}

export interface ServiceHome {
  readonly store: string;
  readonly socket: string;
  readonly settings: string;
  readonly passphrase: string;
  readonly holdfast: Holdfast;
  /** A command that runs until it is stopped, such as `recover`. */
  readonly attached: (...args: string[]) => ReturnType<typeof startCli>;
  configure(more: object): void;
  /** Resolves when it is ready. */
  run(options?: StartOptions): Promise<RunningService>;
}

/** Settings, a passphrase and a place for a store, for a service that is not running yet. */
export function serviceHome(directory: string): ServiceHome {
  const store = join(directory, 'store');
  const socket = join(directory, 'control.sock');
  const settings = join(directory, 'holdfastd.json');
  const passphrase = join(directory, 'passphrase');
  writeFileSync(passphrase, 'correct horse\n');
  const common = ['--socket', socket, '--json'];
  const configure = (more: object): void =>
    writeFileSync(settings, JSON.stringify({ store, socket, ...more }, undefined, 2));
  configure({ passphraseFiles: { nightly: passphrase } });
  return {
    ...{ store, socket, settings, passphrase, configure },
    holdfast: (...args) => runCli([...args, ...common]),
    attached: (...args) => startCli([...args, ...common]),
    run: (options) => startService(['--config', settings], options),
  };
}

/** The same with a store, an encrypted set `nightly` and a recovery point of `vm`, and running. */
export async function serviceWith(home: ServiceHome, image: string): Promise<RunningService> {
  const service = await home.run();
  const { holdfast, passphrase } = home;
  await expectDone(holdfast('store', 'create'));
  const secret = ['--passphrase-file', passphrase];
  await expectDone(holdfast('set', 'create', 'nightly', '--encrypt', ...secret));
  const disk = ['--machine', 'vm', '--disk', `vda=${image}`];
  await expectDone(holdfast('backup', 'create', 'nightly', ...disk));
  return service;
}

/** Resolves once an alarm matches: a service is ready before it has looked at everything. */
export async function alarmed(holdfast: Holdfast, what: RegExp): Promise<void> {
  await until(`an alarm ${what.source}`, async () =>
    what.test((await expectDone(holdfast('alarm', 'list'))).stdout),
  );
}

interface StartOptions {
  readonly launcher?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** `launcher` is put before it; `environment` is added to this process's own. */
export async function startService(
  args: readonly string[],
  { launcher = [], environment = {} }: StartOptions = {},
): Promise<RunningService> {
  const [command, ...words] = [...launcher, process.execPath, MAIN, ...args];
  const child = spawn(command!, words, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...environment },
  });
  const lines: string[] = [];
  let changed = Promise.withResolvers<void>();
  let hasEnded = false;
  createInterface({ input: child.stderr }).on('line', (line) => {
    lines.push(line);
    changed.resolve();
    changed = Promise.withResolvers();
  });
  const ended = once(child, 'close').then(([code, signal]) => {
    hasEnded = true;
    lines.push(`(ended: ${String(code ?? signal)})`);
    changed.resolve();
    return code as number | null;
  });
  const log = (): string => lines.join('\n');
  async function logged(what: RegExp): Promise<void> {
    const limit = AbortSignal.timeout(PATIENCE_MS);
    while (!what.test(log())) {
      if (hasEnded || limit.aborted) throw new Error(`no ${what.source} in:\n${log()}`);
      const tick = new Promise((resolve) => setTimeout(resolve, 200));
      await Promise.race([changed.promise, tick]);
    }
  }
  const stop = (signal: NodeJS.Signals): Promise<number | null> => {
    child.kill(signal);
    return ended;
  };
  const service: RunningService = {
    pid: child.pid!,
    ...{ ended, log, logged, stop },
    signal: (signal) => void child.kill(signal),
    [Symbol.asyncDispose]: async () => void (await stop('SIGKILL')),
  };
  await logged(/ ready: /);
  return service;
}
