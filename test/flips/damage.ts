import { readdirSync, readFileSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { below } from '../support/random.ts';
import { type DamageKind, FILE_KINDS, type FileKind, SAYS_NOTHING } from './classes.ts';

export interface Damage {
  readonly kind: FileKind;
  readonly damage: DamageKind;
  readonly paths: readonly string[];
  /** In words, to do it again. */
  readonly what: string;
  /** It leaves what the files say as it was. */
  readonly isHarmless: boolean;
}

/** All files of a store by their kinds. Throws for one that no kind has: the table is to be complete. */
export function filesOf(directory: string): ReadonlyMap<FileKind, readonly string[]> {
  const found = new Map<FileKind, string[]>(FILE_KINDS.map((kind) => [kind, []]));
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort()) {
    if (!statSync(join(directory, name)).isFile() || SAYS_NOTHING.test(name)) continue;
    const kind = FILE_KINDS.find(({ path }) => path.test(name));
    if (!kind) throw new Error(`${name}: no kind of file in test/flips/classes.ts has it`);
    found.get(kind)!.push(name);
  }
  return found;
}

/** Flips are most likely: there are most ways to do it. */
const KINDS: readonly DamageKind[] = ['flip', 'flip', 'flip', 'flip', 'truncate', 'swap', 'delete'];

export function harm(
  directory: string,
  files: ReadonlyMap<FileKind, readonly string[]>,
  random: () => number,
): Damage {
  const kinds = [...files].filter(([, names]) => names.length > 0);
  const [kind, names] = kinds[below(random, kinds.length)]!;
  const wanted = KINDS[below(random, KINDS.length)]!;
  const name = names[below(random, names.length)]!;
  const others = names.filter((it) => it !== name);
  const damage = wanted === 'swap' && others.length === 0 ? 'flip' : wanted;
  const path = join(directory, name);
  const before = readFileSync(path);
  const done = { kind, damage, paths: [name] };
  if (damage === 'delete') {
    unlinkSync(path);
    return { ...done, what: `${name} deleted`, isHarmless: false };
  }
  if (damage === 'swap') {
    const other = others[below(random, others.length)]!;
    const its = readFileSync(join(directory, other));
    writeFileSync(path, its);
    writeFileSync(join(directory, other), before);
    const isHarmless = before.equals(its);
    return { ...done, paths: [name, other], what: `${name} swapped with ${other}`, isHarmless };
  }
  if (damage === 'truncate' || before.length === 0) {
    const length = below(random, Math.max(1, before.length));
    const after = before.subarray(0, length);
    writeFileSync(path, after);
    const isHarmless = before.length === 0 || saysTheSame(before, after);
    return { ...done, damage: 'truncate', what: `${name} cut to ${length}`, isHarmless };
  }
  const at = below(random, before.length);
  const bits = 1 + below(random, 255);
  const after = Buffer.from(before);
  after[at]! ^= bits;
  writeFileSync(path, after);
  const what = `${name}: byte ${at} of ${before.length} xor ${bits}`;
  return { ...done, what, isHarmless: saysTheSame(before, after) };
}

/** White space of JSON. */
function saysTheSame(before: Buffer, after: Buffer): boolean {
  const valueOf = (bytes: Buffer): string | undefined => {
    try {
      const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
      return JSON.stringify(JSON.parse(text));
    } catch {
      return undefined;
    }
  };
  const value = valueOf(before);
  return value !== undefined && value === valueOf(after);
}
