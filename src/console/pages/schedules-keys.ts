import type { ScheduleSummary } from '../../operations/results.ts';
import type { ConfirmDialog, TextDialog } from '../state/dialog-model.ts';
import { scheduleForm } from '../widgets/job-forms.ts';
import { workText } from '../widgets/job-words.ts';
import { chosenOf } from '../state/lists.ts';
import type { Model, Next } from '../state/model.ts';
import { utc } from '../terminal/words.ts';

export function schedulesKey(model: Model, key: string): Next {
  if (key === 'n') return [{ ...model, dialog: scheduleForm() }, []];
  const it = chosenOf(model.schedules, model.chosen.schedules);
  if (!it) return [model, []];
  if (key === 'enter') return [{ ...model, dialog: detailsOf(it) }, []];
  return [key === 'd' ? { ...model, dialog: removalOf(it) } : model, []];
}

function detailsOf(it: ScheduleSummary): TextDialog {
  const text = [
    `what       ${workText(it)}`,
    `when       ${it.at}`,
    `next       ${it.next === null ? 'never again' : `${utc(it.next)} UTC`}`,
    `last       ${lastText(it)}`,
    `made       ${utc(it.created)} UTC`,
    '',
    ...JSON.stringify(it.request, undefined, 2).split('\n'),
  ].join('\n');
  return { kind: 'text', title: `Schedule ${it.schedule}`, text, isFailure: false, top: 0 };
}

function lastText({ last }: ScheduleSummary): string {
  if (last === null) return 'none of its jobs has ended';
  const why = last.reason === null ? '' : `: ${last.reason}`;
  return `job ${last.job} ${last.state} at ${utc(last.ended)} UTC${why}`;
}

function removalOf({ schedule }: ScheduleSummary): ConfirmDialog {
  return {
    ...{ kind: 'confirm', title: `remove schedule ${schedule}`, word: 'remove', typed: '' },
    question: `Schedule ${schedule} makes no more jobs. Recovery points and jobs that are there stay.`,
    call: { name: 'schedule/remove', request: { schedule } },
  };
}
