import type { AlarmSummary } from '../../operations/results.ts';
import type { ConfirmDialog, TextDialog } from '../state/dialog-model.ts';
import { chosenOf } from '../state/lists.ts';
import type { Model, Next } from '../state/model.ts';
import { utc } from '../terminal/words.ts';

export function alarmsKey(model: Model, key: string): Next {
  const it = chosenOf(model.standing, model.chosen.alarms);
  if (!it) return [model, []];
  if (key === 'enter') return [{ ...model, dialog: detailsOf(it) }, []];
  if (key !== 'a') return [model, []];
  if (it.acknowledged !== null) return [{ ...model, hint: 'Somebody has done so already.' }, []];
  return [{ ...model, dialog: acknowledgementOf(it) }, []];
}

function detailsOf({
  alarm,
  level,
  message,
  times,
  raised,
  acknowledged,
}: AlarmSummary): TextDialog {
  const text = [
    message,
    '',
    `level         ${level}`,
    `raised        ${utc(raised)} UTC, ${times === 1 ? 'once' : `${times} times`}`,
    `acknowledged  ${acknowledged === null ? '-' : `${utc(acknowledged.time)} UTC, by user ${acknowledged.uid}`}`,
  ].join('\n');
  return { kind: 'text', title: `Alarm ${alarm}`, text, isFailure: false, top: 0 };
}

function acknowledgementOf({ alarm, message }: AlarmSummary): ConfirmDialog {
  return {
    ...{ kind: 'confirm', title: `acknowledge ${alarm}`, word: 'seen', typed: '' },
    question: `${message}\n\nYou take care of it: it is not told of again until something changes.`,
    call: { name: 'alarm/acknowledge', request: { alarm } },
  };
}
