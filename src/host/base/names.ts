/** RFC 1123 2.1: letters, digits and hyphens, not at either end. */
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i;
const DOMAIN_LENGTH_MAX = 253;

export function isDomainName(name: string): boolean {
  return name.length <= DOMAIN_LENGTH_MAX && name.split('.').every((label) => LABEL.test(label));
}

/** HOST_NAME_MAX of Linux. */
const HOST_NAME_LENGTH_MAX = 64;

export function isHostName(name: string): boolean {
  // A name that consists of digits would be taken for an address.
  return name.length <= HOST_NAME_LENGTH_MAX && isDomainName(name) && !/^[\d.]+$/.test(name);
}
