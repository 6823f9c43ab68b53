import { type ChildProcess, spawn } from 'node:child_process';

const LIMIT_MS = 240_000;

/** A guest on its serial console. */
export interface Guest extends AsyncDisposable {
  /** Resolves once the console shows this after what was awaited last; rejects with what it shows. */
  expect(text: string | RegExp): Promise<string>;
  type(line: string): void;
  /** Logs in as root and makes the prompt `ready# `. */
  login(): Promise<void>;
  /** Runs a command and answers what it printed. */
  shell(command: string): Promise<string>;
  /** Shuts down and waits for the program's end. */
  powerOff(): Promise<void>;
}

/** `args`: of the guest's disks; or a whole command whose terminal is the guest's console. */
export function startGuest(args: readonly string[], command?: string, cwd?: string): Guest {
  const machine = ['-machine', 'pc,accel=tcg', '-cpu', 'max', '-smp', '2', '-m', '1024'];
  const console = [
    '-nographic',
    '-no-reboot',
    '-nodefaults',
    '-serial',
    'mon:stdio',
    '-nic',
    'none',
  ];
  const child = command
    ? spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], ...(cwd && { cwd }) })
    : spawn('qemu-system-x86_64', [...machine, ...console, ...args], {
        stdio: ['pipe', 'pipe', 'pipe'],
      });
  return guestOn(child);
}

function guestOn(child: ChildProcess): Guest {
  let shown = '';
  let from = 0;
  let wake = (): void => {};
  let isOver = false;
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      shown += text;
      wake();
    });
  }
  const closed = new Promise<void>((resolve) =>
    child.on('close', () => {
      isOver = true;
      wake();
      resolve();
    }),
  );
  const guest: Guest = {
    async expect(wanted) {
      const limit = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
      try {
        for (;;) {
          const rest = shown.slice(from);
          const found = typeof wanted === 'string' ? rest.indexOf(wanted) : rest.search(wanted);
          if (found >= 0) {
            const length =
              typeof wanted === 'string' ? wanted.length : rest.match(wanted)![0].length;
            from += found + length;
            return rest.slice(0, found + length);
          }
          if (isOver) throw new Error(`no "${wanted}" in: ${shown.slice(-3000)}`);
          await new Promise<void>((resolve) => (wake = resolve));
        }
      } finally {
        clearTimeout(limit);
      }
    },
    type: (line) => void child.stdin!.write(`${line}\n`),
    async login() {
      await guest.expect('login: ');
      guest.type('root');
      await guest.expect('Password: ');
      guest.type('root');
      await guest.expect(/root@\w+:~# /);
      // Echoed in two parts, so that only the prompt itself is the whole.
      guest.type("stty -echo; PS1='rea''dy# '; export TERM=dumb");
      await guest.expect('ready# ');
    },
    async shell(command) {
      guest.type(command);
      return (await guest.expect('ready# ')).slice(0, -'ready# '.length);
    },
    async powerOff() {
      guest.type('systemctl poweroff');
      await closed;
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await closed;
    },
  };
  return guest;
}
