import { type ConversionConfig, toJsonSchema } from '@valibot/to-json-schema';
import { HINTS, hintsIn, type JsonObject, type Schema } from './schema.ts';

/** What a mark of `hostFile` is called for other people's tools. */
const HOST_FILE = 'x-holdfast-host-file';

/** As JSON Schema (2020-12), as OpenAPI 3.1 takes it; loaded only where that is asked for. */
export function jsonSchemaOf(schema: Schema<unknown>, typeMode: 'input' | 'output'): JsonObject {
  const settings: ConversionConfig = {
    ...{ target: 'draft-2020-12', typeMode },
    overrideAction({ valibotAction, jsonSchema }) {
      const action = valibotAction as Action;
      // The library refuses flags; expressions in JSON Schema are those of /u.
      if (action.type === 'regex') return { ...jsonSchema, pattern: action.requirement!.source };
      // Lengths of any objects as JSON: there is no word for it.
      if (action.type === 'check') return jsonSchema;
      // Hints are for our own clients, but for one.
      if (action.type !== 'metadata') return undefined;
      const { hostFile } = hintsIn(action.metadata!);
      const { [HINTS]: _hints, ...known } = jsonSchema as JsonObject;
      if (hostFile === undefined) return known;
      return { ...known, [HOST_FILE]: hostFile === true || hostFile.source };
    },
  };
  const { $schema: _, ...json } = toJsonSchema(schema, settings);
  return json;
}

interface Action {
  readonly type: string;
  readonly requirement?: RegExp;
  readonly metadata?: JsonObject;
}
