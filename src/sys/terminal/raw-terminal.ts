import { isatty } from 'node:tty';

/** The terminal of this process, key by key; disposing restores it. */
export interface RawTerminal extends Disposable {
  /** The size that the terminal reports; 80x24 if it reports none, as on a serial line. */
  size(): TerminalSize;
  write(text: string): void;
}

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

export interface TerminalEvents {
  /** Bytes as they were typed, including Ctrl-C. */
  readonly onInput: (bytes: Uint8Array) => void;
  readonly onResize: (size: TerminalSize) => void;
  /** Called when the line was hung up. */
  readonly onEnd: () => void;
}

/** The size of a VT220; a serial line does not report its size. */
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
  // A line that was hung up accepts no output; readers get onEnd.
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
      // Otherwise it would keep the process alive.
      stdin.pause();
      stdin.unref();
    },
  };
}
