import { addressFamily } from '../../sys/net/networks.ts';
import { HostError } from '../base/host-error.ts';
import type { Machine } from '../base/machine.ts';
import { isDomainName, isHostName } from '../base/names.ts';
import { jsonOutput, output, type RunProgram } from '../base/programs.ts';
import { readText, removeText, writeText } from '../base/text-files.ts';

/* Name, time and keyboard. Undefined in a change: unchanged. */

export interface HostSettings {
  readonly hostname: string;
  readonly timezone: string;
  /** Empty: Debian's defaults. */
  readonly ntp: readonly string[];
  /** The layout's name in XKB; null: not chosen. */
  readonly keyboard: string | null;
}

export interface HostView extends HostSettings {
  readonly system: string;
  readonly kernel: string;
  /** Whether the clock follows a server now. */
  readonly isSynchronized: boolean;
  /** Whether the administrator has a password; null: there is no such account. */
  readonly hasPassword: boolean | null;
}

export type HostChange = { readonly [K in keyof HostSettings]?: HostSettings[K] | undefined };

/** The account for the console, and for maintenance over SSH (appliance/ssh/sysusers.conf). */
const ADMINISTRATOR = 'admin';
const TIMESYNCD = 'systemd-timesyncd.service';
const NTP_FILE = '/etc/systemd/timesyncd.conf.d/10-holdfast.conf';
const KEYBOARD_FILE = '/etc/default/keyboard';
/** The list of layouts, part of xkb-data. */
const LAYOUTS_FILE = '/usr/share/X11/xkb/rules/base.lst';
const PASSWORD_MIN = 10;
const PASSWORD_MAX = 512;

/** Output of `hostnamectl --json`. */
interface Named {
  readonly StaticHostname?: string | null;
  readonly Hostname?: string | null;
  readonly OperatingSystemPrettyName?: string | null;
  readonly KernelRelease?: string | null;
}

export async function showHost({ files, run }: Machine): Promise<HostView> {
  const named = (await jsonOutput(run, 'hostnamectl', ['--json=short'])) as Named;
  const time = valuesOf(await output(run, 'timedatectl', ['show']));
  const ntp = /^NTP=(.*)$/m.exec((await readText(files, NTP_FILE)) ?? '')?.[1] ?? '';
  const keyboard = /^XKBLAYOUT="?([^"\n]*)"?$/m.exec((await readText(files, KEYBOARD_FILE)) ?? '');
  return {
    hostname: named.StaticHostname ?? named.Hostname ?? '',
    timezone: time.get('Timezone') ?? 'UTC',
    ntp: ntp.split(' ').filter((it) => it !== ''),
    keyboard: keyboard?.[1] || null,
    system: named.OperatingSystemPrettyName ?? '',
    kernel: named.KernelRelease ?? '',
    isSynchronized: time.get('NTPSynchronized') === 'yes',
    hasPassword: await hasPassword(run),
  };
}

/** Checks everything before it changes anything. Rejects BAD_REQUEST, REFUSED. */
export async function setHost(machine: Machine, change: HostChange): Promise<void> {
  const { files, run } = machine;
  const { hostname, timezone, ntp, keyboard } = change;
  await checkChange(machine, change);
  if (hostname !== undefined) await output(run, 'hostnamectl', ['hostname', hostname]);
  if (timezone !== undefined) await output(run, 'timedatectl', ['set-timezone', timezone]);
  if (ntp !== undefined) {
    if (ntp.length === 0) await removeText(files, NTP_FILE);
    else await writeText(files, NTP_FILE, `[Time]\nNTP=${ntp.join(' ')}\n`);
    await output(run, 'timedatectl', ['set-ntp', 'true']);
    await output(run, 'systemctl', ['try-restart', TIMESYNCD]);
  }
  if (keyboard !== undefined && keyboard !== null) {
    await writeText(files, KEYBOARD_FILE, keyboardFile(keyboard));
    // For the next start, and for the present screens.
    await output(run, 'setupcon', ['--save-only']);
    await run('systemctl', ['try-restart', 'keyboard-setup.service']);
  }
}

