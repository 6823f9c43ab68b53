import { writeSync } from 'node:fs';
import { inheritedDescriptors } from './inherited-descriptors.ts';

/*
 * What systemd is told about a service (sd_notify(3)). Node has no unix datagram sockets, so one comes already
 * connected: from the unit's `OpenFile=/run/systemd/notify:notify` (systemd 253 and later), or from
 * systemd/notify-launcher, which says in the environment which descriptor it is. Each write is one message.
 */
export interface ServiceNotices extends Disposable {
  /** It serves. `status` is what `systemctl status` shows. */
  ready(status: string): void;
  status(text: string): void;
  /** It reads its settings again; to be followed by `ready`. */
  reloading(): void;
  stopping(): void;
}

type Environment = Readonly<Record<string, string | undefined>>;

const NAME = 'notify';
const VARIABLE = 'HOLDFAST_NOTIFY_FD';
const DESCRIPTOR = /^\d{1,6}$/;
/** The shortest time between two signs of life, whatever a unit asks for. */
const WATCHDOG_MS_MIN = 10;

/**
 * Says nothing where nobody listens. From the first call on, the event loop's life is told at half of the unit's
 * WatchdogSec: one that is stuck is killed and started again. Disposing ends that.
 */
export function serviceNotices(environment: Environment): ServiceNotices {
  const descriptor = descriptorOf(environment);
  function send(...lines: string[]): void {
    if (descriptor === undefined) return;
    try {
      writeSync(descriptor, `${lines.join('\n')}\n`);
    } catch {
      // systemd is gone, or restarts itself: what it needs to know it finds out by its own timeouts.
    }
  }
  const everyMs = descriptor === undefined ? undefined : watchdogMs(environment);
  const timer =
    everyMs === undefined ? undefined : setInterval(() => send('WATCHDOG=1'), everyMs / 2);
  // It must not keep a process alive that has nothing left to do.
  timer?.unref();
  return {
    ready: (status) => send('READY=1', statusLine(status)),
    status: (text) => send(statusLine(text)),
    reloading() {
      // Node's clock is CLOCK_MONOTONIC, which systemd compares with its own.
      send('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
    },
    stopping() {
      // From here on systemd waits for the end only.
      clearInterval(timer);
      send('STOPPING=1');
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

/** A line break would begin another assignment. */
function statusLine(text: string): string {
  return `STATUS=${text.replaceAll(/\s*\n\s*/g, ' | ')}`;
}

function descriptorOf(environment: Environment): number | undefined {
  const given = environment[VARIABLE];
  if (given !== undefined && DESCRIPTOR.test(given)) return Number(given);
  return inheritedDescriptors(environment).get(NAME)?.[0];
}

/** sd_watchdog_enabled(3). */
function watchdogMs({ WATCHDOG_USEC: time, WATCHDOG_PID: pid }: Environment): number | undefined {
  const ms = Number(time) / 1000;
  if (!(ms > 0) || (pid !== undefined && pid !== String(process.pid))) return undefined;
  return Math.max(ms, WATCHDOG_MS_MIN);
}
