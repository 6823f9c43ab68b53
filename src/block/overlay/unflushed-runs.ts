import type { PageRun } from '../../formats/store/sessions/overlay-map.ts';
import { type PageMap, pageMap } from './page-map.ts';

/** Runs written since the last flush. However many, they take at most one byte per page. */
export interface UnflushedRuns {
  add(run: PageRun): void;
  /** Takes all runs, later ones winning, and leaves none. */
  take(): readonly PageRun[];
}

/** Guests flush often: a short list usually suffices. */
const LIST_MAX = 1024;

export function unflushedRuns(): UnflushedRuns {
  let list: PageRun[] = [];
  let map: PageMap | undefined;

  function merge(into: PageMap): PageMap {
    for (const { first, count, state } of list) into.set(first, count, state);
    list = [];
    return into;
  }
  return {
    add(run) {
      const last = list.at(-1);
      if (last?.state === run.state && last.first + last.count === run.first) {
        list[list.length - 1] = { ...last, count: last.count + run.count };
        return;
      }
      list.push(run);
      if (list.length >= LIST_MAX) map = merge(map ?? pageMap());
    },
    take() {
      const runs = map ? [...merge(map).written()] : list;
      list = [];
      map = undefined;
      return runs;
    },
  };
}
