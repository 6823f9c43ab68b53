import type { Clock } from '../../sys/base/clock.ts';
import { HostError } from '../base/host-error.ts';
import type { Machine } from '../base/machine.ts';
import { isActive } from '../network/network-owner.ts';
import { output, type RunProgram } from '../base/programs.ts';
import { readText, removeText, writeText } from '../base/text-files.ts';

/*
 * Access over SSH: who has it, and until when. Keys and times are in root's files that sshd and the login program
 * read (appliance/ssh); a timer of systemd's ends SSH in time, even if the machine was off at that time.
 */
export type SshUser = 'admin' | 'restore';

export interface SshKey {
  readonly user: SshUser;
  /** `SHA256:...`: identifies a key. */
  readonly fingerprint: string;
  readonly type: string;
  readonly comment: string;
}

export interface SshView {
  readonly running: boolean;
  /** ISO 8601; null: without end, or SSH is off. */
  readonly until: string | null;
  readonly shellUntil: string | null;
  readonly keys: readonly SshKey[];
}

const USERS = ['admin', 'restore'] as const;
const DIRECTORY = '/etc/holdfast/ssh';
/** Seconds since 1970, as `date +%s` writes them; src/cli/login-session.ts reads it. */
const SHELL_FILE = `${DIRECTORY}/shell-until`;
const SERVICE = 'ssh.service';
/** systemd's socket, which starts sshd per connection: Debian has both, and either gives access. */
const SOCKET = 'ssh.socket';
/** Sets the time of systemd/holdfast-ssh-off.timer. */
const TIMER = 'holdfast-ssh-off.timer';
const UNTIL_FILE = `/etc/systemd/system/${TIMER}.d/until.conf`;
const KEY_LENGTH_MAX = 16 * 1024;
const KEYS_MAX = 1000;
/** The most characters shown of an invalid line. */
const SHOWN_MAX = 80;
/** sshd(8): options may precede a key, and would undo the settings of appliance/ssh/sshd.conf. */
const KEY = /^(ssh-[\w@.-]+|ecdsa-[\w@.-]+|sk-[\w@.-]+) [A-Za-z0-9+/=]+( [^\p{Cc}]*)?$/u;

const fileOf = (user: SshUser): string => `${DIRECTORY}/${user}.keys`;

