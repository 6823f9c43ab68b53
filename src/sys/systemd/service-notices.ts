import { writeSync } from 'node:fs';
import { inheritedDescriptors } from './inherited-descriptors.ts';

/*
 * Notifies systemd about a service (sd_notify(3)). Node has no unix datagram sockets, so one comes already connected:
 * from the unit's `OpenFile=/run/systemd/notify:notify` (systemd 253 and later), or from systemd/notify-launcher,
 * which names the descriptor in the environment. Each write is one message.
 */
export interface ServiceNotices extends Disposable {
  /** The service is ready. `systemctl status` shows `status`. */
  ready(status: string): void;
  status(text: string): void;
  /** The service reads its settings again; call `ready` afterwards. */
  reloading(): void;
  stopping(): void;
}

type Environment = Readonly<Record<string, string | undefined>>;

const NAME = 'notify';
const VARIABLE = 'HOLDFAST_NOTIFY_FD';
const DESCRIPTOR = /^\d{1,6}$/;
/** The shortest interval between two watchdog messages, regardless of what a unit asks for. */
const WATCHDOG_MS_MIN = 10;

/**
 * Does nothing if no service manager listens. From the first call on, the event loop reports that it is alive at half
 * of the unit's WatchdogSec: a stuck service is killed and started again. Disposing ends that.
 */
export function serviceNotices(environment: Environment): ServiceNotices {
  const descriptor = descriptorOf(environment);
  function send(...lines: string[]): void {
    if (descriptor === undefined) return;
    try {
      writeSync(descriptor, `${lines.join('\n')}\n`);
    } catch {
      // systemd is gone, or restarts: its own timeouts make up for the message.
    }
  }
  const everyMs = descriptor === undefined ? undefined : watchdogMs(environment);
  const timer =
    everyMs === undefined ? undefined : setInterval(() => send('WATCHDOG=1'), everyMs / 2);
  // The timer must not keep alive a process that has nothing left to do.
  timer?.unref();
  return {
    ready: (status) => send('READY=1', statusLine(status)),
    status: (text) => send(statusLine(text)),
    reloading() {
      // Node's clock is CLOCK_MONOTONIC, which systemd compares with its own.
      send('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
    },
    stopping() {
      // From now on systemd only waits for the end.
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
