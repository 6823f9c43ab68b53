/** The command line cannot be understood. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The awaited job did not succeed. */
export class JobFailed extends Error {
  override readonly name = 'JobFailed';
}

/** The session that was followed was discarded. */
export class SessionDiscarded extends Error {
  override readonly name = 'SessionDiscarded';
}

/** A test found something that does not work. */
export class CheckFailed extends Error {
  override readonly name = 'CheckFailed';
}

/** The given key opens nothing, so the parts that need it were not checked. */
export class KeyDoesNotFit extends Error {
  override readonly name = 'KeyDoesNotFit';
}

/** A recovery point was booted, and does not work. */
export class NotProven extends Error {
  override readonly name = 'NotProven';
}

/** The command succeeded, and found damage. */
export class DamageFound extends Error {
  override readonly name = 'DamageFound';
}

/** Some machines of a run were not backed up. */
export class BackupIncomplete extends Error {
  override readonly name = 'BackupIncomplete';
}