export async function showSsh(machine: Machine, clock: Clock): Promise<SshView> {
  const { files, run } = machine;
  const shell = Number((await readText(files, SHELL_FILE)) ?? 0);
  const off = Number(/^# (\d+)$/m.exec((await readText(files, UNTIL_FILE)) ?? '')?.[1] ?? 0);
  const running = (await isActive(run, SERVICE)) || (await isActive(run, SOCKET));
  const nowSeconds = clock.now().getTime() / 1000;
  const keys: SshKey[] = [];
  for (const user of USERS) keys.push(...(await keysOf(machine, user)).map(({ key }) => key));
  return {
    running,
    until: running && off > nowSeconds ? isoOf(off) : null,
    shellUntil: shell > nowSeconds ? isoOf(shell) : null,
    keys,
  };
}

/**
 * Adds one line as in authorized_keys, without options. Rejects BAD_REQUEST for lines that `ssh-keygen -l` refuses.
 */
export async function addKey(machine: Machine, user: SshUser, given: string): Promise<SshKey> {
  const line = given.trim();
  if (line.length > KEY_LENGTH_MAX || !KEY.test(line)) {
    throw new HostError(
      'BAD_REQUEST',
      'this is not a public key: give one line as in id_ed25519.pub, without options before it',
    );
  }
  const key = await keyOf(machine, user, line);
  const others = await keysOf(machine, user);
  if (others.length >= KEYS_MAX)
    throw new HostError('REFUSED', `${user} has ${KEYS_MAX} keys already`);
  if (others.some((it) => it.key.fingerprint === key.fingerprint)) {
    throw new HostError('REFUSED', `${user} has the key ${key.fingerprint} already`);
  }
  await writeKeys(machine, user, [...others.map((it) => it.line), line]);
  return key;
}

/** Removes a key by its fingerprint. */
export async function removeKey(machine: Machine, user: SshUser, print: string): Promise<SshKey> {
  const keys = await keysOf(machine, user);
  const gone = keys.find(({ key }) => key.fingerprint === print);
  if (!gone) throw new HostError('NOT_FOUND', `${user} has no key ${print}: see "ssh key list"`);
  const left = keys.filter(({ key }) => key.fingerprint !== print);
  await writeKeys(
    machine,
    user,
    left.map(({ line }) => line),
  );
  return gone.key;
}

export async function removeAllKeys(machine: Machine): Promise<void> {
  for (const user of USERS) {
    if ((await linesOf(machine, user)).length > 0) await writeKeys(machine, user, []);
  }
}

/** Turns SSH on; `seconds` undefined: until it is turned off. */
export async function sshOn(
  machine: Machine,
  clock: Clock,
  seconds: number | undefined,
): Promise<void> {
  const { files, run } = machine;
  if (!(await isLoaded(run, SERVICE))) {
    throw new HostError(
      'REFUSED',
      'sshd is not installed: apt-get install openssh-server, then sh appliance/install --ssh',
    );
  }
  if (seconds === undefined) await forgetEnd(machine);
  else {
    const until = Math.ceil(clock.now().getTime() / 1000) + seconds;
    await writeText(files, UNTIL_FILE, timerText(until));
    await output(run, 'systemctl', ['daemon-reload']);
    await output(run, 'systemctl', ['enable', '--quiet', TIMER]);
    await output(run, 'systemctl', ['restart', TIMER]);
  }
  // Not both: they use the same port.
  const unit = (await isActive(run, SOCKET)) ? SOCKET : SERVICE;
  await output(run, 'systemctl', ['enable', '--quiet', '--now', unit]);
}

/** Turns SSH off; present connections stay. */
export async function sshOff(machine: Machine): Promise<void> {
  const { run } = machine;
  // The socket first: it would start the service again.
  const units = (await isLoaded(run, SOCKET)) ? [SOCKET, SERVICE] : [SERVICE];
  for (const unit of units) {
    await output(run, 'systemctl', ['disable', '--quiet', '--now', unit]);
  }
  await forgetEnd(machine);
}

async function isLoaded(run: RunProgram, unit: string): Promise<boolean> {
  const state = await output(run, 'systemctl', ['show', '-P', 'LoadState', unit]);
  return state.trim() === 'loaded';
}

/** `seconds` 0: no longer. */
export async function allowShell({ files }: Machine, clock: Clock, seconds: number): Promise<void> {
  if (seconds === 0) return removeText(files, SHELL_FILE);
  const until = Math.ceil(clock.now().getTime() / 1000) + seconds;
  await writeText(files, SHELL_FILE, `${until}\n`);
}

async function forgetEnd({ files, run }: Machine): Promise<void> {
  // There may be no timer.
  await run('systemctl', ['disable', '--quiet', '--now', TIMER]);
  await removeText(files, UNTIL_FILE);
  await output(run, 'systemctl', ['daemon-reload']);
}

function timerText(until: number): string {
  const time = isoOf(until).replace('T', ' ').slice(0, 19);
  return `# ${until}\n[Timer]\nOnCalendar=${time} UTC\n`;
}

function isoOf(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}

async function linesOf({ files }: Machine, user: SshUser): Promise<string[]> {
  const text = (await readText(files, fileOf(user))) ?? '';
  const lines = text.split('\n').map((line) => line.trim());
  return lines.filter((line) => line !== '' && !line.startsWith('#'));
}

async function writeKeys({ files }: Machine, user: SshUser, lines: readonly string[]) {
  await writeText(files, fileOf(user), lines.map((line) => `${line}\n`).join(''));
}

interface KeyLine {
  readonly line: string;
  readonly key: SshKey;
}

/** Skips invalid lines that root wrote by hand, as sshd does, so that they hide no key. */
async function keysOf(machine: Machine, user: SshUser): Promise<KeyLine[]> {
  const found: KeyLine[] = [];
  for (const [at, line] of (await linesOf(machine, user)).entries()) {
    try {
      found.push({ line, key: await keyOf(machine, user, line) });
    } catch (cause) {
      if (!(cause instanceof HostError) || cause.code !== 'BAD_REQUEST') throw cause;
      const comment = line.slice(0, SHOWN_MAX);
      found.push({ line, key: { user, fingerprint: `line-${at + 1}`, type: 'no-key', comment } });
    }
  }
  return found;
}

/** `256 SHA256:... comment (ED25519)`. Rejects BAD_REQUEST where the line is invalid. */
async function keyOf({ run }: Machine, user: SshUser, line: string): Promise<SshKey> {
  const { code, stdout, stderr } = await run('ssh-keygen', ['-l', '-f', '-'], {
    input: `${line}\n`,
  });
  const found = /^\d+ (\S+) (.*) \(([\w-]+)\)$/m.exec(stdout);
  if (code === 0 && found) {
    const [, fingerprint, comment, type] = found;
    return { user, fingerprint: fingerprint!, type: type!, comment: comment! };
  }
  throw new HostError('BAD_REQUEST', `ssh-keygen refuses a key of ${user}: ${stderr.trim()}`);
}
