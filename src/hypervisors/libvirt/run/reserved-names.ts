/* Names of disks that are reserved for sessions: their mark. A machine that has moved keeps them. */

const PREFIX = 'holdfast-';
/** With tracking of changes, where the pool has files. */
const END = '.qcow2';

/** Without the dots that separate the parts of such a name. */
function part(disk: string): string {
  return disk.replaceAll(/[^\w-]/g, '_');
}

export function reservedName(session: string, disk: string, isFile: boolean): string {
  return `${PREFIX}${session}.${part(disk)}${isFile ? END : ''}`;
}

/** Whether a volume of that name is reserved for that session, for any of its disks. */
export function isReservedFor(session: string, name: string): boolean {
  const begin = `${PREFIX}${session}.`;
  return name.startsWith(begin) && /^[\w-]+(\.qcow2)?$/.test(name.slice(begin.length));
}
