import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { PATIENCE_MS } from './until.ts';

/** Stands in for systemd's notification socket: Node has no unix datagram sockets, perl has. */
export interface NotifySocket extends AsyncDisposable {
  /** The messages, their lines put together with ";". */
  readonly heard: readonly string[];
  /** Resolves with the first from `from` on that matches. */
  next(what: RegExp, from?: number): Promise<string>;
}

const LISTEN = `
  use Socket;
  socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die $!;
  bind($s, pack_sockaddr_un($ARGV[0])) or die $!;
  $| = 1;
  print "listening\\n";
  while (defined recv($s, my $m, 65536, 0)) { $m =~ s/\\n\\z//; $m =~ s/\\n/;/g; print "$m\\n" }`;

export async function notifySocket(path: string): Promise<NotifySocket> {
  const child = spawn('perl', ['-e', LISTEN, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  const heard: string[] = [];
  let changed = Promise.withResolvers<void>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    heard.push(line);
    changed.resolve();
    changed = Promise.withResolvers();
  });
  const closed = once(child, 'close');
  await changed.promise;
  heard.length = 0;
  return {
    heard,
    async next(what, from = 0) {
      const limit = AbortSignal.timeout(PATIENCE_MS);
      for (;;) {
        const found = heard.slice(from).find((message) => what.test(message));
        if (found !== undefined) return found;
        if (limit.aborted) throw new Error(`no ${what.source} in:\n${heard.join('\n')}`);
        const tick = new Promise((resolve) => setTimeout(resolve, 200));
        await Promise.race([changed.promise, tick]);
      }
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await closed;
    },
  };
}
