import type { FollowedLog } from '../state/dialog-model.ts';
import { type Line, line } from '../terminal/screen.ts';
import { utc } from '../terminal/words.ts';
import { bodyRows, type Model } from '../state/model.ts';

/** The end of a log, or an earlier part, as far as it was scrolled back. */
export function logLines({ lines, back }: FollowedLog, rows: number): Line[] {
  const end = lines.length - back;
  const seen = lines.slice(Math.max(0, end - rows), end);
  const place = back > 0 ? `${back} newer below` : 'followed';
  return [
    line(` Its log (UTC), ${place}:`, 'strong'),
    ...seen.map(({ time, message }) => line(` ${utc(time)}:${time.slice(17, 19)}  ${message}`)),
  ];
}

/** Rows of what is followed above its log. */
const FACT_ROWS = 11;

/** Rows of a log under what is told of a job, or of a session. */
export function logRows(model: Model): number {
  return bodyRows(model) - FACT_ROWS;
}
