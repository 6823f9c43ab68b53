import type { OperationName, RequestOf, ResultOf } from '../../operations/operations.ts';

/** What a person is shown of a result. */
export type Render<N extends OperationName> =
  | ((result: ResultOf<N>, request: RequestOf<N>) => string)
  | {
      text(result: ResultOf<N>, request: RequestOf<N>): string;
      /** Lines that are not the answer itself. */
      say?(result: ResultOf<N>): readonly string[];
      /** The operation succeeded, and what it found is bad. */
      failure?(result: ResultOf<N>): Error | undefined;
    };

export type Renders = { readonly [N in OperationName]?: Render<N> };
