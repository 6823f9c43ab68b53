/**
 * One change of the code that breaks a promise, and the tests that must fail where it is made. A change that no test
 * notices is a promise that no test holds.
 */
export interface Mutant {
  /** The promise, as it is broken. */
  readonly name: string;
  readonly file: string;
  /** Occurs once in the file. */
  readonly text: string;
  readonly to: string;
  /** One of them has to fail; cheapest first. */
  readonly tests: readonly string[];
}
