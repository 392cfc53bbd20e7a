import {
  allHandlersFinished,
  ChildWorkflowCancellationType,
  condition,
  continueAsNew,
  executeChild,
  ParentClosePolicy,
  setCurrentDetails,
  setHandler,
  upsertMemo,
  upsertSearchAttributes,
  WorkflowIdReusePolicy,
  workflowInfo,
} from '@temporalio/workflow';
import type { ArtifactRef } from '../schemas/artifact-ref.js';
import type { RunRef } from '../schemas/run.js';
import type { WriteReportResult } from '../schemas/steps.js';
import type { TrainConfigInput } from '../schemas/train-config.js';
import type { PolicyState } from '../schemas/turn-state.js';
import { cpu, gpu } from './activity-proxies.js';
import { trainDetails } from './details.js';
import { endingCancelled } from './endings.js';
import type { iteration as iterationWorkflow, IterationInput } from './iteration.js';
import * as messages from './messages.js';
import { pairs, runAttributes } from './search-attributes.js';
import { freely, steer, type Steering } from './steering.js';

/** What a run carries from iteration to iteration, and over continue-as-new. It does not grow. */
export interface TrainState {
  readonly run: RunRef;
  readonly startedAt: number;
  /** theta as it stands. */
  policy: PolicyState;
  /** Iterations done: theta is theta_k of this k. */
  iteration: number;
  checkpoint: ArtifactRef | null;
  /** The last ones. */
  points: messages.IterationPoint[];
  /** The first ones and the last ones. */
  evaluations: messages.EvaluationPoint[];
  steering: Steering;
  /** Settings that cannot act, as openRun found them. */
  inertSettings?: readonly string[];
}

export interface TrainResult {
  readonly runId: string;
  readonly iterations: number;
  /** Null if no iteration was done. */
  readonly checkpoint: ArtifactRef | null;
  readonly policy: PolicyState;
  readonly evaluations: readonly messages.EvaluationPoint[];
  /** Null if it failed and was left out by `stop`. */
  readonly report: WriteReportResult | null;
}

/** The untrained policy: the model file with a zero adapter. */
const UNTOUCHED: PolicyState = { folded: [], adapter: null, moments: null, optimizerSteps: 0 };

/** A failed iteration begins again so often by itself; what it had committed is kept. */
const ITERATION_RETRIES = 2;
/** Histories stay far below the server's limits (about 15 events per iteration, 4,096 suggested). */
const CONTINUE_AFTER = 100;
/** Enough for a curve in the Web UI; all of them are in the store. */
const POINTS_KEPT = 50;

/**
 * A run: opens it, evaluates, warms up, iterates, evaluates, reports.
 *
 * The workflow id is the run id. The configuration is checked by openRun as a whole: a wrong one
 * ends the run at once, saying all that is wrong with it.
 *
 * @param resumed  only for continue-as-new
 */
