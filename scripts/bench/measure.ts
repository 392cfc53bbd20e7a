import { createEnvironments } from '../../activities/environments/registry.js';
import { loadTextCodec } from '../../activities/policy/text-codec.js';
import type { SampledResponse } from '../../activities/policy/policy.js';
import { episodeId } from '../../activities/rollout/episode-id.js';
import { playEpisodes, episodeSpecs } from '../../activities/rollout/play-episodes.js';
import { selectTasks, shardsOf } from '../../activities/rollout/select-tasks.js';
import type { TrainConfig } from '../../schemas/train-config.js';
import type { Trajectory } from '../../schemas/trajectory.js';
import { startSidecarProcess } from '../services/sidecar-process.js';
import { poolOf, randomRows, type Pool } from './inputs.js';
import { resultOf, type RowResult, type SideName } from './results.js';
import { endSides, startSides } from './sides.js';
import type { Reply, Side } from './side.js';
import { PADDED_BATCH, TEMPERATURE, type WorkRow } from './works.js';

export interface Setting {
  readonly wanted: readonly SideName[];
  readonly rounds: number;
  readonly threads: number;
  /** Of our policy where a GPU worker does the work; a single pass is measured with one. */
  readonly replicas: number;
  /** Hugging Face directory. */
  readonly model: string;
  readonly vocabulary: number;
  readonly config: TrainConfig;
  /** Of a committed iteration; null: they are played first. */
  readonly trajectories: readonly Trajectory[] | null;
}

/** All rounds of one row, each side in a process of its own. */
export async function measure(
  row: WorkRow,
  setting: Setting,
  log: (line: string) => void,
): Promise<{ result: RowResult; versions: Record<string, string> }> {
  const replicas = row.work.kind === 'turnUpdate' || row.work.kind === 'rolloutShard' ? setting.replicas : 1;
  const { sides, versions } = await startSides(setting.wanted, row, setting.model, setting.threads, replicas);
  const ending: (() => Promise<void>)[] = [() => endSides(sides)];
  try {
    const { turn, detail } = await roundOf(row, setting, sides, ending);
    const replies: Record<SideName, Reply[]> = { ours: [], torch: [] };
    for (let round = -row.warmUps; round < setting.rounds; round++) {
      for (const name of round % 2 === 0 ? setting.wanted : setting.wanted.toReversed()) {
        const reply = await turn(sides[name]!, name, round);
        if (round < 0) continue;
        replies[name].push(reply);
        log(
          `${row.name} round ${round + 1} of ${setting.rounds}, ${name}: ${reply.seconds.toFixed(2)} s, ${(reply.tokens / reply.seconds).toFixed(0)} tokens/s, peak ${(reply.peakBytes / 2 ** 30).toFixed(1)} GiB${reply.check === null ? '' : `, check ${reply.check.toPrecision(5)}`}`,
        );
      }
    }
    return {
      result: resultOf(row, replies, replicas > 1 ? `${detail}; ours on ${replicas} replicas` : detail),
      versions,
    };
  } finally {
    for (const end of ending.toReversed()) await end();
  }
}

interface Round {
  turn(side: Side, name: SideName, round: number): Promise<Reply>;
  readonly detail: string;
}

async function roundOf(
  { work }: WorkRow,
  setting: Setting,
  sides: Partial<Record<SideName, Side>>,
  ending: (() => Promise<void>)[],
): Promise<Round> {
  const { vocabulary, config } = setting;
  switch (work.kind) {
    case 'logProbs':
    case 'step': {
      const rows = randomRows(work.rows, work.tokens, vocabulary);
      const training = 'training' in work ? { training: work.training } : {};
      return { turn: (side) => side.call({ call: work.kind, rows, ...training }), detail: '' };
    }
    case 'decode': {
      const prompts = randomRows(work.rows, work.promptTokens, vocabulary);
      return {
        turn: (side) => side.call({ call: 'decode', prompts, tokens: work.tokens, temperature: TEMPERATURE }),
        detail: '',
      };
    }
    case 'turnUpdate': {
      let { trajectories } = setting;
      if (!trajectories) {
        const table = await openTable(setting, ending);
        trajectories = (await table.play(Object.values(sides)[0] as Side, 0)).trajectories;
      }
      const pool = poolOf(config, trajectories, setting.trajectories !== null);
      return {
        turn: (side, name) => side.call(name === 'ours' ? ourUpdate(pool) : theirUpdate(pool)),
        detail: pool.detail,
      };
    }
    case 'rolloutShard': {
      const table = await openTable(setting, ending);
      return {
        turn: async (side, _, round) => (await table.play(side, round)).reply,
        detail: `${table.episodes} episodes of ${config.environment.name} ${config.environment.taskSet}; each side draws its own tokens`,
      };
    }
  }
}

const ourUpdate = ({ samples, options }: Pool) => ({ call: 'turnUpdate', samples, options });
const theirUpdate = ({ samples, minibatches, options: { temperature, algorithm, optimizer } }: Pool) => ({
  call: 'turnUpdate',
  samples,
  minibatches,
  batch: PADDED_BATCH,
  temperature,
  algorithm,
  optimizer,
});

/** The first shard of the run's tasks behind a real sidecar: whoever samples, the same code plays. */
async function openTable({ config, model }: Setting, ending: (() => Promise<void>)[]) {
  const sidecar = await startSidecarProcess(config.environment.name);
  ending.push(() => sidecar.kill());
  const environments = createEnvironments({ bfclUrl: sidecar.url, bfclFullUrl: sidecar.url, appworldUrl: sidecar.url });
  const { name, taskSet } = config.environment;
  const codec = await loadTextCodec(model);
  const { rollout, seed } = config;
  const tasks =
    shardsOf(
      selectTasks(config, await environments(name, { taskSet }).listTasks('train'), 0),
      rollout.tasksPerShard,
    )[0] ?? [];
  return {
    episodes: tasks.length * rollout.groupSize,
    async play(side: Side, round: number): Promise<{ trajectories: Trajectory[]; reply: Reply }> {
      const replies: Reply[] = [];
      const seats = episodeSpecs(tasks, rollout.groupSize, (task, sample) => ({
        episodeId: episodeId(`bench-${side.name}`, round, task.id, sample),
        randomKey: `${seed}/${round}/${task.id}/${sample}`,
      }));
      const sample = async (requests: readonly unknown[]): Promise<SampledResponse[]> => {
        const { temperature, maxResponseTokens } = rollout;
        const more = side.name === 'torch' ? { ends: [...codec.ends.keys()] } : {};
        const reply = await side.call({ call: 'sample', requests, temperature, maxResponseTokens, ...more });
        replies.push(reply);
        return [...reply.responses!];
      };
      const started = performance.now();
      const trajectories = await playEpisodes(
        seats,
        { policy: { sample }, codec, environment: environments(name, { taskSet }) },
        { ...rollout, seed },
      );
      return {
        trajectories,
        reply: {
          seconds: (performance.now() - started) / 1000,
          tokens: replies.reduce((sum, { tokens }) => sum + tokens, 0),
          check: null,
          peakBytes: Math.max(...replies.map(({ peakBytes }) => peakBytes)),
        },
      };
    },
  };
}
