import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import type { Action, Message, Observation, ToolCall, Verdict } from '../../schemas/environment-protocol.js';
import type { Task } from '../../schemas/task.js';
import type { PlayConfig } from '../../schemas/play-config.js';
import { trajectoryId, type EpisodeEnd, type Trajectory, type Turn } from '../../schemas/trajectory.js';
import { canonicalJson } from '../artifacts/canonical-json.js';
import type { Environment } from '../environments/environment.js';
import type { OnProgress, Policy, SampledResponse, TextCodec } from '../policy/policy.js';
import {
  beginsThinking,
  exchangeOf,
  firstPrompt,
  promptAfter,
  shortened,
  withTemplate,
  type Exchange,
} from './prompt.js';
import { endedBy } from './response-end.js';
import { parseCalls, type ActionFormat } from './tool-calls.js';

/** One episode to play: sample g of a task. */
export interface EpisodeSpec {
  readonly task: Task;
  readonly sample: number;
  /** Name of the episode at the environment, the same on every attempt. */
  readonly episodeId: string;
  /** Random numbers of turn t derive from `<randomKey>/<t>`. */
  readonly randomKey: string;
}

export interface PlayOptions extends PlayConfig {
  readonly temperature: number;
  /** Seed of the environment's own randomness. */
  readonly seed: number;
}

export interface Players {
  /** Holds theta already. */
  readonly policy: Pick<Policy, 'sample'>;
  readonly codec: TextCodec;
  readonly environment: Pick<Environment, 'callFormat' | 'callFormatOf' | 'reset' | 'step' | 'evaluate' | 'close'>;
  readonly onProgress?: OnProgress;
}

/** A task whose first prompt leaves no room for a response. */
export class PromptTooLong extends Error {
  override name = 'BadConfig';
}

/** Requests to the environment at once; its latency, not its capacity, is what this hides. */
const REQUESTS_AT_ONCE = 8;
/** In this process: each is a session of its own for the policy. */
let plays = 0;
/** For all episodes of a shard that failed. */
const CLOSE_WITHIN_MS = 5_000;

/** An episode under way: what the next prompt is made of, and the turns so far. */
interface Episode extends EpisodeSpec {
  conversation: Message[];
  readonly firstIds: readonly number[];
  readonly exchanges: Exchange[];
  promptIds: number[];
  /** Of the last observation. */
  observationHash: string;
  readonly turns: Turn[];
  /** Null while the episode is live. */
  end: 'done' | Exclude<EpisodeEnd, 'completed' | 'failed-turn'> | null;
}

/**
 * Plays episodes in lock-step: every live episode's response is sampled in one batch, then the
 * environment answers all of them, until none is live. Results depend on weights, episodes and options
 * only: not on the environment's latency, nor on who plays.
 *
 * An environment failure is thrown, never scored: the whole shard is tried again.
 *
 * @returns one trajectory per episode, in the order given
 */
export async function playEpisodes(
  specs: readonly EpisodeSpec[],
  given: Players,
  options: PlayOptions,
): Promise<Trajectory[]> {
  const players = { ...given, codec: withTemplate(given.codec, options) };
  const { policy, codec, environment, onProgress } = players;
  const limit = pLimit(REQUESTS_AT_ONCE);
  const session = `play ${++plays}`; // a second attempt starts as the first one did
  const all = <T, R>(items: readonly T[], work: (item: T, index: number) => Promise<R>): Promise<R[]> =>
    Promise.all(items.map((item, index) => limit(() => work(item, index))));
  try {
    const episodes = await all(specs, (spec) => begin(spec, players, options));
    for (;;) {
      const live = episodes.filter(({ end }) => end === null);
      if (live.length === 0) break;
      await onProgress?.({ phase: 'decode', done: episodes.length - live.length, of: episodes.length });
      const responses = await policy.sample(
        live.map((episode) => ({
          prefixGroup: episode.task.id,
          promptIds: episode.promptIds,
          randomKey: `${episode.randomKey}/${episode.turns.length + 1}`,
        })),
        { temperature: options.temperature, maxResponseTokens: options.maxResponseTokens, session },
        onProgress,
      );
      await all(live, async (episode, index) => {
        const response = responses[index]!;
        const format = environment.callFormatOf?.(episode.task.id) ?? environment.callFormat ?? 'call-lines';
        const action = actionOf(codec, response, format, beginsThinking(codec, episode.promptIds));
        if (response.end === 'token-limit' && options.truncatedResponse === 'end')
          return endTruncated(episode, codec, response, action);
        const observation = await environment.step({
          episodeId: episode.episodeId,
          stepIndex: episode.turns.length + 1,
          action,
        });
        record(episode, codec, response, action, observation);
        if (!observation.done) prepareNextTurn(episode, codec, observation, options);
      });
    }
    const verdicts = await all(episodes, ({ episodeId }) => environment.evaluate(episodeId));
    await all(specs, (spec) => close(environment, spec));
    return episodes.map((episode, index) => trajectoryOf(episode, verdicts[index]!, options));
  } catch (failure) {
    limit.clearQueue();
    // Episodes may hold processes. A failed environment may not answer; it forgets idle episodes by itself.
    await Promise.race([
      Promise.all(specs.map((spec) => close(environment, spec))),
      sleep(CLOSE_WITHIN_MS, undefined, { ref: false }),
    ]);
    throw failure;
  }
}

async function begin(spec: EpisodeSpec, { codec, environment }: Players, options: PlayOptions): Promise<Episode> {
  const { messages, hash } = await environment.reset({
    episodeId: spec.episodeId,
    taskId: spec.task.id,
    seed: options.seed,
  });
  const firstIds = firstPrompt(codec, messages);
  const problem = noRoomFor(spec.task, firstIds, codec, options);
  if (problem !== null) throw new PromptTooLong(problem);
  return {
    ...spec,
    conversation: messages,
    firstIds,
    exchanges: [],
    promptIds: firstIds,
    observationHash: hash,
    turns: [],
    end: null,
  };
}

