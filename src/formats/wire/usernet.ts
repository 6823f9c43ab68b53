/*
 * Connections of QEMU's private network, as the monitor's "info usernet" lists them for people. qmp.md.
 */

export interface UserConnection {
  /** "HOST_FORWARD": a port of this host that leads to the guest; "ESTABLISHED": the guest has answered. */
  readonly state: string;
  /** The port on this host. */
  readonly from: number;
  /** The port in the guest. */
  readonly to: number;
}

const LINE = /^\s*TCP\[([A-Z0-9_]{1,16})\]\s+\d+\s+[\d.]+\s+(\d{1,5})\s+[\d.]+\s+(\d{1,5})\s/;
/** The answer has at most 4096 characters. */
const LINES_MAX = 100;

export function userConnectionsIn(text: string): readonly UserConnection[] {
  return text.split('\n', LINES_MAX).flatMap((line) => {
    const [, state, from, to] = LINE.exec(line) ?? [];
    return state === undefined ? [] : [{ state, from: Number(from), to: Number(to) }];
  });
}
