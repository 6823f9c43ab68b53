import { flag } from '../../base/rows.ts';
import { SERVICE_SOCKET } from '../../../client/service-socket.ts';
import { systemClock } from '../../../sys/base/clock.ts';
import { hasTerminal } from '../../../sys/terminal/raw-terminal.ts';
import { startAgainWith } from '../../../sys/process/start-again.ts';
import type { Command } from '../../base/command.ts';
import { UsageError } from '../../base/command-errors.ts';

/**
 * Short-lived objects (rows, answers) are collected every MiB, not every 16: a tenth less memory, without a visible
 * delay.
 */
const SMALL = ['--max-semi-space-size=1'];

export const command: Command = {
  summary: 'Show status, sessions and jobs on a full screen',
  about: [
    'Shows the status, recovery points and sessions of the service in this terminal (80x24 or larger).',
  ],
  args: [],
  options: [
    flag('set-up', 'begin with the set-up of a new host'),
    flag('login', 'the key l ends the console and shows a login: for terminals without a login'),
  ],
  examples: ['console'],
  async prepare() {
    if (!hasTerminal()) throw new UsageError('the console needs a terminal');
    // Code compiled before the restart need not be compiled again.
    await import('../../../console/app/run.ts');
    startAgainWith(SMALL);
  },
  async run(input, { named: service = SERVICE_SOCKET, signal }) {
    const { runConsole } = await import('../../../console/app/run.ts');
    const { TERM: term = '', LC_ALL: all, LC_CTYPE: type, LANG: language } = process.env;
    // The first that is set, as in POSIX.
    const locale = all || type || language || '';
    const leaving = input.flag('login')
      ? ({ key: 'l', word: 'log in' } as const)
      : ({ key: 'q', word: 'leave' } as const);
    const screen = input.flag('set-up') ? 'setUp' : 'status';
    await runConsole({ service, term, locale, leaving, screen, signal, clock: systemClock() });
  },
};
