import type { ProofState } from '../../formats/store/catalog/proof-result.ts';
import { failureIn, readyIn } from './signs.ts';

/*
 * From what was seen of a guest so far to what it means. Synchronous and pure: `prove.ts` looks, this decides.
 */

/** What was seen of the guest so far. */
export interface Seen {
  readonly elapsedMs: number;
  readonly timeoutMs: number;
  /** The end of its serial line. */
  readonly serial: string;
  readonly screen: SeenScreen;
  /** Since when neither the serial line nor the screen has changed. */
  readonly quietMs: number;
  readonly agentAnswers: boolean;
  /** What said before that it is up: the serial line is kept only in part, and screens change. */
  readonly wasUp?: string | undefined;
  /** How often the guest has restarted itself. */
  readonly resets: number;
  /** It said so through its panic device. */
  readonly panicked: boolean;
  readonly poweredOff: boolean;
  /** Reads of its disks that failed, since the store has lost that part of the point. */
  readonly lost: string | undefined;
  /** Why QEMU is gone. */
  readonly ended: string | undefined;
  /** The checks that were asked for; empty: whether it is up is enough. */
  readonly asked: readonly AskedCheck[];
}

export interface SeenScreen {
  /** The characters on it, in text mode. */
  readonly text?: string | undefined;
  /** It has one color. */
  readonly isBlank: boolean;
}

export interface AskedCheck {
  /** For people: "port 80". */
  readonly name: string;
  readonly hasPassed: boolean;
  /** What was seen last. */
  readonly detail: string;
  /** It is not tried again. */
  readonly isOver?: boolean;
}

export interface Verdict {
  readonly state: ProofState;
  readonly reason: string;
}

/** One restart is normal after some updates; two may be an update and a check of a disk. */
const RESETS_MAX = 3;
/** Longer than a system loads drivers without a sign of life, also under emulation; of a short time, half of it. */
const QUIET_MS = 60_000;

/** What says that the guest is up; undefined: nothing does yet. */
export function upBecause(
  seen: Pick<Seen, 'agentAnswers' | 'serial' | 'screen' | 'wasUp'>,
): string | undefined {
  if (seen.wasUp !== undefined) return seen.wasUp;
  if (seen.agentAnswers) return 'the guest agent answers';
  const onSerial = readyIn(seen.serial);
  if (onSerial !== undefined) return `the serial line shows "${onSerial}"`;
  const onScreen = readyIn(seen.screen.text ?? '');
  return onScreen === undefined ? undefined : `the screen shows "${onScreen}"`;
}

/** Undefined: not decided yet. */
export function verdictOf(seen: Seen): Verdict | undefined {
  return failed(seen) ?? succeeded(seen) ?? refused(seen) ?? outOfTime(seen);
}

function failed(seen: Seen): Verdict | undefined {
  const { lost, ended, panicked, resets, poweredOff, screen } = seen;
  if (ended !== undefined) return verdict('qemu-ended', ended);
  const sign = failureIn(seen.serial) ?? failureIn(screen.text ?? '');
  const hasStopped = sign !== undefined || panicked || resets >= RESETS_MAX || poweredOff;
  // A system stops in many ways over a part of its disk that cannot be read: that is the cause.
  if (lost !== undefined && hasStopped) return verdict('damaged', lost);
  // An administrator who names the question for a passphrase means that the boot can come no further.
  const isFar = sign?.kind === 'passphrase' && seen.asked.length > 0 && succeeded(seen);
  if (sign && !isFar) return verdict(sign.kind, `"${sign.line}"`);
  if (panicked) return verdict('panic', 'the guest reported it through its panic device');
  if (resets >= RESETS_MAX) return verdict('reboot-loop', `${resets} restarts so far`);
  return poweredOff ? verdict('powered-off', '') : undefined;
}

function succeeded(seen: Seen): Verdict | undefined {
  const { asked } = seen;
  const up = upBecause(seen);
  const isDone = asked.length > 0 ? asked.every(({ hasPassed }) => hasPassed) : up !== undefined;
  if (!isDone) return undefined;
  // That it came up nevertheless proves a machine without that part, which is not the one that was backed up.
  if (seen.lost !== undefined) return verdict('damaged', `${seen.lost}; the machine came up`);
  const passed = asked.map(({ name, detail }) => `${name}: ${detail}`);
  return verdict('works', [...(up === undefined ? [] : [up]), ...passed].join('; '));
}

