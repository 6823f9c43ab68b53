import { posix } from 'node:path';
import { GUEST_PART_MAX } from '../../src/formats/wire/guest-agent.ts';
import type { GuestAgent } from '../../src/hypervisors/guest/agent.ts';
import { HypervisorError } from '../../src/hypervisors/base/hypervisor-error.ts';
import { systemClock } from '../../src/sys/base/clock.ts';

export interface FakeFile {
  bytes: Buffer;
  mode: number;
  owner: string;
}

/** A guest as its agent sees it: files, and the few programs that are run in it. */
export interface FakeGuest extends GuestAgent {
  readonly files: Map<string, FakeFile>;
  readonly directories: Set<string>;
  /** Symbolic links, and what they point to. */
  readonly links: Map<string, string>;
  /** Commands that the administrator of the guest has blocked. */
  readonly blocked: Set<string>;
  system: string;
  /** Bytes that fit into it. */
  capacity: number;
  /** How many bytes one write takes at most. */
  writesAtMost: number;
  hasLinks: boolean;
  /** Whether it may give files to other users. */
  isRoot: boolean;
  /** Files that are open in the agent. */
  readonly open: ReadonlyMap<number, unknown>;
  /** All commands, and the programs that were run. */
  readonly heard: string[];
  /** Before a command: what happens to it. */
  onCommand: (command: string, count: number) => void;
}

/** The programs of this guest take no time. */
const HURRIED = { ...systemClock(), sleep: async () => {} };

const COMMANDS = [
  ...['guest-info', 'guest-get-osinfo', 'guest-exec', 'guest-exec-status', 'guest-file-open'],
  ...['guest-file-read', 'guest-file-write', 'guest-file-flush', 'guest-file-close'],
];

interface Open {
  readonly path: string;
  at: number;
}

export function fakeGuest(): FakeGuest {
  const files = new Map<string, FakeFile>();
  const open = new Map<number, Open>();
  const ends = new Map<number, { readonly code: number; readonly said: string; polls: number }>();
  let last = 1000;
  const failed = (words: string): HypervisorError =>
    new HypervisorError('FAILED', `unable to execute QEMU agent command: ${words}`);
  const fileOf = (handle: unknown): readonly [Open, FakeFile] => {
    const it = open.get(handle as number);
    const file = it && files.get(it.path);
    if (!it || !file) throw failed(`handle '${String(handle)}' has not been found`);
    return [it, file];
  };
  const commands: Record<string, (args: Record<string, unknown>) => unknown> = {
    'guest-info': () => ({
      version: '7.2.22',
      supported_commands: COMMANDS.map((name) => ({ name, enabled: !guest.blocked.has(name) })),
    }),
    'guest-get-osinfo': () => ({ id: guest.system }),
    'guest-file-open'({ path, mode }) {
      const name = guest.links.get(path as string) ?? (path as string);
      if (guest.directories.has(name))
        throw failed(`failed to open file '${name}': Is a directory`);
      if (mode === 'wb') {
        if (guest.system !== 'mswindows' && !guest.directories.has(posix.dirname(name))) {
          throw failed(`failed to open file '${name}': No such file or directory`);
        }
        const before = files.get(name);
        files.set(name, { mode: 0o666, owner: '0:0', ...before, bytes: Buffer.alloc(0) });
      } else if (!files.has(name)) {
        throw failed(`failed to open file '${name}': No such file or directory`);
      }
      open.set(++last, { path: name, at: 0 });
      return last;
    },
    'guest-file-write'({ handle, 'buf-b64': text }) {
      const [, file] = fileOf(handle);
      const bytes = Buffer.from(text as string, 'base64').subarray(0, guest.writesAtMost);
      const used = [...files.values()].reduce((sum, it) => sum + it.bytes.length, 0);
      if (used + bytes.length > guest.capacity) {
        throw failed('failed to write to file: No space left on device');
      }
      file.bytes = Buffer.concat([file.bytes, bytes]);
      return { count: bytes.length, eof: false };
    },
    'guest-file-read'({ handle, count }) {
      const [it, { bytes }] = fileOf(handle);
      const part = bytes.subarray(it.at, it.at + Math.min(count as number, GUEST_PART_MAX));
      it.at += part.length;
      return { count: part.length, 'buf-b64': part.toString('base64'), eof: part.length === 0 };
    },
    'guest-file-flush'({ handle }) {
      fileOf(handle);
      return {};
    },
    'guest-file-close'({ handle }) {
      fileOf(handle);
      open.delete(handle as number);
      return {};
    },
    'guest-exec'({ path, arg }) {
      const words = [path as string, ...(arg as string[])];
      guest.heard.push(words.join(' '));
      const said = program(guest, words);
      ends.set(++last, { code: said === '' ? 0 : 1, said: said ?? '', polls: 0 });
      return { pid: last };
    },
    'guest-exec-status'({ pid }) {
      const end = ends.get(pid as number);
      if (!end) throw failed(`Invalid parameter 'pid'`);
      if (end.polls++ === 0) return { exited: false };
      ends.delete(pid as number);
      const data = end.said && { 'err-data': Buffer.from(end.said).toString('base64') };
      return { exited: true, exitcode: end.code, ...data };
    },
  };
  const guest: FakeGuest = {
    ...{ files, open, directories: new Set(['/', '/etc', '/tmp']), blocked: new Set() },
    ...{ system: 'debian', capacity: 2 ** 30, writesAtMost: 2 ** 30, heard: [] },
    ...{ links: new Map(), hasLinks: true, isRoot: true, onCommand: () => {}, clock: HURRIED },
    async ask(command, args, signal) {
      signal?.throwIfAborted();
      guest.heard.push(command);
      guest.onCommand(command, guest.heard.filter((it) => it === command).length);
      const known = commands[command];
      if (!known || guest.blocked.has(command)) {
        throw new HypervisorError('UNSUPPORTED', `the command ${command} has been disabled`);
      }
      return known((args ?? {}) as Record<string, unknown>);
    },
  };
  return guest;
}

