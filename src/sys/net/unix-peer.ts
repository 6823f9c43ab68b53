import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { descriptorOf, SO_PEERCRED, SO_PEERGROUPS, socketOption } from './socket-options.ts';

/** The process at the other end of a unix socket, as the kernel saw it when it connected. */
export interface UnixPeer {
  readonly pid: number;
  readonly uid: number;
  /** Its own group and the others. */
  readonly gids: readonly number[];
}

const CREDENTIALS_LENGTH = 12;
/** NGROUPS_MAX of Linux. */
const GROUPS_MAX = 65_536;

/** Undefined: the kernel does not say, or the process is gone already. */
export function unixPeer(socket: Socket): UnixPeer | undefined {
  const fd = descriptorOf(socket);
  if (fd === undefined) return undefined;
  const credentials = socketOption(fd, SO_PEERCRED, CREDENTIALS_LENGTH);
  if (credentials?.length !== 3) return undefined;
  const [pid, uid, gid] = credentials as unknown as [number, number, number];
  const groups = socketOption(fd, SO_PEERGROUPS, 4 * GROUPS_MAX) ?? [];
  return { pid, uid, gids: [gid, ...groups] };
}

/** The ID of a group by its name in /etc/group; undefined: there is none. */
export function groupId(name: string): number | undefined {
  return idIn('/etc/group', name);
}

/** The ID of a user by its name in /etc/passwd; undefined: there is none. */
export function userId(name: string): number | undefined {
  return idIn('/etc/passwd', name);
}

/** Groups of a user by /etc/passwd and /etc/group: for a process of which only the user ID is known. */
export function groupsOf(uid: number): number[] {
  const lines = (file: string): string[][] =>
    readFileSync(file, 'utf8')
      .split('\n')
      .map((line) => line.split(':'));
  const [name, , , own] = lines('/etc/passwd').find((it) => Number(it[2]) === uid) ?? [];
  if (name === undefined) return [];
  const others = lines('/etc/group').filter((it) => it[3]?.split(',').includes(name));
  return [Number(own), ...others.map((it) => Number(it[2]))];
}

function idIn(file: string, name: string): number | undefined {
  const lines = readFileSync(file, 'utf8').split('\n');
  const fields = lines.map((line) => line.split(':')).find(([it]) => it === name);
  const id = Number(fields?.[2]);
  return fields?.[2] !== undefined && Number.isInteger(id) ? id : undefined;
}

/** The name of the user as whom this process runs, by /etc/passwd; where that has none, its number. */
export function ownAccount(): string {
  const uid = String(process.getuid!());
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n');
  return lines.map((line) => line.split(':')).find((it) => it[2] === uid)?.[0] ?? uid;
}

export function ownIds(): { readonly pid: number; readonly uid: number } {
  return { pid: process.pid, uid: process.getuid!() };
}