export async function train(config: TrainConfigInput, resumed?: TrainState): Promise<TrainResult> {
  const runId = workflowInfo().workflowId;
  const startedAt = resumed?.startedAt ?? workflowInfo().startTime.getTime();
  const steering = resumed?.steering ?? freely();
  let state: TrainState | undefined = resumed;
  let phase = 'open the run';
  let child: string | null = null;

  const { gate, persevere } = steer(steering, () => {
    show();
    upsertSearchAttributes(pairs({ paused: steering.paused !== null }));
  });
  const { descriptions } = messages;
  setHandler(messages.config, () => config, { description: descriptions.config });
  setHandler(messages.progress, standing, { description: descriptions.progress });
  setHandler(
    messages.metrics,
    () => ({ evaluations: state?.evaluations ?? [], iterations: state?.points ?? [], checkpoint: state?.checkpoint ?? null }),
    { description: descriptions.metrics },
  );

  function standing(): messages.TrainProgress {
    const { run, points = [], iteration = 0 } = state ?? {};
    const latest = points.at(-1) ?? null;
    const left = run && latest ? (run.iterations - iteration) * mean(points.slice(-5).map(({ wallSeconds }) => wallSeconds)) : null;
    return {
      runId,
      title: run?.title ?? '',
      phase,
      iteration,
      iterations: run?.iterations ?? null,
      child,
      paused: steering.paused,
      stopping: steering.stopping,
      startedAt,
      secondsLeft: left,
      latest,
      inertSettings: state?.inertSettings ?? [],
    };
  }

  function show(): void {
    setCurrentDetails(trainDetails(standing(), state?.points ?? [], state?.evaluations ?? []));
  }

  function enter(next: string): void {
    phase = next;
    show();
    upsertSearchAttributes(pairs({ phase }));
  }

  async function open(): Promise<TrainState> {
    enter(phase);
    const { inertSettings, ...run } = await cpu('check the configuration, open the run').openRun({ runId, config: config ?? null });
    upsertMemo({ title: run.title, model: run.model, environment: run.environment, algorithm: run.algorithm });
    upsertSearchAttributes(runAttributes(run, { iteration: 0 }));
    return { run, startedAt, policy: UNTOUCHED, iteration: 0, checkpoint: null, points: [], evaluations: [], steering, inertSettings };
  }

  async function evaluate(state: TrainState, name: string): Promise<void> {
    enter(`evaluate ${name}`);
    const { run, policy } = state;
    const results = await persevere(phase, 0, () =>
      Promise.all((['train', 'heldout'] as const).map((split) => gpu(`evaluate ${name}, ${split} tasks`).evaluatePolicy({ run, name, split, policy }))),
    );
    if (!results) return;
    const points = results.map(({ manifest: _, timing: __, ...point }) => point);
    state.evaluations = [...state.evaluations.slice(0, 4), ...state.evaluations.slice(4).slice(-POINTS_KEPT), ...points];
    upsertSearchAttributes(pairs({ evaluation: points[0]!.meanReward }));
    show();
  }

  async function warmStart(state: TrainState): Promise<void> {
    enter('warm start');
    const { run } = state;
    const warm = await persevere(phase, 0, () => gpu('warm start: supervised fine-tuning').warmStart({ run }));
    if (warm) state.policy = warm.policy;
  }

  async function iterate(state: TrainState): Promise<void> {
    const { run, iteration, policy } = state;
    enter('iteration');
    const began = Date.now();
    const done = await persevere(`iteration ${iteration + 1}`, ITERATION_RETRIES, () => {
      child = `${runId}/iteration-${String(iteration).padStart(4, '0')}`;
      return runIteration(child, { run, iteration, policy });
    });
    child = null;
    if (!done) return;
    const { policy: moved, checkpoint, ...point } = done;
    state.policy = moved;
    state.checkpoint = checkpoint;
    state.iteration = iteration + 1;
    state.points = [...state.points, { ...point, wallSeconds: (Date.now() - began) / 1000 }].slice(-POINTS_KEPT);
    upsertSearchAttributes(pairs({ iteration: state.iteration, reward: point.meanReward, kl: point.klReference }));
    show();
  }

  return endingCancelled(async () => {
    if (!state) {
      state = await open();
      await evaluate(state, 'untouched');
      if (state.run.warmStart) {
        await warmStart(state);
        await evaluate(state, 'start');
      }
    }
    const { run } = state;
    const first = state.iteration;
    while (state.iteration < run.iterations) {
      await gate();
      if (steering.stopping) break;
      if (state.iteration > first && (workflowInfo().continueAsNewSuggested || state.iteration - first >= CONTINUE_AFTER)) {
        await condition(allHandlersFinished);
        await continueAsNew<typeof train>(config, state);
      }
      await iterate(state);
      const due = run.evaluateEvery !== null && state.iteration % run.evaluateEvery === 0 && state.iteration < run.iterations;
      if (due) await evaluate(state, `iteration-${String(state.iteration).padStart(4, '0')}`);
    }
    if (state.iteration > 0) await evaluate(state, 'end');
    enter('report');
    const completedIterations = state.iteration;
    const report = await persevere(phase, 0, () => cpu('report').writeReport({ run, completedIterations }));
    enter('done');
    const { checkpoint, policy, evaluations } = state;
    return { runId, iterations: completedIterations, checkpoint, policy, evaluations, report };
  });
}

/** One Web UI page per iteration. */
const runIteration = (workflowId: string, input: IterationInput) =>
  executeChild<typeof iterationWorkflow>('iteration', {
    workflowId,
    args: [input],
    staticSummary: `iteration ${input.iteration + 1} of ${input.run.iterations}`,
    staticDetails: input.run.title,
    // A retry, and a reset of the parent, run the same id again; the store knows what is done.
    workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
    parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
    cancellationType: ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
  });

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
