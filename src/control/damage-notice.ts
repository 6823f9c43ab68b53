import type { Damage } from '../protocol/results.ts';

/** For whoever waits for work that met damage and went on. */
export function damageNotice({ where, what }: Damage): string {
  return `damage in the store: ${where}: ${what}. Run "store check"`;
}
