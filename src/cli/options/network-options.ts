import type { ResultOf } from '../../operations/operations.ts';
import type { Input } from '../base/command.ts';
import { UsageError } from '../base/command-errors.ts';

export const WITHIN_OPTION = { within: { type: 'string' } } as const;
export const WITHIN_DETAILS = [
  '--within SECONDS    5 to 600 (default: 60): unless "network confirm" comes in that time, the change is rolled',
  '                    back, also if the machine, or all of Holdfast, went down in the meantime',
];
const STANDARD = 60;

export function within(input: Input): number {
  const text = input.text('within');
  const seconds = text === undefined ? STANDARD : Number(text);
  if (Number.isInteger(seconds)) return seconds;
  throw new UsageError(`--within ${text}: a number of seconds`);
}

export function pendingText({ what, secondsLeft }: ResultOf<'network/change'>): string {
  return `In force: ${what}. Rolled back in ${secondsLeft} s unless: holdfast network confirm`;
}
