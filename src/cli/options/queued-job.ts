import type { RequestOf } from '../../operations/operations.ts';
import type { Context } from '../base/command.ts';

export async function queueJob(
  request: RequestOf<'job/create'>,
  { call, output }: Context,
): Promise<void> {
  const made = await call('job/create', request);
  const advice = `to wait for its end: holdfast job attend ${made.job}`;
  output.result(made, () => `Job ${made.job} is ${made.state}; ${advice}`);
}
