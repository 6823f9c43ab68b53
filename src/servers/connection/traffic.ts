/** Bytes transferred since the beginning. The numbers only grow. */
export interface Traffic {
  readBytes: number;
  writtenBytes: number;
}

/** A connected client. */
export interface Client {
  /** Undefined: over a unix socket, from this machine. */
  readonly address: string | undefined;
  readonly since: Date;
  readonly traffic: Readonly<Traffic>;
}

export function noTraffic(): Traffic {
  return { readBytes: 0, writtenBytes: 0 };
}

/** The sum of all parts. */
export function sumOfTraffic(parts: Iterable<Readonly<Traffic>>): Traffic {
  const sum = noTraffic();
  for (const part of parts) addTraffic(sum, part);
  return sum;
}

export function addTraffic(
  to: Traffic,
  { readBytes = 0, writtenBytes = 0 }: Readonly<Partial<Traffic>>,
): void {
  to.readBytes += readBytes;
  to.writtenBytes += writtenBytes;
}
