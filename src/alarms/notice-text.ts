import type { AlarmNotice } from '../formats/store/service/alarm.ts';

const SUBJECT_MAX = 200;

/** A notice for people: a subject, and a text of some lines. */
export function noticeText(notice: AlarmNotice): {
  readonly subject: string;
  readonly body: string;
} {
  const { event, host, alarm, level, message, time } = notice;
  const words = {
    raised: level,
    again: `${level}, again`,
    ended: 'over',
    test: 'a test',
  }[event];
  const line = `Holdfast on ${host}: ${words}: ${message}`.replaceAll(/\s+/g, ' ');
  const subject = line.length > SUBJECT_MAX ? `${line.slice(0, SUBJECT_MAX - 4)} ...` : line;
  const what =
    event === 'test' ? [] : ['', `To acknowledge it: holdfast alarm acknowledge ${alarm}`];
  return {
    subject,
    body: [
      message,
      '',
      `alarm  ${alarm}`,
      `level  ${words}`,
      `time   ${time}`,
      `host   ${host}`,
      ...(event === 'ended' ? [] : what),
      '',
    ].join('\n'),
  };
}