async function checkChange(
  { files, run }: Machine,
  { hostname, timezone, ntp, keyboard }: HostChange,
): Promise<void> {
  if (hostname !== undefined && !isHostName(hostname)) {
    bad(`"${hostname}" is not a host name: letters, digits and hyphens, up to 64 characters`);
  }
  if (timezone !== undefined) {
    const known = (await output(run, 'timedatectl', ['list-timezones'])).split('\n');
    if (!known.includes(timezone) || timezone === '') {
      bad(`there is no time zone "${timezone}": see "timedatectl list-timezones"`);
    }
  }
  if (ntp !== undefined) {
    const wrong = ntp.find((it) => addressFamily(it) === undefined && !isDomainName(it));
    if (wrong !== undefined) bad(`"${wrong}" is neither the name nor the address of a time server`);
    const state = await output(run, 'systemctl', ['show', '-P', 'LoadState', TIMESYNCD]);
    if (state.trim() !== 'loaded') {
      throw new HostError(
        'REFUSED',
        'systemd-timesyncd is not installed: apt-get install systemd-timesyncd',
      );
    }
  }
  if (keyboard === undefined || keyboard === null) return;
  const layouts = await readText(files, LAYOUTS_FILE);
  if (layouts === undefined) {
    throw new HostError(
      'TOOL_MISSING',
      'no keyboard layouts are installed: apt-get install console-setup',
    );
  }
  if (!layoutsIn(layouts).has(keyboard)) {
    bad(`there is no keyboard layout "${keyboard}": us, gb, de, ch, fr ... as in ${LAYOUTS_FILE}`);
  }
}

/**
 * Sets a password of at least ten characters of any language; the account is locked until then. Rejects BAD_REQUEST,
 * NOT_FOUND.
 */
export async function setPassword({ run }: Machine, password: Uint8Array): Promise<void> {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(password);
  } catch {
    return bad('the password is not UTF-8');
  }
  const { length } = Array.from(text);
  if (length < PASSWORD_MIN) bad(`a password has at least ${PASSWORD_MIN} characters`);
  if (length > PASSWORD_MAX) bad(`a password has at most ${PASSWORD_MAX} characters`);
  if (/\p{Cc}/u.test(text)) bad('a password must not have control characters');
  if ((await hasPassword(run)) === null) throw noAccount();
  await output(run, 'chpasswd', [], { input: `${ADMINISTRATOR}:${text}\n` });
}

/** Locks the password until a new one is set. */
export async function lockPassword({ run }: Machine): Promise<void> {
  if ((await hasPassword(run)) !== null) await output(run, 'passwd', ['--lock', ADMINISTRATOR]);
}

/** Null: there is no such account. passwd(1): P means a usable password. */
async function hasPassword(run: RunProgram): Promise<boolean | null> {
  const { code, stdout } = await run('passwd', ['--status', ADMINISTRATOR]);
  return code === 0 ? stdout.split(' ')[1] === 'P' : null;
}

function noAccount(): HostError {
  return new HostError(
    'NOT_FOUND',
    `this host has no user ${ADMINISTRATOR}: run sh appliance/install --ssh to create it`,
  );
}

/** The section `! layout`: a name and words on each line. */
function layoutsIn(text: string): ReadonlySet<string> {
  const section = /^! layout\n([^!]*)/m.exec(text)?.[1] ?? '';
  return new Set([...section.matchAll(/^\s+(\S+)\s/gm)].map(([, name]) => name!));
}

/** keyboard(5). */
function keyboardFile(layout: string): string {
  return [
    '# Made by "holdfast host set".',
    'XKBMODEL="pc105"',
    `XKBLAYOUT="${layout}"`,
    'XKBVARIANT=""',
    'XKBOPTIONS=""',
    'BACKSPACE="guess"',
    '',
  ].join('\n');
}

function valuesOf(text: string): ReadonlyMap<string, string> {
  return new Map(
    text.split('\n').map((line) => {
      const at = line.indexOf('=');
      return [line.slice(0, at), line.slice(at + 1)] as const;
    }),
  );
}

function bad(message: string): never {
  throw new HostError('BAD_REQUEST', message);
}
