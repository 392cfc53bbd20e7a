import { readdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';

const NVIDIA = '/proc/driver/nvidia/gpus';

/** Name of the processor, or of the first accelerator as its driver gives it: results depend on it, by rounding. */
export function deviceName(isOnProcessor: boolean): string {
  if (isOnProcessor) return cpus()[0]?.model ?? 'unknown processor';
  try {
    const [first] = readdirSync(NVIDIA).sort();
    return /^Model:\s*(.+?)\s*$/m.exec(readFileSync(path.join(NVIDIA, first!, 'information'), 'utf8'))?.[1] ?? 'GPU';
  } catch {
    // A container may not show it.
    return 'GPU';
  }
}
