import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PATIENCE_MS } from './until.ts';

/** A program on a terminal of tmux, as a person has it. */
export interface Screen extends Disposable {
  readonly pid: number;
  text(): string;
  /** Names of keys as tmux has them, or texts. */
  keys(...keys: readonly string[]): void;
  /** Resolves with the screen once it matches. */
  shows(what: RegExp): Promise<string>;
  resize(columns: number, rows: number): void;
  /** Its exit code, once it has ended. */
  ended(): Promise<number>;
  /** How many bytes it has sent to the terminal. */
  sent(): number;
}

export interface ScreenOptions {
  /** For tmux's own files. */
  readonly directory: string;
  readonly term: string;
  readonly columns?: number;
  readonly rows?: number;
}

export function openScreen(
  command: readonly string[],
  { directory, term, columns = 80, rows = 24 }: ScreenOptions,
): Screen {
  const socket = join(directory, `tmux-${term}`);
  const settings = join(directory, 'tmux.conf');
  const sent = join(directory, `sent-${term}`);
  writeFileSync(settings, 'set -g status off\nset -g remain-on-exit on\n');
  const tmux = (...args: string[]): string =>
    execFileSync('tmux', ['-S', socket, '-f', settings, ...args], { encoding: 'utf8' });
  const size = ['-x', String(columns), '-y', String(rows)];
  tmux('new-session', '-d', ...size, 'env', `TERM=${term}`, ...command);
  tmux('pipe-pane', '-O', `cat > '${sent}'`);
  const text = (): string => tmux('capture-pane', '-p');
  const pane = (what: string): string => tmux('display-message', '-p', `#{${what}}`).trim();
  async function until<T>(found: () => T | undefined, what: string): Promise<T> {
    const limit = Date.now() + PATIENCE_MS;
    for (;;) {
      const it = found();
      if (it !== undefined) return it;
      if (Date.now() > limit) throw new Error(`no ${what} in:\n${text()}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  return {
    pid: Number(pane('pane_pid')),
    text,
    keys: (...keys) => void tmux('send-keys', ...keys),
    shows: (what) =>
      until(() => {
        const it = text();
        return what.test(it) ? it : undefined;
      }, String(what)),
    resize: (x, y) => void tmux('resize-window', '-x', String(x), '-y', String(y)),
    ended: () =>
      until(() => {
        if (pane('pane_dead') !== '1') return undefined;
        const code = pane('pane_dead_status');
        if (code !== '') return Number(code);
        // tmux 3.3 misses the end of a child now and then; that of another one has it look at all.
        tmux('run-shell', 'true');
        return undefined;
      }, 'exit code'),
    sent: () => (existsSync(sent) ? readFileSync(sent).length : 0),
    [Symbol.dispose]: () => void tmux('kill-server'),
  };
}
