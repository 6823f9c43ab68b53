import { CatalogError } from './catalog-error.ts';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

export function isName(name: string): boolean {
  return NAME.test(name);
}

/** Names of sets, machines and disks become file names and export names. Throws BAD_NAME. */
export function checkName(name: string, what: string): void {
  if (isName(name)) return;
  throw new CatalogError(
    'BAD_NAME',
    `"${name}" cannot be the name of a ${what}: up to 64 letters, digits, ".", "_", "-", ` +
      'a letter or digit first',
  );
}
