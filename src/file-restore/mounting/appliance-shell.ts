import { GranularError } from '../base/file-restore-error.ts';
import { printable } from '../../lib/printable.ts';
import { turnOfLoop } from '../../lib/turn-of-loop.ts';
import { exitCode, lastWords, startProgram } from '../base/programs.ts';
import { systemClock } from '../../sys/base/clock.ts';

/*
 * A conversation with guestfish: one command per line on its standard input, and its output up to a mark that it is
 * asked to print. Keys go the same way and never into an argument.
 */

export interface ApplianceShell extends AsyncDisposable {
  /** Resolves with the command's output; rejects FAILED with its error message. */
  ask(words: readonly string[], options?: AskOptions): Promise<string>;
  /** Sends a command without waiting for an answer. */
  say(words: readonly string[]): void;
}

export interface AskOptions {
  /** A line that the command reads as a key. */
  readonly key?: Uint8Array;
  readonly timeoutMs?: number;
}

export interface ShellOptions {
  /** The directory of the overlays for writes of a guest's file systems. */
  readonly directory: string;
  /** Whether to emulate, without /dev/kvm. */
  readonly emulated: boolean;
  readonly signal?: AbortSignal;
}

const ANSWER_MS = 120_000;
const QUIT_MS = 5000;
const OUTPUT_LENGTH_MAX = 16 * 1024 * 1024;
const ERROR = /libguestfs: error: (.*)/g;
/** Errors beyond this are not kept, so a failure could be missed. */
const COMPLAINTS_LENGTH_MAX = 32 * 1024;

export async function openApplianceShell({
  directory,
  emulated,
  signal,
}: ShellOptions): Promise<ApplianceShell> {
  const clock = systemClock();
  const fish = await startProgram('guestfish', ['--keys-from-stdin'], {
    environment: {
      LIBGUESTFS_BACKEND: 'direct',
      LIBGUESTFS_TMPDIR: directory,
      ...(emulated && { LIBGUESTFS_BACKEND_SETTINGS: 'force_tcg' }),
    },
    ...(signal && { signal }),
  });
  let output = '';
  let heard: (() => void) | undefined;
  let isOver = false;
  fish.stdout.setEncoding('utf8').on('data', (part: string) => {
    output += part;
    // No expected answer is this long.
    if (output.length > OUTPUT_LENGTH_MAX) fish.kill();
    heard?.();
  });
  void fish.ended.then(() => {
    isOver = true;
    heard?.();
  });

  /** The output before `mark`. */
  async function until(mark: string, timeoutMs: number): Promise<string> {
    const limit = AbortSignal.timeout(timeoutMs);
    limit.addEventListener('abort', () => heard?.(), { once: true });
    for (;;) {
      const at = output.indexOf(mark);
      if (at >= 0) {
        const answer = output.slice(0, at);
        output = output.slice(at + mark.length);
        return answer;
      }
      if (isOver) {
        const end = await fish.ended;
        exitCode('guestfish', end);
        throw new GranularError('FAILED', `the appliance ended: ${errorsIn(end.stderr)}`);
      }
      if (limit.aborted) {
        fish.kill();
        throw new GranularError('TIMEOUT', 'the appliance did not answer and was stopped');
      }
      await new Promise<void>((resolve) => (heard = resolve));
    }
  }
  let marks = 0;
  return {
    say: (words) => void fish.stdin.write(line(words)),
    async ask(words, { key, timeoutMs = ANSWER_MS } = {}) {
      const mark = `holdfast mark ${++marks}`;
      const said = fish.stderr().length;
      if (said > COMPLAINTS_LENGTH_MAX) fish.kill();
      fish.stdin.write(line(words));
      if (key) {
        fish.stdin.write(key);
        fish.stdin.write('\n');
      }
      fish.stdin.write(`echo ${quoted(mark)}\n`);
      const answer = await until(`${mark}\n`, timeoutMs);
      // Errors were written before the mark, on another pipe: they are read in the same turn of the loop.
      await turnOfLoop();
      const failed = fish.stderr().slice(said);
      // It prints no error on success.
      if (failed === '') return answer;
      throw new GranularError('FAILED', `${words[0]}: ${errorsIn(failed)}`);
    },
    async [Symbol.asyncDispose]() {
      if (!isOver) fish.stdin.end('quit\n');
      const late = new AbortController();
      await Promise.race([fish.ended, clock.sleep(QUIT_MS, late.signal).catch(() => {})]);
      late.abort();
      await fish[Symbol.asyncDispose]();
    },
  };
}

function errorsIn(stderr: string): string {
  const errors = [...stderr.matchAll(ERROR)].map((it) => it[1]!);
  return errors.length > 0 ? printable(errors.slice(0, 3).join('; ')) : lastWords(stderr);
}

/** With the dash it continues after a failure. */
function line([command, ...args]: readonly string[]): string {
  return `-${[command, ...args.map(quoted)].join(' ')}\n`;
}

/** guestfish, "QUOTING ARGUMENTS". */
function quoted(word: string): string {
  // oxlint-disable-next-line eslint/no-control-regex -- a newline would begin another command
  if (/[\u0000-\u001f\u007f]/.test(word)) {
    throw new GranularError('BAD_PATH', `"${printable(word)}" cannot be passed to an appliance`);
  }
  return `"${word.replace(/["\\]/g, (it) => `\\${it}`)}"`;
}
