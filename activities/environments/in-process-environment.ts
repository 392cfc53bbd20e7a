import type {
  Action,
  Demonstration,
  Observation,
  ResetRequest,
  RestoreRequest,
  StepRequest,
  Verdict,
} from '../../schemas/environment-protocol.js';
import type { Split, Task } from '../../schemas/task.js';
import { canonicalJson, sha256 } from '../artifacts/canonical-json.js';
import type { ActionFormat } from '../rollout/tool-calls.js';
import { partsWithin } from '../rollout/verbatim.js';
import type { OnStepFailure } from './definition.js';
import {
  EnvironmentProtocolError,
  EnvironmentUnavailable,
  EpisodeLost,
  FailedAtWork,
  type RestorableEnvironment,
} from './environment.js';
import type { Inspection } from './inspection.js';
import { faultOf, RefusedSteps, twice, type Refusal } from './two-tries.js';

/** One episode, whose owner asks one thing at a time. */
export interface PlayableEpisode {
  start(): Pick<Observation, 'messages' | 'done'>;
  /**
   * An exception is a fault of the environment: the episode is forgotten and its owner restores it. After a FailedAtWork
   * the step is tried once more in another episode, which played the same actions.
   *
   * @param refusal  the step failed at work twice: the model reads so, and the call is not made
   */
  step(action: Action, refusal?: Refusal): Promise<Pick<Observation, 'messages' | 'done'>>;
  /** Asked at most once between two steps. An exception costs the episode, as in `step`. */
  verdict(): Promise<Verdict>;
  /** Releases what the episode holds; never throws. */
  close(): Promise<void>;
}

/** Tasks and episodes, without the protocol: what an environment in this process has to offer. */
export interface PlayableEnvironment {
  readonly name: string;
  readonly callFormat: ActionFormat;
  /** What becomes of a step that fails at work twice. */
  readonly onStepFailure: OnStepFailure;
  listTasks(split: Split): Promise<Task[]>;
  /** A new episode; null for an unknown task. */
  open(taskId: string, seed: number): Promise<PlayableEpisode | null>;
  demonstrations(): Promise<Demonstration[]>;
  /** Right responses to a task, where they are known. */
  solution(taskId: string): Promise<readonly string[] | null>;
  /** Absent where tools and calls are a server's affair. */
  inspect?(): Inspection;
}

interface Live {
  readonly taskId: string;
  readonly seed: number;
  /** Replaced by another that played the same actions when it failed at work. */
  episode: PlayableEpisode;
  /** Nobody asks for it any more: what is put in the episode's place must not outlive this. */
  closed: boolean;
  /** Canonical JSON of each step's action. */
  readonly actions: string[];
  /** At reset, then after each step; a promise, because a repeat may come while the first is at work. */
  readonly observations: Promise<Observation>[];
  /** Of the last step; asked once, so that a verifier that changes the state is still a pure read. */
  verdict: Promise<Verdict> | undefined;
}

const MAX_EPISODES = 4096;
const MAX_ACTION_CHARACTERS = 1024 * 1024;
/** The sidecar's limit. */
const MAX_MESSAGE_CHARACTERS = 100_000;

/**
 * The sidecar's contract (`episodes.py`) inside the worker: replies are stored under (episode, step
 * index), a repeat gets the stored reply, another action at a used index or a gap is a conflict.
 */
export class InProcessEnvironment implements RestorableEnvironment {
  readonly name: string;
  readonly callFormat: ActionFormat;
  private readonly live = new Map<string, Live>();
  /** Episodes whose reset is under way. */
  private readonly starting = new Map<string, Promise<Live>>();
  private readonly refused: RefusedSteps;

  constructor(
    private readonly inner: PlayableEnvironment,
    private readonly maxEpisodes = MAX_EPISODES,
  ) {
    this.name = inner.name;
    this.callFormat = inner.callFormat;
    this.refused = new RefusedSteps(inner.onStepFailure);
  }

  listTasks(split: Split): Promise<Task[]> {
    return this.inner.listTasks(split);
  }

  demonstrations(): Promise<Demonstration[]> {
    return this.inner.demonstrations();
  }

  solution(taskId: string): Promise<readonly string[] | null> {
    return this.inner.solution(taskId);
  }

  inspect(): Inspection | null {
    return this.inner.inspect?.() ?? null;
  }

  async reset({ episodeId, taskId, seed }: ResetRequest): Promise<Observation> {
    const live =
      this.live.get(episodeId) ?? (await (this.starting.get(episodeId) ?? this.begin(episodeId, taskId, seed)));
    if (live.taskId !== taskId || live.seed !== seed)
      throw conflict(
        `episode ${episodeId} is task ${live.taskId} with seed ${live.seed}, not task ${taskId} with seed ${seed}`,
      );
    return live.observations[0]!;
  }

