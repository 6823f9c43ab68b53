import type { Damage } from '../../operations/nouns/backup.ts';

/** For the caller of work that met damage and continued. */
export function damageNotice({ where, what }: Damage): string {
  return `damage in the store: ${where}: ${what}. Run "store check"`;
}
