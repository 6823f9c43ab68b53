/*
 * What a guest writes to its serial line, as text: without the sequences that control a terminal, and only its end.
 */

export interface PlainText {
  push(bytes: Uint8Array): void;
  readonly text: string;
  /** How many bytes came in all. */
  readonly length: number;
}

/** A sequence of a terminal that is longer than this is none. */
const SEQUENCE_MAX = 64;

/** Keeps the last `max` characters. */
export function plainText(max: number): PlainText {
  const decoder = new TextDecoder('utf-8');
  let kept = '';
  let pending = '';
  let length = 0;
  return {
    push(bytes) {
      length += bytes.length;
      const { plain, rest } = withoutControl(pending + decoder.decode(bytes, { stream: true }));
      pending = rest;
      kept = (kept + plain).slice(-max);
    },
    get text() {
      return kept;
    },
    get length() {
      return length;
    },
  };
}

/** ECMA-48: CSI and OSC sequences, and escapes of two characters (three, to choose a character set). */
const SEQUENCES =
  // oxlint-disable-next-line eslint/no-control-regex -- control characters are what it looks for
  /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[ -/][0-~]|[0-Z\\^-~])/g;
// oxlint-disable-next-line eslint/no-control-regex -- control characters are what it looks for
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g;

/** `rest`: the beginning of a sequence that may go on. */
function withoutControl(text: string): { readonly plain: string; readonly rest: string } {
  const cut = text.replace(SEQUENCES, (it) => (isNewPlace(it) ? '\n' : ''));
  const last = cut.lastIndexOf('\u001b');
  const isOpen = last >= 0 && cut.length - last < SEQUENCE_MAX;
  const whole = isOpen ? cut.slice(0, last) : cut;
  return { plain: whole.replace(CONTROL, ''), rest: isOpen ? cut.slice(last) : '' };
}

/** Firmware and boot loaders place each text on a screen, and never end a line. */
function isNewPlace(sequence: string): boolean {
  return sequence.startsWith('\u001b[') && /^[0-9;]*[HfJ]$/.test(sequence.slice(2));
}
