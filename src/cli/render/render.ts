import type { OperationName, RequestOf, ResultOf } from '../../operations/operations.ts';

/** How a result is shown to people. */
export type Render<N extends OperationName> =
  | ((result: ResultOf<N>, request: RequestOf<N>) => string)
  | {
      text(result: ResultOf<N>, request: RequestOf<N>): string;
      /** A text that is printed as it is, and instead of the other; undefined: it was not asked for. */
      verbatim?(result: ResultOf<N>): string | undefined;
      /** Lines besides the result itself. */
      say?(result: ResultOf<N>): readonly string[];
      /** The operation succeeded, and its result is bad. */
      failure?(result: ResultOf<N>): Error | undefined;
    };

export type Renders = { readonly [N in OperationName]?: Render<N> };
