import { view } from '../../src/console/app/view.ts';
import { LEVELS, type Line, type Piece } from '../../src/console/terminal/screen.ts';
import { drive, FACTS, job, pointAt, session, TIME } from '../support/console.ts';

// The pictures of the README, as text: `npm run docs:pictures` writes them, and a test compares.

/** By path. */
export function pictures(): ReadonlyMap<string, string> {
  return new Map([
    ['docs/pictures/architecture.svg', architecture()],
    ['docs/pictures/console.svg', consoleScreen()],
  ]);
}

const COLUMN = 8.4;
const ROW = 18;
const PADDING = 14;
const COLORS: Readonly<Record<Piece['style'], string>> = {
  plain: '#d8dee9',
  strong: '#ffffff',
  bar: '#1c2128',
  good: '#8fce6b',
  warning: '#e5c15c',
  bad: '#ef6b73',
  graph: '#6fb7e9',
};
/** As terminals that can show them have them. */
const GRAPH = [' ', '\u2581', '\u2582', '\u2583', '\u2584', '\u2585', '\u2586', '\u2588'];

/** The status page of a service on which a machine runs from its backup. */
function consoleScreen(): string {
  const size = { columns: 96, rows: 24 };
  const driven = drive(size);
  const GiB = 2 ** 30;
  driven.tick();
  driven.answer('service/show', { ...FACTS, store: '/var/lib/holdfast/store' });
  driven.answer('session/list', {
    sessions: [
      session({
        session: 'web1-3f9c2a',
        machine: 'web1',
        takenBytes: 3 * GiB,
        listen: 'unix:/run/holdfast-nbd/web1-3f9c2a.sock',
      }),
    ],
    damaged: [],
  });
  const points = ['web1', 'mail', 'files'].map((machine, at) => ({
    ...pointAt(at),
    ...{ machine, created: `2026-11-21T0${3 - at}:30:00.000Z` },
  }));
  driven.answer('backup/page', { points, damaged: [], total: 84, first: 0 });
  const rate = (readBytes: number, ingestBytes: number) => ({
    ...{ readBytes, ingestBytes },
    writtenBytes: readBytes / 4,
  });
  const minutes = Array.from({ length: 60 }, (_, at) =>
    rate((1 + ((at * 7) % 11)) * 2 ** 21, at < 40 ? 0 : ((at * 5) % 9) * 2 ** 24),
  );
  driven.answer('service/throughput', { now: minutes.at(-1)!, points: minutes, seconds: 60 });
  driven.answer('store/usage', {
    space: FACTS.space,
    growth: { since: TIME, bytesPerDay: 2 * GiB, fullAt: '2028-04-16T19:00:00.000Z' },
    saving: { points: 84, readBytes: 1200 * GiB, storedBytes: 300 * GiB },
    reclaimable: null,
  });
  driven.answer('alarm/list', { alarms: [] });
  const request = { set: 'nightly', machine: 'mail', disks: [{ name: 'vda', where: '/images/x' }] };
  const progress = { phase: 'backup', position: 18 * GiB, total: 40 * GiB };
  driven.answer('job/list', { jobs: [job({ request, progress })], total: 1, first: 0 });
  return screenText(view(driven.model()), size.columns);
}

function screenText(lines: readonly Line[], columns: number): string {
  const width = Math.ceil(columns * COLUMN + 2 * PADDING);
  const height = lines.length * ROW + 2 * PADDING;
  return svg(
    width,
    height,
    [
      rect({ x: 0, y: 0, width, height }, '#1c2128', 8),
      ...lines.flatMap((pieces, row) => {
        const y = PADDING + row * ROW;
        let column = 0;
        return pieces.flatMap(({ text, style }) => {
          const x = PADDING + column * COLUMN;
          column += text.length;
          const box = { x, y, width: text.length * COLUMN, height: ROW };
          const back = style === 'bar' ? [rect(box, '#8fb4d9')] : [];
          if (text.trim() === '') return back;
          const shown = style === 'graph' ? finer(text) : text;
          const weight = style === 'strong' || style === 'bar' ? ' font-weight="bold"' : '';
          const place = `x="${x.toFixed(1)}" y="${y + 13}" textLength="${box.width.toFixed(1)}"`;
          const look = `fill="${COLORS[style]}"${weight} xml:space="preserve"`;
          return [...back, `<text ${place} ${look}>${escaped(shown)}</text>`];
        });
      }),
    ],
    'ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace',
    14,
  );
}

