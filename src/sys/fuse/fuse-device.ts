import { readSync, writeSync, writevSync } from 'node:fs';
import {
  FCNTL_SET_FLAGS,
  FCNTL_SET_OWNER,
  type Libc,
  libc,
  POLL_ERROR,
  POLL_IN,
} from '../base/libc.ts';
import { SystemError, systemError } from '../base/system-error.ts';

/**
 * The server's end of a FUSE mount: a descriptor of /dev/fuse that another process has mounted (`fuse-mount.ts`).
 *
 * No thread blocks in a read of it: this thread has other work. While requests follow one another, the thread
 * waits for the next in poll(2), a millisecond at most; then the kernel sends SIGIO for the next one, which wakes the
 * event loop. So an answer costs no hop between threads.
 */
export interface FuseDevice {
  /** Hands each request to `take` until the file system is unmounted; then it resolves. */
  serve(server: FuseServer): Promise<void>;
  /**
   * Sends one whole reply, in one piece or two. If the request was interrupted in the meantime, the reply is dropped.
   */
  send(reply: Uint8Array, body?: Uint8Array): void;
  /** Whether requests are waiting, or the device has ended. */
  hasMore(): boolean;
}

export interface FuseServer {
  /** Memory for the next request, large enough for the largest; undefined: none now, `resume` is called later. */
  room(): Uint8Array | undefined;
  take(request: Uint8Array): void;
  /** Whether no work is under way that needs this thread's event loop. */
  isIdle(): boolean;
  /** Set by the device: to be called when there is room again. */
  resume: () => void;
}

/** The number of requests that are answered before timers and sockets have their turn. */
const TURN_REQUESTS_MAX = 64;
const WAIT_MS = 1;
/** The same as in `servers/connection/busy-poll.ts`. */
const LOOK_MS = 0.1;
/** Turns of the event loop without a request before it goes to sleep. */
const TURNS_MAX = 2;
/** The interval between looks for the mount until it is there. */
const NOT_YET_MS = 2;

/** `fd` is lent; it must have been opened with O_NONBLOCK. */
export function fuseDevice(fd: number, openFlags: number): FuseDevice {
  const c = libc();
  const polled = pollOf(c, fd);
  return {
    hasMore: () => polled(0),
    send(reply, body) {
      try {
        if (body) writevSync(fd, [reply, body]);
        else writeSync(fd, reply);
      } catch (cause) {
        const { code } = cause as NodeJS.ErrnoException;
        // ENOENT: the request was interrupted. ENODEV, EPERM: unmounted in the meantime.
        if (code === 'ENOENT' || code === 'ENODEV' || code === 'EPERM') return;
        throw systemError(cause, 'answer the kernel');
      }
    },
    serve: (server) =>
      new Promise((resolve, reject) => {
        const onSignal = (): void => pump();
        process.on('SIGIO', onSignal);
        c.fcntl(fd, FCNTL_SET_OWNER, process.pid);
        // Keeps the process alive: a signal handler does not.
        const alive = setInterval(() => {}, 2 ** 30);
        let isArmed = false;
        let isScheduled = false;
        let quiet = 0;

        function arm(on: boolean): boolean {
          if (isArmed === on) return true;
          if (c.fcntl(fd, FCNTL_SET_FLAGS, on ? openFlags | O_ASYNC : openFlags) !== 0)
            return false;
          isArmed = on;
          return true;
        }
        function end(cause?: unknown): void {
          clearInterval(alive);
          process.off('SIGIO', onSignal);
          server.resume = () => {};
          if (cause === undefined) resolve();
          else reject(cause);
        }
        function schedule(): void {
          if (isScheduled) return;
          isScheduled = true;
          setImmediate(() => {
            isScheduled = false;
            pump();
          });
        }
        /** Answers the waiting requests, and ensures that it is called again. */
        function pump(): void {
          try {
            arm(false);
            const taken = takeSome();
            if (taken === 'ended') return end();
            if (taken === 'full') return;
            quiet = taken > 0 ? 0 : quiet + 1;
            if (quiet < TURNS_MAX && server.isIdle()) return schedule();
            if (!arm(true)) return void setTimeout(pump, NOT_YET_MS);
            // A request that came before the signal was armed does not send one.
            if (polled(0)) schedule();
          } catch (cause) {
            end(cause);
          }
        }
        function takeSome(): number | 'ended' | 'full' {
          for (let taken = 0; ; taken++) {
            const more = polled(0) || (server.isIdle() && (looks(polled) || polled(WAIT_MS)));
            if (!more || taken >= TURN_REQUESTS_MAX) return taken;
            const room = server.room();
            if (!room) return 'full';
            const length = received(fd, room);
            if (length === 'ended') return 'ended';
            if (length === 0) return taken;
            server.take(room.subarray(0, length));
          }
        }
        server.resume = schedule;
        pump();
      }),
  };
}

const O_ASYNC = 0o20000;

/** Polls for a moment: a wake-up takes longer than most clients take to send the next request. */
function looks(polled: (timeoutMs: number) => boolean): boolean {
  const until = performance.now() + LOOK_MS;
  while (performance.now() < until) if (polled(0)) return true;
  return false;
}

/** 0: no request is waiting, or it is not mounted yet. */
function received(fd: number, into: Uint8Array): number | 'ended' {
  try {
    return readSync(fd, into, 0, into.length, null);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENODEV' || code === 'ECONNABORTED') return 'ended';
    // EPERM: not mounted yet. ENOENT: the request was withdrawn.
    if (code === 'EAGAIN' || code === 'EINTR' || code === 'ENOENT' || code === 'EPERM') return 0;
    throw systemError(cause, 'read from /dev/fuse');
  }
}

/** struct pollfd: i32 descriptor, i16 events, i16 revents. */
function pollOf(c: Libc, fd: number): (timeoutMs: number) => boolean {
  const pollfd = new Uint8Array(8);
  const view = new DataView(pollfd.buffer);
  view.setInt32(0, fd, true);
  view.setInt16(4, POLL_IN, true);
  return (timeoutMs) => {
    if (c.poll(pollfd, 1, timeoutMs) <= 0) return false;
    const found = view.getInt16(6, true);
    if ((found & ~(POLL_IN | POLL_ERROR)) !== 0) {
      throw new SystemError('IO', `/dev/fuse: poll found ${found}`);
    }
    return true;
  };
}
