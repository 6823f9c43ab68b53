import type { Clock } from '../sys/clock.ts';
import { descriptorNamed, writeDescriptor } from '../sys/passed-descriptors.ts';

/*
 * What systemd is told (sd_notify(3)), through the socket that it opened for us (`OpenFile=/run/systemd/notify:notify`,
 * systemd 253): Node cannot open it itself. Without one nobody is told anything.
 */
export interface Notify {
  ready(status: string): void;
  status(text: string): void;
  reloading(monotonicMicroseconds: bigint): void;
  stopping(): void;
  /** It lives. */
  alive(): void;
  /** How often to say so; undefined: nobody asks. */
  readonly aliveEveryMs: number | undefined;
}

/** The part of the environment that systemd sets. */
export interface NotifyEnvironment {
  readonly pid: number;
  readonly LISTEN_PID: string | undefined;
  readonly LISTEN_FDNAMES: string | undefined;
  readonly WATCHDOG_USEC: string | undefined;
  readonly WATCHDOG_PID: string | undefined;
}

const NAME = 'notify';
/** Three times in each period: one that is late does not end the service. */
const SIGNS_A_PERIOD = 3;

export function openNotify(environment: NotifyEnvironment): Notify {
  const { WATCHDOG_USEC: period, WATCHDOG_PID: watched, pid } = environment;
  const fd = descriptorNamed(NAME, environment);
  const send = (...lines: readonly string[]): void => {
    if (fd !== undefined) writeDescriptor(fd, `${lines.join('\n')}\n`);
  };
  const isWatched = fd !== undefined && (watched === undefined || Number(watched) === pid);
  const periodMs = Number(period ?? 0) / 1000;
  return {
    ready: (status) => send('READY=1', line(status)),
    status: (text) => send(line(text)),
    reloading: (time) => send('RELOADING=1', `MONOTONIC_USEC=${time}`),
    stopping: () => send('STOPPING=1'),
    alive() {
      if (isWatched) send('WATCHDOG=1');
    },
    aliveEveryMs: isWatched && periodMs > 0 ? periodMs / SIGNS_A_PERIOD : undefined,
  };
}

/** How often `systemctl status` may be out of date. */
const STATUS_MS = 30_000;

/** Says that the service lives, as often as is asked for, and how it is, until `signal`. */
export async function showLife(
  clock: Clock,
  notify: Notify,
  { service, signal }: { readonly service: { status(): string }; readonly signal: AbortSignal },
): Promise<void> {
  let told = service.status();
  let toldAt = clock.monotonicMs();
  while (!signal.aborted) {
    notify.alive();
    const now = clock.monotonicMs();
    if (now - toldAt >= STATUS_MS && service.status() !== told) {
      told = service.status();
      toldAt = now;
      notify.status(told);
    }
    await clock.sleep(notify.aliveEveryMs ?? STATUS_MS, signal).catch(() => {});
  }
}

/** A line break would be another message. */
function line(status: string): string {
  return `STATUS=${status.replaceAll(/\s+/g, ' ')}`;
}
