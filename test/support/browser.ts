import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { chromium, type Browser } from 'playwright-core';
import { repositoryRoot, runtimeDir } from '../../scripts/setup/paths.js';

/**
 * A real browser without a window: the Chromium that an npm package carries, with its libraries and fonts, so that
 * nothing need be installed; or the one that SEEUPO_TEST_BROWSER names.
 *
 * @throws where the package has no Chromium for this machine, saying what to do
 */
export async function openBrowser(): Promise<{ readonly browser: Browser; close(): Promise<void> }> {
  // As root Chromium's sandbox does not start; the only pages are those of our own server on loopback.
  const args = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'];
  const own = process.env['SEEUPO_TEST_BROWSER'];
  if (own) {
    const browser = await chromium.launch({ executablePath: own, args });
    return { browser, close: () => browser.close() };
  }
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(
      `this test needs a browser: the one of @sparticuz/chromium runs on Linux on x64, this is ${process.platform} on ${process.arch}. Name another: SEEUPO_TEST_BROWSER=/path/to/chromium`,
    );
  }
  const folder = await mkdtemp(path.join(runtimeDir, 'browser-'));
  const close = () => rm(folder, { recursive: true, force: true });
  try {
    const executablePath = await unpacked(folder);
    const fonts = path.join(folder, 'fonts.conf');
    await writeFile(
      fonts,
      `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><dir>${folder}/fonts</dir><cachedir>${folder}/fonts-cache</cachedir></fontconfig>`,
    );
    const env = { ...process.env, LD_LIBRARY_PATH: path.join(folder, 'al2023', 'lib'), FONTCONFIG_FILE: fonts };
    const browser = await chromium.launch({ executablePath, args, env });
    return { browser, close: () => browser.close().then(close) };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The package unpacks into the folder for temporary files, and its libraries only where it believes itself on AWS Lambda. */
async function unpacked(folder: string): Promise<string> {
  const script = "import chromium from '@sparticuz/chromium'; process.stdout.write(await chromium.executablePath())";
  const { stdout } = await execa(process.execPath, ['--input-type=module', '-e', script], {
    cwd: repositoryRoot,
    env: { TMPDIR: folder, AWS_LAMBDA_JS_RUNTIME: 'nodejs20.x' },
  });
  return stdout;
}
