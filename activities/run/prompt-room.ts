import type { Task } from '../../schemas/task.js';
import type { TrainConfig } from '../../schemas/train-config.js';
import type { Environment } from '../environments/environment.js';
import type { TextCodec } from '../policy/policy.js';
import { noRoomFor } from '../rollout/play-episodes.js';
import { firstPrompt, withTemplate } from '../rollout/prompt.js';
import { demonstratedTurns } from '../warm-start/demonstrations.js';

/** What is known of a run's prompts before it starts. */
export interface PromptRoom {
  /** What the run cannot start with. */
  readonly problems: readonly string[];
  /** What it leaves out without failing. */
  readonly leftOut: readonly string[];
}

/**
 * Whether the prompts of a run leave room for what is to be learned from them, measured on a few of its tasks and on its
 * demonstrations: the list of a server's tools alone may be longer than a small model reads.
 */
export async function promptRoom(
  runId: string,
  environment: Environment,
  codec: TextCodec,
  config: TrainConfig,
  [train, heldout]: readonly [readonly Task[], readonly Task[]],
): Promise<PromptRoom> {
  const text = withTemplate(codec, config.rollout);
  const sample = new Map([train[0], train.at(-1), heldout[0]].flatMap((task) => (task ? [[task.id, task]] : [])));
  const problems: string[] = [];
  for (const [n, task] of [...sample.values()].entries()) {
    const episodeId = `${runId}/room/${n}`;
    const { messages } = await environment.reset({ episodeId, taskId: task.id, seed: config.seed });
    await environment.close(episodeId).catch(() => {});
    const problem = noRoomFor(task, firstPrompt(text, messages), text, config.rollout);
    if (problem !== null) problems.push(problem);
  }
  const demonstrated =
    config.warmStart === null
      ? { problems: [], leftOut: [] }
      : await roomToImitate(environment, text, config.warmStart.maxTokens);
  return { problems: [...problems, ...demonstrated.problems], leftOut: demonstrated.leftOut };
}

async function roomToImitate(environment: Environment, codec: TextCodec, maxTokens: number): Promise<PromptRoom> {
  const demonstrations = (await environment.demonstrations?.()) ?? [];
  if (demonstrations.length === 0)
    return {
      problems: [
        `warmStart: environment ${environment.name} has no demonstrations: ` +
          'set warmStart to null, or give tasks of the split "demonstration" and `solve`',
      ],
      leftOut: [],
    };
  // With its prompt, which a later turn's holds as well: lengths grow within a conversation.
  const lengths = demonstrations.map((demonstration) =>
    demonstratedTurns(codec, demonstration, Infinity).map(
      ({ promptIds, responseIds }) => promptIds.length + responseIds.length,
    ),
  );
  const all = lengths.flat();
  const tooLong = all.filter((length) => length > maxTokens);
  if (tooLong.length === 0) return { problems: [], leftOut: [] };
  const range = `the shortest demonstrated turn has ${least(all)} tokens with its prompt, the longest ${most(all)}`;
  const remedy = 'raise warmStart.maxTokens, or shorten the prompt (of an MCP server’s tools: `tools`, `describe`)';
  if (tooLong.length === all.length)
    return { problems: [`warmStart.maxTokens is ${maxTokens}, but ${range}: ${remedy}`], leftOut: [] };
  return {
    problems: [],
    leftOut: [
      `warmStart: ${tooLong.length} of ${all.length} demonstrated turns are left out, ` +
        `since warmStart.maxTokens is ${maxTokens} and ${range}: ${remedy}`,
    ],
  };
}

const least = (lengths: readonly number[]): number => lengths.reduce((a, b) => Math.min(a, b));
const most = (lengths: readonly number[]): number => lengths.reduce((a, b) => Math.max(a, b));
