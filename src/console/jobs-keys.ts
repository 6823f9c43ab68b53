import type { JobSummary } from '../protocol/results.ts';
import { type ConfirmDialog, NO_LOG } from './dialog-model.ts';
import { jobForm } from './job-forms.ts';
import { chosenIn } from './lists.ts';
import { type Model, type Next, UNKNOWN } from './model.ts';

export function jobsKey(model: Model, key: string): Next {
  if (key === 'n') return [{ ...model, dialog: jobForm() }, []];
  const it = chosenIn(model.jobs);
  if (!it) return [model, []];
  if (key === 'enter') {
    const { job } = it;
    return [{ ...model, dialog: { kind: 'job', job, shown: UNKNOWN, log: NO_LOG } }, []];
  }
  if (key !== 'c') return [model, []];
  if (hasEnded(it)) return [{ ...model, hint: `Job ${it.job} has ended already.` }, []];
  return [{ ...model, dialog: cancelOf(it) }, []];
}

export function hasEnded({ state }: JobSummary): boolean {
  return state !== 'waiting' && state !== 'running';
}

export function cancelOf({ job, state }: JobSummary): ConfirmDialog {
  const words =
    state === 'running'
      ? 'runs. What it has stored is found again by the next one, but it publishes nothing.'
      : 'waits. It will never begin.';
  return {
    ...{ kind: 'confirm', title: `cancel ${job}`, word: 'cancel', typed: '' },
    question: `Job ${job} ${words}`,
    call: { name: 'job/cancel', request: { job } },
  };
}
