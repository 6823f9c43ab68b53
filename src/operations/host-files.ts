import type { JsonSchema, Schema } from '../lib/schema.ts';

/**
 * In the description of a field: it names a file, a device or a socket of the machine that the service runs on; `true`,
 * or unless it matches this expression.
 */
const MARK = 'x-holdfast-host-file';

/** `elsewhere`: exactly what whoever carries it out takes for the address of a host, and never for a path. */
export function namesHostFile(schema: Schema<string>, elsewhere?: RegExp): Schema<string> {
  return { ...schema, json: { ...schema.json, [MARK]: elsewhere?.source ?? true } };
}

/** All such names in a value that `json` describes. */
export function hostFilesIn(json: JsonSchema, value: unknown): readonly string[] {
  const variants = [...listOf(json['oneOf']), ...listOf(json['anyOf'])];
  const inVariants = variants.flatMap((variant) => hostFilesIn(variant, value));
  if (typeof value === 'string') {
    return isFile(json[MARK], value) ? [value] : inVariants;
  }
  if (typeof value !== 'object' || value === null) return inVariants;
  if (Array.isArray(value)) {
    const items = json['items'] as JsonSchema | undefined;
    return [...inVariants, ...(items ? value.flatMap((it) => hostFilesIn(items, it)) : [])];
  }
  const properties = (json['properties'] ?? {}) as Readonly<Record<string, JsonSchema>>;
  const others = json['additionalProperties'];
  const own = Object.entries(value).flatMap(([name, it]) => {
    const schema =
      properties[name] ?? (typeof others === 'object' ? (others as JsonSchema) : undefined);
    return schema ? hostFilesIn(schema, it) : [];
  });
  return [...inVariants, ...own];
}

function isFile(mark: unknown, value: string): boolean {
  return mark === true || (typeof mark === 'string' && !new RegExp(mark).test(value));
}

function listOf(schemas: unknown): readonly JsonSchema[] {
  return Array.isArray(schemas) ? (schemas as JsonSchema[]) : [];
}
