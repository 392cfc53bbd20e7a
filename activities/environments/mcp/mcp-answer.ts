import { z } from 'zod';

const Part = z.looseObject({ type: z.string() });
const Resource = z.looseObject({ uri: z.string().optional(), text: z.string().optional() });

/**
 * What a tool answers, as far as it has to be understood here: content of kinds that are not known yet is named, and
 * what breaks the tool's own outputSchema is read as it was sent. Neither is the model's doing.
 */
export const LenientAnswer = z.looseObject({
  content: z.array(Part).nullish(),
  structuredContent: z.unknown().optional(),
  isError: z.boolean().nullish(),
});
export type LenientAnswer = z.output<typeof LenientAnswer>;

/** The text of an answer: its text parts, others as `[image image/png]`; null if it has neither content nor structured content. */
export function textOf({ content, structuredContent }: LenientAnswer): string | null {
  const structured =
    structuredContent === undefined || structuredContent === null ? null : JSON.stringify(structuredContent);
  if (!content) return structured;
  return content.length === 0 && structured !== null ? structured : content.map(textOfPart).join('\n');
}

function textOfPart(part: z.output<typeof Part>): string {
  if (part.type === 'text' && typeof part.text === 'string') return part.text;
  const resource =
    part.type === 'resource'
      ? (Resource.safeParse(part.resource).data ?? {})
      : part.type === 'resource_link'
        ? { uri: part.uri }
        : null;
  if (resource)
    return 'text' in resource && typeof resource.text === 'string'
      ? resource.text
      : `[resource ${String(resource.uri)}]`;
  return typeof part.mimeType === 'string' ? `[${part.type} ${part.mimeType}]` : `[${part.type}]`;
}