/** What it says of what went wrong; empty: nothing did. */
function program(guest: FakeGuest, [name = '', ...words]: readonly string[]): string {
  const { files, directories, links } = guest;
  const last = words.at(-1)!;
  const followed = links.get(last) ?? last;
  const gone = (path: string): string => `${name}: ${path}: No such file or directory`;
  switch (name) {
    case 'test': {
      if (words[0] === '-L') return links.has(last) ? '' : 'no';
      const isFile = files.has(last);
      const isDirectory = directories.has(last);
      if (words[0] === '-d') return isDirectory ? '' : 'no';
      return words[0] === '-e' && (isFile || isDirectory) ? '' : 'no';
    }
    case 'chmod': {
      const file = files.get(followed);
      if (!file) return gone(last);
      file.mode = Number.parseInt(words[0]!, 8);
      return '';
    }
    case 'chown': {
      if (!guest.isRoot) return 'chown: Operation not permitted';
      const isItself = words[0] === '-h';
      if (isItself && links.has(last)) return '';
      const file = files.get(followed);
      if (!file) return gone(last);
      Object.assign(file, { owner: words.at(-2), mode: file.mode & 0o777 });
      return '';
    }
    case 'rm':
      if (!links.delete(last)) files.delete(last);
      return '';
    case 'ln': {
      const file = files.get(words[0]!);
      if (!guest.hasLinks || !file) return 'ln: Operation not permitted';
      if (files.has(last)) return 'ln: File exists';
      files.set(last, file);
      return '';
    }
    case 'mv': {
      const [how, from = ''] = words;
      const file = files.get(from);
      if (!file) return gone(from);
      if (how === '-n' && files.has(last)) return '';
      files.delete(from);
      files.set(last, file);
      return '';
    }
    default:
      return `there is no ${name}`;
  }
}
