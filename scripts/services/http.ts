/** Whether a GET is answered with 200 within two seconds. */
export async function answers(url: string): Promise<boolean> {
  const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
  await response.arrayBuffer(); // else the connection stays open
  return response.status === 200;
}