  async step({ episodeId, stepIndex, action }: StepRequest): Promise<Observation> {
    const live = this.find(episodeId);
    const written = canonicalJson(action);
    if (written.length > MAX_ACTION_CHARACTERS) {
      throw new EnvironmentProtocolError(
        'bad_request',
        `environment ${this.name}: an action of ${written.length} characters, the limit is ${MAX_ACTION_CHARACTERS}`,
      );
    }
    const taken = live.actions.length;
    if (stepIndex <= taken) {
      if (live.actions[stepIndex - 1] === written) return live.observations[stepIndex]!;
      throw conflict(`episode ${episodeId}: step ${stepIndex} was taken with another action`);
    }
    if (stepIndex > taken + 1)
      throw conflict(`episode ${episodeId}: step ${stepIndex} leaves a gap, the next is step ${taken + 1}`);
    return this.take(episodeId, live, action, written);
  }

  async evaluate(episodeId: string): Promise<Verdict> {
    const live = this.find(episodeId);
    await live.observations.at(-1);
    try {
      return await (live.verdict ??= this.judged(live));
    } catch (error) {
      await this.forget(episodeId, live);
      throw error;
    }
  }

  async close(episodeId: string): Promise<void> {
    this.starting.delete(episodeId);
    const live = this.live.get(episodeId);
    if (live) await this.forget(episodeId, live);
  }

  /** Forgets every episode, and what they hold. */
  async end(): Promise<void> {
    await Promise.all([...this.live.keys()].map((episodeId) => this.close(episodeId)));
  }

  async restore({ episodeId, taskId, seed, actions, observationHashes }: RestoreRequest): Promise<Observation> {
    if (observationHashes.length !== actions.length + 1) {
      throw new EnvironmentProtocolError(
        'bad_request',
        `observationHashes: expected ${actions.length + 1} (one at reset, one per action), found ${observationHashes.length}`,
      );
    }
    const live = await this.replayed({ episodeId, taskId, seed, actions, observationHashes });
    await this.close(episodeId);
    this.live.set(episodeId, live);
    return live.observations.at(-1)!;
  }

  /** A new episode that has played these actions, and came to the same observations. */
  private async replayed({ episodeId, taskId, seed, actions, observationHashes }: RestoreRequest): Promise<Live> {
    const live = await this.open(taskId, seed);
    try {
      for (let index = 0; ; index++) {
        const { hash, done } = await live.observations[index]!;
        if (hash !== observationHashes[index] || (done && index < actions.length)) {
          throw new EnvironmentProtocolError(
            'restore_mismatch',
            `environment ${this.name}, episode ${episodeId}, task ${taskId}: replayed observation ${index} (0 is the reset) differs from the recorded one: ` +
              'is the environment deterministic, and unchanged since?',
          );
        }
        if (index === actions.length) return live;
        await this.take(null, live, actions[index]!, canonicalJson(actions[index]));
      }
    } catch (error) {
      await live.episode.close();
      throw error;
    }
  }

  private open(taskId: string, seed: number): Promise<Live> {
    return twice(() => this.openOnce(taskId, seed));
  }

  private async openOnce(taskId: string, seed: number): Promise<Live> {
    const episode = await this.inner.open(taskId, seed);
    if (!episode)
      throw new EnvironmentProtocolError(
        'unknown_task',
        `environment ${this.name} has no task ${JSON.stringify(taskId.slice(0, 60))}`,
      );
    try {
      return {
        taskId,
        seed,
        episode,
        closed: false,
        actions: [],
        observations: [Promise.resolve(observed(episode.start()))],
        verdict: undefined,
      };
    } catch (error) {
      await episode.close();
      throw error;
    }
  }

  private begin(episodeId: string, taskId: string, seed: number): Promise<Live> {
    if (this.live.size + this.starting.size >= this.maxEpisodes)
      throw new EnvironmentUnavailable(`environment ${this.name}: ${this.maxEpisodes} episodes are live: close some`);
    const starting = this.open(taskId, seed).then(async (live) => {
      if (this.starting.get(episodeId) === starting) {
        this.live.set(episodeId, live);
        return live;
      }
      await live.episode.close();
      throw new EpisodeLost(`environment ${this.name}: episode ${episodeId} was closed before it had started`);
    });
    this.starting.set(episodeId, starting);
    const started = () => {
      if (this.starting.get(episodeId) === starting) this.starting.delete(episodeId);
    };
    starting.then(started, started);
    return starting;
  }

