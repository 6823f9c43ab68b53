import type { JobSummary } from '../../operations/results.ts';
import { type ConfirmDialog, NO_LOG } from '../state/dialog-model.ts';
import { jobForm } from '../widgets/job-forms.ts';
import { chosenIn } from '../state/lists.ts';
import type { Model, Next } from '../state/model.ts';
import { startTask } from '../state/tasks.ts';
import { UNKNOWN } from '../state/known.ts';

export function jobsKey(model: Model, key: string): Next {
  if (key === 'n') return [{ ...model, dialog: jobForm() }, []];
  const it = chosenIn(model.jobs);
  if (!it) return [model, []];
  if (key === 'enter') {
    const { job } = it;
    return [{ ...model, dialog: { kind: 'job', job, shown: UNKNOWN, log: NO_LOG } }, []];
  }
  if (key === 'u') return unlock(model, it);
  if (key !== 'c') return [model, []];
  if (hasEnded(it)) return [{ ...model, hint: `Job ${it.job} has ended already.` }, []];
  return [{ ...model, dialog: cancelOf(it) }, []];
}

export function hasEnded({ state }: JobSummary): boolean {
  return state !== 'waiting' && state !== 'running';
}

/** The service finds the key by itself, or names the set whose key the user has to give. */
export function unlock(model: Model, { job, needsKeyOf }: JobSummary): Next {
  if (needsKeyOf === null) return [{ ...model, hint: `Job ${job} waits for no key.` }, []];
  return startTask(model, `unlock ${job}`, { call: { name: 'job/unlock', request: { job } } });
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
