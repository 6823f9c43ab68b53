/** The command line cannot be understood. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The job that was waited for did not succeed. */
export class JobFailed extends Error {
  override readonly name = 'JobFailed';
}

/** Something that was tried does not work. */
export class CheckFailed extends Error {
  override readonly name = 'CheckFailed';
}

/** What the given key would have shown was not looked at. */
export class KeyDoesNotFit extends Error {
  override readonly name = 'KeyDoesNotFit';
}

/** The command did what it was asked to, and what it found is bad. */
export class DamageFound extends Error {
  override readonly name = 'DamageFound';
}