function outOfTime(seen: Seen): Verdict | undefined {
  const { elapsedMs, timeoutMs, quietMs, lost, asked } = seen;
  if (elapsedMs < timeoutMs) return undefined;
  if (lost !== undefined) return verdict('damaged', lost);
  const up = upBecause(seen);
  if (up !== undefined) return unhealthy(up, asked);
  const seconds = Math.round(elapsedMs / 1000);
  if (seen.screen.isBlank && seen.serial.trim() === '') {
    return verdict('hangs', `nothing was shown within ${seconds} s`);
  }
  if (quietMs < Math.min(QUIET_MS, timeoutMs / 2)) return verdict('slow', `${seconds} s`);
  const quiet = `nothing has changed for ${Math.round(quietMs / 1000)} s`;
  // A picture that rests is most often a system that is up; text, or nothing, one that does not come up.
  const isPicture = seen.screen.text === undefined && !seen.screen.isBlank;
  return verdict(isPicture ? 'unclear' : 'hangs', quiet);
}

/** A check that will not be tried again has not passed. */
function refused(seen: Seen): Verdict | undefined {
  if (!seen.asked.some(({ isOver, hasPassed }) => isOver && !hasPassed)) return undefined;
  if (seen.lost !== undefined) return verdict('damaged', seen.lost);
  return unhealthy(upBecause(seen) ?? 'it answers', seen.asked);
}

function unhealthy(up: string, asked: readonly AskedCheck[]): Verdict {
  const open = asked.filter(({ hasPassed }) => !hasPassed);
  const what = open.map(({ name, detail }) => `${name} (${detail})`).join(', ');
  return verdict('unhealthy', `${up}, but not all checks passed: ${what}`);
}

function verdict(state: ProofState, what: string): Verdict {
  return { state, reason: SENTENCES[state].replace('{}', () => what) };
}

/** States whose reasons hold no lines of the guest. */
const WITHOUT_QUOTES: ReadonlySet<string> = new Set<ProofState>([
  ...(['unclear', 'hangs', 'slow', 'reboot-loop', 'powered-off', 'damaged', 'qemu-ended'] as const),
]);

/** The reason of a verdict without what the guest has shown. `state`: a later release may have added it. */
export function reasonWithoutQuotes(state: string, reason: string): string {
  if (WITHOUT_QUOTES.has(state)) return reason;
  const what = 'what was seen is shown with the passkey of the set';
  return Object.hasOwn(SENTENCES, state) ? verdict(state as ProofState, what).reason : what;
}

/** What was seen, then what to do about it. `{}`: the details. */
const SENTENCES = {
  works: 'The machine boots and works: {}.',
  unhealthy:
    'The machine boots, and {}. Find the cause in the guest ("recover --boot" runs it), or ask for other checks.',
  unclear:
    'The machine runs, but nothing says whether it works: {}, and there is no guest agent, no login on the serial ' +
    'line and no text on the screen. Look at the screenshot, and give a check: --port, --http or --text; or install ' +
    'a guest agent.',
  hangs:
    'The machine hangs: {}. Compare the screenshot and the serial log with those of an older recovery point; if that ' +
    'one boots, a later change is the cause.',
  slow:
    'The machine was still starting after {}: allow more time with --timeout. A box without hardware virtualization ' +
    'emulates the processor, which takes many times as long.',
  panic:
    'The kernel of the guest has panicked: {}. If an older recovery point boots, a later update of the kernel or its ' +
    'drivers is the likely cause; if none boots, the machine may need a device that this box does not have.',
  'no-boot-device':
    'The firmware finds nothing to boot: {}. Check whether the disk with the system is in the recovery point ' +
    '("backup show"), and whether the machine boots by BIOS or UEFI (--firmware).',
  'boot-loader':
    'The boot loader fails: {}. Its files or its configuration are missing or damaged in the guest. Repair it in a ' +
    'session ("recover --boot") with a rescue system, or use an older recovery point.',
  'file-system-check':
    'The guest asks for a check of a file system: {}. The file system was damaged when the backup was made, or the ' +
    'machine was not frozen. Check the file systems of the machine itself, and back it up again.',
  emergency:
    'The guest waits in an emergency shell: {}. Most often a disk of its fstab is missing: check whether disks ' +
    'were left out of the recovery point ("backup show").',
  passphrase:
    'The guest waits for the passphrase of an encrypted disk: {}. The boot loader and the kernel work; nothing ' +
    'behind the passphrase can be proven. To accept this as success, give that text with --text.',
  'reboot-loop':
    'The machine restarts again and again: {}. Its serial log shows where; if an older recovery point boots, a ' +
    'later change is the cause.',
  'powered-off':
    'The machine has powered itself off before it was up. Its serial log shows why; some systems do so when a ' +
    'device is missing.',
  damaged:
    'The store has lost data that this boot read: {}. Run "store check --read-data", and use another recovery point.',
  'qemu-ended': 'QEMU ended, so nothing is known of the machine: {}.',
} as const satisfies Record<ProofState, string>;
