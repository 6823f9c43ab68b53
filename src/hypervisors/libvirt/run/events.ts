import type { LibvirtDomain } from '../../../formats/wire/libvirt.ts';
import type { HypervisorEvent } from '../../base/run-driver.ts';
import { HypervisorError } from '../../base/hypervisor-error.ts';
import type { Link } from '../link.ts';
import type { RunHost } from './run-host.ts';

/** How often a host that is away is looked for. */
const AGAIN_MS = 1000;
const AGAIN_MAX_MS = 30_000;
/** Machines with an event that the caller has not taken yet: no host has more. */
const WAITING_MAX = 10_000;

/** On a connection of its own, which is opened again when it is lost. Ends with the signal. */
export async function* eventsOf(
  host: RunHost,
  signal: AbortSignal,
): AsyncGenerator<HypervisorEvent> {
  let isAway = false;
  let pauseMs = AGAIN_MS;
  while (!signal.aborted) {
    const link = await connected(host, signal);
    if (link) {
      pauseMs = AGAIN_MS;
      await using lent = link;
      const queue = await listening(lent, signal);
      if (isAway) yield { kind: 'back' };
      isAway = false;
      yield* queue;
      if (signal.aborted) return;
    }
    if (!isAway) yield { kind: 'away' };
    isAway = true;
    await host.clock.sleep(pauseMs, signal).catch(() => {});
    pauseMs = Math.min(2 * pauseMs, AGAIN_MAX_MS);
  }
}

/** Undefined: the host is not there. */
async function connected(host: RunHost, signal: AbortSignal): Promise<Link | undefined> {
  try {
    return await host.connect(signal);
  } catch (cause) {
    if (signal.aborted || cause instanceof HypervisorError) return undefined;
    throw cause;
  }
}

/** What comes until the connection ends, or the signal. */
async function listening(link: Link, signal: AbortSignal): Promise<AsyncIterable<HypervisorEvent>> {
  const waiting = new Set<string>();
  const over = new AbortController();
  let wake = (): void => {};
  const onEvent = ({ domain }: { readonly domain: LibvirtDomain }): void => {
    if (waiting.size < WAITING_MAX) waiting.add(domain.uuid);
    wake();
  };
  const end = (): void => {
    over.abort();
    wake();
  };
  void link.ended.then(end);
  signal.addEventListener('abort', end, { once: true });
  try {
    for (const kind of ['lifecycle', 'io-error', 'block-job', 'agent'] as const) {
      await link.listen(kind, onEvent);
    }
  } catch (cause) {
    // It was lost at once: as if nothing had come.
    if (!(cause instanceof HypervisorError)) throw cause;
    end();
  }
  return (async function* (): AsyncGenerator<HypervisorEvent> {
    try {
      while (!over.signal.aborted && !signal.aborted) {
        const [id] = waiting;
        if (id === undefined) {
          await new Promise<void>((resolve) => (wake = resolve));
          continue;
        }
        waiting.delete(id);
        yield { kind: 'machine', id };
      }
    } finally {
      signal.removeEventListener('abort', end);
    }
  })();
}
