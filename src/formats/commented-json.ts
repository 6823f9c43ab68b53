import { FormatError } from './format-error.ts';

/*
 * JSON as people write it: with comments (// and / * ... * /) and a comma after the last item. Keeps the line of
 * every value, so that a caller that checks a value can say where it is wrong.
 */
export interface CommentedJson {
  readonly value: unknown;
  /** The line of the value at a path, or of the nearest one around it. */
  lineOf(path: readonly (string | number)[]): number;
}

const DEPTH_MAX = 32;
const SPACE = /(?:\s|\/\/[^\n]*|\/\*[^]*?\*\/)*/y;
// oxlint-disable-next-line no-control-regex -- JSON allows no control characters in a text
const TEXT = /"(?:[^"\\\u0000-\u001f]|\\[^\n])*"/y;
const WORD = /-?\d[\w.+-]*|[A-Za-z]+/y;

/** Throws FormatError CORRUPT: the message names the line. */
export function parseCommentedJson(source: string): CommentedJson {
  /** Positions of values, by their paths. */
  const places = new Map<string, number>();
  let at = 0;

  function token(pattern: RegExp): string | undefined {
    pattern.lastIndex = at;
    const found = pattern.exec(source)?.[0];
    if (found !== undefined) at += found.length;
    return found;
  }
  function lineAt(offset: number): number {
    return source.slice(0, offset).split('\n').length;
  }
  function wrong(what: string): FormatError {
    return new FormatError('CORRUPT', `line ${lineAt(at)}: ${what}`);
  }
  function sign(expected: string): boolean {
    token(SPACE);
    if (source[at] !== expected) return false;
    at++;
    return true;
  }
  function simple(of: string): unknown {
    try {
      return JSON.parse(of) as unknown;
    } catch {
      at -= of.length;
      throw wrong(`${of} is not a JSON value`);
    }
  }
  /** Items up to `end`, each read by `item`. */
  function items(end: string, item: () => void): void {
    while (!sign(end)) {
      item();
      if (sign(',')) continue;
      if (sign(end)) return;
      throw wrong(at < source.length ? `"," or "${end}" is missing` : `"${end}" is missing`);
    }
  }
  function object(path: readonly string[]): Record<string, unknown> {
    const entries = new Map<string, unknown>();
    items('}', () => {
      token(SPACE);
      const name = token(TEXT);
      if (name === undefined) throw wrong('the name of a field, in double quotes, is missing');
      const key = simple(name) as string;
      if (entries.has(key)) throw wrong(`"${key}" occurs twice`);
      // The position of the name is the one that people look for.
      const place = at;
      if (!sign(':')) throw wrong(`":" is missing after "${key}"`);
      entries.set(key, value([...path, key]));
      places.set(JSON.stringify([...path, key]), place);
    });
    return Object.fromEntries(entries);
  }
  function list(path: readonly string[]): unknown[] {
    const found: unknown[] = [];
    items(']', () => void found.push(value([...path, String(found.length)])));
    return found;
  }
  function value(path: readonly string[]): unknown {
    if (path.length > DEPTH_MAX) throw wrong(`nested deeper than ${DEPTH_MAX} levels`);
    token(SPACE);
    places.set(JSON.stringify(path), at);
    if (sign('{')) return object(path);
    if (sign('[')) return list(path);
    const found = token(TEXT) ?? token(WORD);
    if (found === undefined)
      throw wrong(at < source.length ? 'this is not a value' : 'a value is missing');
    return simple(found);
  }

  const all = value([]);
  token(SPACE);
  if (at < source.length) throw wrong('more text follows the end');
  return {
    value: all,
    lineOf(path) {
      const names = path.map(String);
      for (let length = names.length; length >= 0; length--) {
        const place = places.get(JSON.stringify(names.slice(0, length)));
        if (place !== undefined) return lineAt(place);
      }
      return 1;
    },
  };
}
