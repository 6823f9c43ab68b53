import type { ExportClient, SessionExport } from '../../operations/nouns/service.ts';
import { formatSize } from '../../lib/sizes.ts';
import { chosenOf, idsOf } from '../state/lists.ts';
import type { Model } from '../state/model.ts';
import { whole } from '../state/queries.ts';
import { columns, type Line, line } from '../terminal/screen.ts';
import { utc } from '../terminal/times.ts';
import { listBody } from '../widgets/list-body.ts';
import type { Page } from '../widgets/page.ts';

export const EXPORTS = whole('exports', 'export/list', { value: ({ exports }) => exports });

export const exportsPage: Page = {
  title: 'Exports',
  keys: [],
  queries: [EXPORTS],
  list: { kind: 'rows', ids: ({ exports }) => idsOf(exports, (it) => it.uri) },
  body: exportsBody,
};

/** Rows for the list of clients, with the lines that separate it. */
const CLIENT_ROWS = 6;
const WIDTHS = [22, 7, 10, 10];

/** The exports; below, the clients of the chosen one. */
function exportsBody(model: Model): readonly Line[] {
  const { size } = model;
  const above = { ...model, size: { ...size, rows: size.rows - CLIENT_ROWS } };
  const list = listBody(above, {
    known: model.exports,
    heading: columns(['SESSION', 'CLIENTS', 'READ', 'WRITTEN', 'WHERE'], WIDTHS),
    none: 'Nothing is exported: no session runs.',
    text: ({ session, uri, clients, readBytes, writtenBytes }) =>
      columns(
        [session, String(clients.length), formatSize(readBytes), formatSize(writtenBytes), uri],
        WIDTHS,
      ),
  });
  const it = chosenOf(model.exports, model.chosen.exports);
  return it ? [...list, [], ...clientLines(it)] : list;
}

function clientLines({ uri, clients }: SessionExport): Line[] {
  const shown = clients.slice(0, CLIENT_ROWS - 3).map((it) => line(` ${clientText(it)}`));
  const more = clients.length - shown.length;
  return [
    line(` Connected to ${uri}:`, 'strong'),
    ...(clients.length === 0 ? [line(' no client')] : shown),
    ...(more > 0 ? [line(` ... and ${more} more`)] : []),
  ];
}

function clientText({ address, since, readBytes, writtenBytes }: ExportClient): string {
  const traffic = `${formatSize(readBytes)} read, ${formatSize(writtenBytes)} written`;
  return columns([address ?? 'this host', `since ${utc(since)} UTC`, traffic], [28, 26]);
}
