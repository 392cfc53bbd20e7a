import { Client, Connection, WorkflowNotFoundError } from '@temporalio/client';
import { WorkflowIdReusePolicy } from '@temporalio/common';
import type { TrainConfig } from '../../schemas/train-config.js';
import type { TrainResult } from '../../workflows/train.js';

export interface TemporalPlace {
  readonly address: string;
  readonly namespace: string;
  readonly controlQueue: string;
}

/** A run's status on the Temporal server, e.g. RUNNING or COMPLETED; NONE if it does not know the run. */
export type RunStatus = 'NONE' | 'RUNNING' | 'COMPLETED' | 'FAILED' | 'CANCELLED' | 'TERMINATED' | 'TIMED_OUT' | string;

/** What the quickstart asks of Temporal. */
export class RunClient {
  private constructor(
    readonly client: Client,
    private readonly place: TemporalPlace,
  ) {}

  static async connect(place: TemporalPlace): Promise<RunClient> {
    const connection = await Connection.connect({ address: place.address });
    return new RunClient(new Client({ connection, namespace: place.namespace }), place);
  }

  async status(runId: string): Promise<RunStatus> {
    try {
      return (await this.client.workflow.getHandle(runId).describe()).status.name;
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return 'NONE';
      throw error;
    }
  }

  /** Starts the run; whatever of it is committed in the store is found there and not done again. */
  async start(runId: string, config: TrainConfig): Promise<void> {
    await this.client.workflow.start('train', {
      workflowId: runId,
      taskQueue: this.place.controlQueue,
      args: [config],
      workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
      workflowIdConflictPolicy: 'USE_EXISTING',
      staticSummary: config.title || runId,
      staticDetails: `Started by \`npm run quickstart\`: ${config.iterations} iterations of ${config.algorithm.name} on ${config.environment.name}.`,
    });
  }

  /** Tries the failed step of a paused run again. */
  async resume(runId: string): Promise<void> {
    await this.client.workflow.getHandle(runId).signal('resume');
  }

  /** Ends a run on the server; its checkpoints stay in the store. */
  async terminate(runId: string, reason: string): Promise<void> {
    await this.client.workflow.getHandle(runId).terminate(reason);
  }

  /** @throws {WorkflowFailedError} if the run did not complete */
  async result(runId: string): Promise<TrainResult> {
    return (await this.client.workflow.getHandle(runId).result()) as TrainResult;
  }

  /** From the start of the workflow to its end, waiting included; null while it runs. */
  async wallSeconds(runId: string): Promise<number | null> {
    const { startTime, closeTime } = await this.client.workflow.getHandle(runId).describe();
    return closeTime === undefined ? null : (closeTime.getTime() - startTime.getTime()) / 1000;
  }

  async close(): Promise<void> {
    await this.client.connection.close();
  }
}
