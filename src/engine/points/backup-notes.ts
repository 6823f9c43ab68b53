import type { PointRecord } from '../../formats/store/catalog/point.ts';
import type { BackupEvent } from '../../ingest/backup/backup.ts';
import { formatSize } from '../../lib/sizes.ts';
import type { Report } from '../../operations/events.ts';
import type { Damage, MadePoint } from '../../operations/nouns/backup.ts';
import { damageNotice } from '../base/damage-notice.ts';
import { summaryOf } from '../base/point-summary.ts';

/** What a backup reports while it runs, and what of that belongs to its result. */
export interface BackupNotes {
  readonly onEvent: (event: BackupEvent) => void;
  readonly scopes: () => MadePoint['scopes'];
  readonly damage: readonly Damage[];
}

/** `hasList`: changes are known, so that a disk that is read whole is worth a notice. */
export function backupNotes(
  report: Report,
  { hasList }: { readonly hasList: boolean },
): BackupNotes {
  const scopes = new Map<string, MadePoint['scopes'][number]>();
  const damage: Damage[] = [];
  function onEvent(event: BackupEvent): void {
    switch (event.kind) {
      case 'indexing': {
        const { done: position, total } = event;
        return report({ event: 'progress', phase: 'indexing', position, total });
      }
      case 'disk': {
        const { disk, scope, reason } = event;
        scopes.set(disk, { disk, scope, reason });
        if (!hasList || scope === 'changes') return;
        const size = formatSize(event.size);
        const message = `disk ${disk}: all of its ${size} will be read, because ${reason}`;
        return report({ event: 'notice', message });
      }
      case 'damage':
        damage.push({ where: event.where, what: event.what });
        return report({ event: 'notice', message: damageNotice(event) });
      case 'progress': {
        const { position, total, readBytes, storedBytes } = event;
        const phase = 'backup';
        return report({ event: 'progress', phase, position, total, readBytes, storedBytes });
      }
    }
  }
  return { onEvent, scopes: () => [...scopes.values()], damage };
}

export function madePoint(point: PointRecord, { scopes, damage }: BackupNotes): MadePoint {
  return { ...summaryOf(point), scopes: scopes(), damage };
}
