import type { Picture } from '../../formats/image/picture.ts';
import type { Clock } from '../../sys/base/clock.ts';
import { HypervisorError } from '../../hypervisors/base/hypervisor-error.ts';
import { hasChanged, isBlank, textOn } from './screen-text.ts';
import type { Font } from './screen-text.ts';
import type { RunningGuest } from './running-guest.ts';
import type { SeenScreen } from './verdict.ts';

/** The screen and the serial line of a guest, over time. */
export interface ScreenWatch {
  readonly picture: Picture | undefined;
  readonly seen: SeenScreen;
  /** Since when neither the screen nor the serial line has changed. */
  readonly quietMs: number;
  look(signal: AbortSignal): Promise<void>;
}

/** A picture takes QEMU and us some milliseconds. */
const PICTURE_MS = 1000;

function isSame(one: Picture, other: Picture): boolean {
  return one.width === other.width && Buffer.compare(one.rgb, other.rgb) === 0;
}

/** `font`: undefined: no text on it can be read. */
export function watchScreen(
  guest: RunningGuest,
  clock: Clock,
  font: Font | undefined,
): ScreenWatch {
  let picture: Picture | undefined;
  let seen: SeenScreen = { isBlank: true };
  let length = 0;
  let changed = clock.monotonicMs();
  let looked = Number.NEGATIVE_INFINITY;

  function note(next: Picture | undefined): void {
    if (!next) {
      // What it showed before says nothing of what it shows now.
      if (picture) changed = clock.monotonicMs();
      picture = undefined;
      seen = { isBlank: true };
      return;
    }
    // Most often, and then all is known of it.
    if (picture && isSame(picture, next)) return;
    const text = font && textOn(next, font);
    const isOther =
      text !== undefined && seen.text !== undefined
        ? text !== seen.text
        : !picture || hasChanged(picture, next);
    if (isOther) changed = clock.monotonicMs();
    picture = next;
    seen = { isBlank: isBlank(next), ...(text !== undefined && { text }) };
  }
  return {
    get picture() {
      return picture;
    },
    get seen() {
      return seen;
    },
    get quietMs() {
      return clock.monotonicMs() - changed;
    },
    async look(signal) {
      if (guest.serial.length !== length) changed = clock.monotonicMs();
      length = guest.serial.length;
      if (guest.ended !== undefined || clock.monotonicMs() - looked < PICTURE_MS) return;
      looked = clock.monotonicMs();
      try {
        note(await guest.screen(signal));
      } catch (cause) {
        signal.throwIfAborted();
        // QEMU has just ended, or is busy: the last picture stays.
        if (!(cause instanceof HypervisorError)) throw cause;
      }
    },
  };
}
