import { isatty } from 'node:tty';

/** The terminal of this process, a key at a time; disposing gives it back as it was. */
export interface RawTerminal extends Disposable {
  /** As the terminal says; 80x24 where it does not, as on a serial line. */
  size(): TerminalSize;
  write(text: string): void;
}

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

export interface TerminalEvents {
  /** Bytes as they were typed: Ctrl-C too. */
  readonly onInput: (bytes: Uint8Array) => void;
  readonly onResize: (size: TerminalSize) => void;
  /** The line was hung up. */
  readonly onEnd: () => void;
}

/** A VT220's; a serial line knows no size. */
const USUAL: TerminalSize = { columns: 80, rows: 24 };

export function hasTerminal(): boolean {
  return isatty(0) && isatty(1);
}

/** `restore` is written last, however the process ends. */
export function openRawTerminal(
  { onInput, onResize, onEnd }: TerminalEvents,
  restore: string,
): RawTerminal {
  const { stdin, stdout } = process;
  const size = (): TerminalSize => {
    const { columns, rows } = stdout;
    return columns > 0 && rows > 0 ? { columns, rows } : USUAL;
  };
  const resized = (): void => onResize(size());
  let isOpen = true;
  function giveBack(): void {
    if (!isOpen) return;
    isOpen = false;
    stdout.write(restore);
    stdin.setRawMode(false);
  }
  // A line that was hung up takes nothing more; who reads it hears of that by onEnd.
  const onError = (): void => onEnd();
  stdin.setRawMode(true);
  stdin.on('data', onInput).on('end', onEnd).on('error', onError);
  stdout.on('resize', resized).on('error', onError);
  process.on('exit', giveBack);
  return {
    size,
    write: (text) => void (isOpen && stdout.write(text)),
    [Symbol.dispose]() {
      giveBack();
      process.off('exit', giveBack);
      stdin.off('data', onInput).off('end', onEnd);
      stdout.off('resize', resized);
      // Else it would keep the process alive.
      stdin.pause();
      stdin.unref();
    },
  };
}