/** Why a task whose first prompt this is cannot be played, or null. */
export function noRoomFor(
  task: Task,
  firstIds: readonly number[],
  codec: TextCodec,
  options: Pick<PlayOptions, 'maxResponseTokens' | 'maxPromptTokens'>,
): string | null {
  if (!isTooLong(firstIds, codec, options)) return null;
  return (
    `task ${task.id}: its first prompt has ${firstIds.length} tokens and rollout.maxResponseTokens is ${options.maxResponseTokens}, ` +
    `but the model reads only ${codec.contextLength}${options.maxPromptTokens === null ? '' : ` and rollout.maxPromptTokens is ${options.maxPromptTokens}`}: ` +
    'lower maxResponseTokens, choose another task set, or shorten the prompt (of an MCP server’s tools: `tools`, `describe`)'
  );
}

/** No room for a response after the prompt, or a prompt beyond the limit of the configuration. */
const isTooLong = (
  promptIds: readonly number[],
  { contextLength }: TextCodec,
  { maxResponseTokens, maxPromptTokens }: Pick<PlayOptions, 'maxResponseTokens' | 'maxPromptTokens'>,
): boolean =>
  promptIds.length + maxResponseTokens > contextLength ||
  (maxPromptTokens !== null && promptIds.length > maxPromptTokens);

/** What the environment receives: the response as text, without the token that ended it, and its calls. */
function actionOf(
  codec: TextCodec,
  { ids, end }: SampledResponse,
  format: ActionFormat,
  thinkingBegun: boolean,
): Action {
  const content = codec.decode(end === 'end-of-turn' ? ids.slice(0, -1) : ids);
  return { content, calls: parseCalls(content, format, { thinkingBegun }).map(storable) };
}

/** Literals may spell half a surrogate pair, which no JSON file can hold: such a call is malformed. */
function storable(call: ToolCall): ToolCall {
  try {
    canonicalJson(call);
    return call;
  } catch {
    return { malformed: 'an argument holds half of a surrogate pair' };
  }
}

function record(
  episode: Episode,
  codec: TextCodec,
  response: SampledResponse,
  action: Action,
  observation: Pick<Observation, 'messages' | 'done' | 'hash'>,
): void {
  const by = endedBy(codec, response);
  episode.turns.push({
    turn: episode.turns.length + 1,
    promptIds: episode.promptIds,
    responseIds: response.ids,
    behaviorLogProbs: response.logProbs,
    responseEnd: response.end,
    ...(by !== null && by !== codec.endOfTurn.text && { endedBy: by }),
    action,
    observation: observation.messages,
    observationHash: observation.hash,
  });
  episode.observationHash = observation.hash;
  if (observation.done) episode.end = 'done';
}

/** The environment does not hear of half a response. */
function endTruncated(episode: Episode, codec: TextCodec, response: SampledResponse, action: Action): void {
  record(episode, codec, response, action, { messages: [], done: false, hash: episode.observationHash });
  episode.end = 'truncated';
}

/** Makes the next turn's prompt, or ends the episode where there can be none. */
function prepareNextTurn(episode: Episode, codec: TextCodec, observation: Observation, options: PlayOptions): void {
  if (episode.turns.length >= options.maxTurns) {
    episode.end = 'turn-limit';
    return;
  }
  const last = episode.turns.at(-1)!;
  const shown = observation.messages.map((message) => shortened(codec, message, options.maxObservationTokens));
  episode.exchanges.push(exchangeOf(codec, episode.conversation, last, shown));
  const promptIds = promptAfter(codec, episode.firstIds, episode.exchanges, options.history);
  if (isTooLong(promptIds, codec, options)) {
    episode.end = 'context-overflow';
    return;
  }
  episode.conversation = [...episode.conversation, { role: 'assistant', content: last.action.content }, ...shown];
  episode.promptIds = promptIds;
}

function trajectoryOf(
  { task, sample, turns, end }: Episode,
  { score, success, turnsPassed }: Verdict,
  { cutEpisodeReward }: PlayOptions,
): Trajectory {
  const cut = end === 'truncated' || end === 'context-overflow';
  const nothing = cut && cutEpisodeReward === 'zero';
  return {
    id: trajectoryId(task.id, sample),
    taskId: task.id,
    sample,
    turns,
    taskTurns: task.turns,
    reward: nothing ? 0 : score,
    success: success && !nothing,
    turnsPassed,
    end: endOf(end, turnsPassed),
  };
}

function endOf(end: Episode['end'], turnsPassed: readonly boolean[]): Trajectory['end'] {
  if (end !== 'done' && end !== null) return end;
  // The last checked turn: where a user turn takes several responses, there are more of these than checks.
  return turnsPassed.at(-1) === false ? 'failed-turn' : 'completed';
}

/** Best effort: an episode that stays open costs the environment some memory, not us the shard. */
const close = (environment: Players['environment'], { episodeId }: EpisodeSpec): Promise<void> =>
  environment.close(episodeId).catch(() => {});

/** The episodes of some tasks, by task then sample. */
export const episodeSpecs = (
  tasks: readonly Task[],
  samples: number,
  name: (task: Task, sample: number) => Pick<EpisodeSpec, 'episodeId' | 'randomKey'>,
): EpisodeSpec[] =>
  tasks.flatMap((task) => Array.from({ length: samples }, (_, sample) => ({ task, sample, ...name(task, sample) })));
