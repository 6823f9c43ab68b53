import { isName } from '../formats/store/base/names.ts';
import { CatalogError } from './catalog-error.ts';

/** Names of sets, machines and disks become file names and export names. Throws BAD_NAME. */
export function checkName(name: string, what: string): void {
  if (isName(name)) return;
  throw new CatalogError(
    'BAD_NAME',
    `"${name}" cannot be the name of a ${what}: up to 64 letters, digits, ".", "_", "-", ` +
      'a letter or digit first',
  );
}

/** Names of a machine's disks, or of its files: two of one name would be kept in one place. Throws BAD_NAME. */
export function checkNames(names: readonly string[], what: 'disk' | 'file'): void {
  for (const name of names) checkName(name, what);
  if (new Set(names).size === names.length) return;
  throw new CatalogError('BAD_NAME', `two ${what}s have the same name in ${names.join(', ')}`);
}
