import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import type { Stack } from '../../scripts/chaos/stack.js';

/** Resolves when the run has committed a manifest. @throws if it ends before */
export async function committed({ artifacts }: Stack, run: WorkflowHandle, key: string): Promise<void> {
  for (;;) {
    for await (const _ of artifacts.list(key)) return;
    assert.equal((await run.describe()).status.name, 'RUNNING', `the run ended before ${key}`);
    await sleep(10);
  }
}