  private async forget(episodeId: string, live: Live): Promise<void> {
    if (this.live.get(episodeId) === live) this.live.delete(episodeId);
    live.closed = true;
    await live.episode.close();
  }

  private find(episodeId: string): Live {
    const live = this.live.get(episodeId);
    if (!live) throw new EpisodeLost(`environment ${this.name}: episode ${episodeId} is not live here`);
    return live;
  }

  /** What follows an action; if it fails at work, what follows it in a fresh episode that played the same actions before it. */
  private async played(
    live: Live,
    taken: number,
    action: Action,
    written: string,
  ): ReturnType<PlayableEpisode['step']> {
    const step = () => sha256(canonicalJson([live.taskId, live.seed, ...live.actions.slice(0, taken), written]));
    const known = this.refused.find(step);
    if (known) return live.episode.step(action, known);
    let first: FailedAtWork | undefined;
    for (let refusal: Refusal | undefined; ; ) {
      try {
        const after = await live.episode.step(action, refusal);
        if (!refusal) this.refused.answered();
        return after;
      } catch (error) {
        if (!(error instanceof FailedAtWork) || refusal) throw error;
        if (first) refusal = this.refused.decide(step(), first, error);
        else first = error;
        await this.renew(live, taken, first);
      }
    }
  }

  private async judged(live: Live): Promise<Verdict> {
    try {
      return await live.episode.verdict();
    } catch (first) {
      if (!(first instanceof FailedAtWork)) throw first;
      await this.renew(live, live.actions.length, first);
      return live.episode.verdict().catch((second: unknown) => {
        throw second instanceof FailedAtWork ? faultOf(first, 'correct it, or allow more time for it') : second;
      });
    }
  }

  /** Puts a fresh episode in the place of one that failed at work, the first `taken` of its actions played. */
  private async renew(live: Live, taken: number, failure: FailedAtWork): Promise<void> {
    const { taskId, seed } = live;
    await live.episode.close();
    const actions = live.actions.slice(0, taken).map((written) => JSON.parse(written) as Action);
    const observationHashes = await Promise.all(
      live.observations.slice(0, taken + 1).map(async (observation) => (await observation).hash),
    );
    const fresh = await this.replayed({ episodeId: '(a second try)', taskId, seed, actions, observationHashes }).catch(
      (error: unknown) => {
        if (!(error instanceof EnvironmentProtocolError)) throw error;
        throw new EnvironmentProtocolError(
          error.code,
          `${error.message} It was played again because this had failed: ${failure.message}`,
          { cause: error },
        );
      },
    );
    if (live.closed) {
      await fresh.episode.close();
      throw new EpisodeLost(
        `environment ${this.name}: an episode of task ${taskId} was closed while it was played again`,
      );
    }
    live.episode = fresh.episode;
  }

  private take(episodeId: string | null, live: Live, action: Action, written: string): Promise<Observation> {
    const taken = live.actions.length;
    const before = live.observations.at(-1)!;
    const after = before.then(async ({ done }) => {
      if (done) throw conflict(`episode ${episodeId}: ended with step ${taken}, there is no step ${taken + 1}`);
      live.verdict = undefined;
      try {
        return observed(await this.played(live, taken, action, written));
      } catch (error) {
        // Half an action may have been executed.
        if (episodeId !== null) await this.forget(episodeId, live);
        throw error;
      }
    });
    live.actions.push(written);
    live.observations.push(after);
    after.catch(() => {
      // A step after the end leaves the episode as it was.
      if (live.observations.at(-1) === after) {
        live.actions.pop();
        void live.observations.pop();
      }
    });
    return after;
  }
}

const conflict = (message: string): EnvironmentProtocolError => new EnvironmentProtocolError('step_conflict', message);

function observed({ messages: said, done }: Pick<Observation, 'messages' | 'done'>): Observation {
  const messages = said.map(({ role, content, verbatim }) => {
    const parts = verbatim ? { verbatim: partsWithin(verbatim, MAX_MESSAGE_CHARACTERS) } : {};
    return { role, content: limited(content), ...parts };
  });
  return { messages, done, hash: sha256(canonicalJson({ messages, done })) };
}

const limited = (text: string): string =>
  text.length <= MAX_MESSAGE_CHARACTERS
    ? text
    : `${text.slice(0, MAX_MESSAGE_CHARACTERS).replace(/[\ud800-\udbff]$/, '')} [cut: ${text.length - MAX_MESSAGE_CHARACTERS} more characters]`;