function finer(text: string): string {
  return Array.from(text, (level) => GRAPH[LEVELS.indexOf(level)] ?? level).join('');
}

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

interface Part extends Box {
  readonly title: string;
  readonly lines: readonly string[];
  readonly color: string;
}

const OWN = '#dcebf7';
const OTHER = '#f2f2f2';
const STORED = '#fdf0d2';

const PARTS: readonly Part[] = [
  part([20, 20, 200, 92], OTHER, 'People and scripts', [
    'holdfast (commands)',
    'holdfast console',
    'curl, Prometheus',
  ]),
  part([320, 20, 260, 92], OWN, 'holdfastd', [
    'operations: HTTP and JSON',
    'sessions, jobs, schedules, alarms',
    'audit log',
  ]),
  part([680, 20, 200, 92], OTHER, 'Other hosts', ['TLS 1.3 and a token']),
  part([20, 170, 200, 92], OTHER, 'Disks to back up', [
    'raw, qcow2, vmdk, vdi, vhd(x)',
    'block devices',
    'NBD servers',
  ]),
  part([320, 170, 120, 92], OWN, 'Workers', ['backup, keep', 'check, restore']),
  part([460, 170, 120, 92], OWN, 'Sessions', ['reads: backup', 'writes: overlay']),
  part([680, 150, 200, 60], OTHER, 'Hypervisors, QEMU', ['NBD, NFS 3: guests boot']),
  part([680, 226, 200, 60], OTHER, 'Files', ['FUSE, volumes, copies']),
  part([20, 330, 200, 92], OWN, "Helpers with root's rights", [
    'holdfast-hostd: network, disks',
    'holdfast-filesd: mounts',
  ]),
  part([320, 320, 260, 112], STORED, 'Store', [
    'packs: blocks by digest, deduplicated,',
    'compressed, encrypted',
    'recovery points, sessions\u2019 sealed logs',
    'on a local disk',
  ]),
  part([680, 330, 200, 92], STORED, 'What the box remembers', [
    'digests of orders given here,',
    'outside of every store',
  ]),
];

/** Corners, two numbers each; the last one is its head. */
const ARROWS: readonly (readonly number[])[] = [
  [220, 66, 320, 66],
  [680, 66, 580, 66],
  [220, 216, 320, 216],
  [380, 112, 380, 170],
  [520, 112, 520, 170],
  [380, 262, 380, 320],
  [500, 320, 500, 262],
  [540, 262, 540, 320],
  [580, 190, 680, 180],
  [580, 240, 680, 256],
  [320, 98, 270, 98, 270, 376, 220, 376],
  [580, 98, 630, 98, 630, 376, 680, 376],
];

function architecture(): string {
  return svg(
    900,
    452,
    [
      rect({ x: 0, y: 0, width: 900, height: 452 }, '#ffffff', 8),
      '<defs><marker id="end" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">',
      '<path d="M0 0 8 4 0 8z" fill="#555"/></marker></defs>',
      ...ARROWS.map((corners) => {
        const look = 'fill="none" stroke="#555" stroke-width="1.5" marker-end="url(#end)"';
        return `<polyline points="${corners.join(' ')}" ${look}/>`;
      }),
      ...PARTS.flatMap(({ title, lines, color, ...box }) => [
        rect(box, color, 6, '#888'),
        `<text x="${box.x + 12}" y="${box.y + 24}" font-weight="bold" fill="#222">${escaped(title)}</text>`,
        ...lines.map((text, at) => {
          const y = box.y + 44 + at * 17;
          return `<text x="${box.x + 12}" y="${y}" fill="#333" font-size="12">${escaped(text)}</text>`;
        }),
      ]),
    ],
    'Helvetica, Arial, "DejaVu Sans", sans-serif',
    14,
  );
}

function part(
  [x, y, width, height]: readonly [number, number, number, number],
  color: string,
  title: string,
  lines: readonly string[],
): Part {
  return { x, y, width, height, color, title, lines };
}

function svg(width: number, height: number, shapes: readonly string[], font: string, size: number) {
  const view = `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`;
  const look = `font-family='${font}' font-size="${size}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${view} ${look}>\n${shapes.join('\n')}\n</svg>\n`;
}

function rect({ x, y, width, height }: Box, fill: string, radius = 0, line = 'none'): string {
  const place = `x="${round(x)}" y="${y}" width="${round(width)}" height="${height}"`;
  return `<rect ${place} rx="${radius}" fill="${fill}" stroke="${line}"/>`;
}

function round(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
