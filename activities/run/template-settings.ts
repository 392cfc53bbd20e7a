import type { PlayConfig } from '../../schemas/play-config.js';
import type { TextCodec } from '../policy/policy.js';

type TemplateSettings = Pick<PlayConfig, 'templateArguments' | 'templateDate'>;

/** Arguments that a chat template never asks for, each as a sentence; none is an empty list. @param prefix of the settings' paths */
export function problemsWithTemplate(
  { templateReads }: Pick<TextCodec, 'templateReads'>,
  { templateArguments, templateDate }: TemplateSettings,
  prefix = '',
): string[] {
  if (templateReads === undefined) return [];
  const problems = Object.keys(templateArguments ?? {})
    .filter((name) => !templateReads.has(name))
    .map(
      (name) =>
        `${prefix}templateArguments.${name} never acts: the model's chat template asks for no ${name}. Leave it out`,
    );
  if (templateDate !== undefined && !templateReads.has('strftime_now')) {
    problems.push(`${prefix}templateDate never acts: the model's chat template asks for no date. Leave it out`);
  }
  return problems;
}

/**
 * The date that a run's or an evaluation's prompts have: the one given, else that at which it was opened, so that a step
 * done again on another day makes the same prompts; nothing for templates without a date.
 *
 * @param opened  of a run that is in the store already: the date that it was opened with
 */
export function templateDateOf(
  { templateReads }: Pick<TextCodec, 'templateReads'>,
  given: string | undefined,
  opened: string | undefined,
  now: Date,
): string | undefined {
  if (given !== undefined || !templateReads?.has('strftime_now')) return given;
  return opened ?? now.toISOString().slice(0, 19);
}
