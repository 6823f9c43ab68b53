/* The bytes that terminals send for keys: xterm, the Linux console, VT220. */

/** A named key, or one typed character. */
export type Key =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'named'; readonly name: KeyName };

export type KeyName =
  | 'up'
  | 'down'
  | 'left'
  | 'right'
  | 'page-up'
  | 'page-down'
  | 'home'
  | 'end'
  | 'enter'
  | 'escape'
  | 'tab'
  | 'backspace'
  | 'interrupt'
  | 'redraw';

const SEQUENCES: Readonly<Record<string, KeyName>> = {
  '[A': 'up',
  '[B': 'down',
  '[C': 'right',
  '[D': 'left',
  OA: 'up',
  OB: 'down',
  OC: 'right',
  OD: 'left',
  '[5~': 'page-up',
  '[6~': 'page-down',
  '[1~': 'home',
  '[7~': 'home',
  '[H': 'home',
  OH: 'home',
  '[4~': 'end',
  '[8~': 'end',
  '[F': 'end',
  OF: 'end',
};

const CONTROLS: Readonly<Record<string, KeyName>> = {
  '\r': 'enter',
  '\n': 'enter',
  '\t': 'tab',
  '\b': 'backspace',
  '\u007f': 'backspace',
  '\u0003': 'interrupt',
  '\u000c': 'redraw',
};

/** Passphrases are in any language: everything but control characters, and bytes that are not UTF-8. */
const TYPABLE = /^[^\p{Cc}\p{Cs}\ufffd]$/u;
const ESCAPE = '\u001b';
/** A whole sequence, or the beginning of one. The Linux console sends the first form for F1 to F5. */
const SEQUENCE = /^(?:\[\[[A-E]|\[[0-9;?]*[@-Z\\-~]|O[@-~])/;
const BEGINNING = /^(?:\[\[|\[[0-9;?]*|O)?$/;
/** No terminal sends longer sequences. */
const SEQUENCE_MAX = 16;

/**
 * The keys in the input, and the rest that may be the beginning of one. Unknown sequences are dropped. `isAll`:
 * nothing has followed for a while, so a lone escape is the key itself.
 */
export function parseKeys(
  input: string,
  isAll: boolean,
): { readonly keys: readonly Key[]; readonly rest: string } {
  const keys: Key[] = [];
  let at = 0;
  while (at < input.length) {
    const char = String.fromCodePoint(input.codePointAt(at)!);
    if (char !== ESCAPE) {
      const name = CONTROLS[char];
      if (name) keys.push({ kind: 'named', name });
      else if (TYPABLE.test(char)) keys.push({ kind: 'text', text: char });
      at += char.length;
      continue;
    }
    const after = input.slice(at + 1, at + 1 + SEQUENCE_MAX);
    const sequence = SEQUENCE.exec(after)?.[0];
    if (sequence !== undefined) {
      const name = SEQUENCES[sequence];
      if (name) keys.push({ kind: 'named', name });
      at += 1 + sequence.length;
      continue;
    }
    if (!isAll && BEGINNING.test(after)) return { keys, rest: input.slice(at) };
    keys.push({ kind: 'named', name: 'escape' });
    at++;
  }
  return { keys, rest: '' };
}
