import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { joinSockets } from './joined-sockets.ts';
import { outputPipe } from './output-pipe.ts';

/*
 * The first process of a sandbox that has no network: `sandbox-main.ts SCRIPT SOCKETS`. Each socket in the
 * directory, which has a port's number as its name, becomes a port of the loopback in here, for programs that speak
 * TCP only. Then the script runs. The process that waits for its result holds the other end of the input: once that is
 * closed this ends, and with it all of the sandbox. Nothing of ours is in there but this folder, so it imports
 * nothing else. The exit code proves nothing: systemd counts some signals as a clean end, and a script may send them.
 * So the last line on standard error, which the script does not have, says how the script ended.
 */

const NOT_STARTED = 126;
const SIGNALED = 128;
const LEFT_ALONE = 1;

const [script, sockets] = process.argv.slice(2) as [string, string];
const environment: Record<string, string | undefined> = { ...process.env };
const ports = readdirSync(sockets);
for (const port of ports) environment[`HOLDFAST_PORT_${port}`] = String(await opened(port));
environment['HOLDFAST_PORTS'] = ports.join(' ');
environment['HOLDFAST_ADDRESS'] = '127.0.0.1';

const output = outputPipe(process.stdout);

for (const name of ['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGPIPE'] as const) process.on(name, () => {});

// Until here whatever ends it is a fault of the sandbox, not the script's word.
process.stderr.write('the script begins\n');
// In the order in which the script writes: what it says of errors belongs to its other lines.
const child = spawn(script, [], {
  stdio: ['ignore', output.writing, output.writing],
  env: environment,
  // A group of its own: "kill 0", as many scripts have it in a trap, must not reach this process.
  detached: true,
});
child.on('error', (cause) => output.end(`${cause.message}\n`, () => process.exit(NOT_STARTED)));
child.on('exit', (code, signal) => {
  const words = code === null ? `${signal ?? 'a signal'} ended it\n` : '';
  killGroup();
  output.end(words, () => {
    const end = code ?? SIGNALED;
    process.stderr.write(`the script ended: ${end}\n`, () => process.exit(end));
  });
});
process.stdin.resume();
process.stdin.on('close', () => {
  killGroup();
  process.exit(LEFT_ALONE);
});

/** What the script has left behind, too. */
function killGroup(): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // All of it has ended.
  }
}

/** The port at which that socket is reached. */
function opened(port: string): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (client) => {
    joinSockets(client, connect({ path: `${sockets}/${port}`, allowHalfOpen: true }));
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
  });
}
