import { spawn, type ChildProcess, type SpawnOptionsWithoutStdio as SpawnOptions } from "node:child_process";
import { finished } from "node:stream/promises";
import * as tl from "azure-pipelines-task-lib/task";
import tables from "./tables.json";
import { lineRelay } from "./relay";

export type Ending = number | NodeJS.Signals | null;
/** The agent gives a cancelled task 10 s in all; on Windows nothing of ours would end a stuck child before that. */
const GRACE_MS = 7000;
const received = new Set<NodeJS.Signals>();
let child: ChildProcess | undefined;
export const cancelled = () => received.size > 0;

/** From now on hand each signal to the engine, once each, and stay alive until it has ended. */
export function forwardSignals(): void {
  for (const signal of ["SIGINT", "SIGTERM", "SIGBREAK"] as const) {
    process.on(signal, () => {
      if (received.has(signal)) return;
      received.add(signal);
      // Windows hands Ctrl-C to the whole console group; kill would end the child there without its clean-up.
      if (process.platform === "win32") setTimeout(() => child?.kill(), GRACE_MS).unref();
      else child?.kill(signal);
    });
  }
}

const picked = (names: string[]) =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => names.includes(name.toUpperCase())));

/** All that the engine and what it starts see of this environment. */
export const childEnvironment = (temp: string) => ({ ...picked(tables.engine), TMPDIR: temp, TEMP: temp, TMP: temp });

/** What pip sees beside it, and nobody else: the agent's own index and proxy, whose URLs may hold passwords. */
export function pipEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const found = tl.getHttpProxyConfiguration(process.env.PIP_INDEX_URL);
  const [username, password] = [found?.proxyUsername, found?.proxyPassword].map((text) => encodeURIComponent(text ?? ""));
  const proxy = found ? Object.assign(new URL(found.proxyUrl), { username, password }).href : undefined; // task-lib encodes nothing
  return { HTTPS_PROXY: proxy, HTTP_PROXY: proxy, PIP_CERT: process.env.AGENT_CAINFO, ...env, ...picked(tables.pip) };
}

/** Run `program` with `document` on its standard input to its end, relaying its output: the exit code, or the signal. */
export async function runEngine([program, ...args]: [string, ...string[]], document: object, options: SpawnOptions) {
  // Not windowsHide: the engine would get a console of its own, where the agent's Ctrl-C does not reach it.
  const engine = (child = spawn(program, args, { ...options, shell: false, stdio: "pipe" }));
  const ended = new Promise<Ending>((resolve, reject) => {
    engine.on("error", reject).on("close", (code, signal) => { resolve(signal ?? code); });
  });
  engine.stdin.on("error", () => undefined); // a child that ends without reading: its exit code tells
  engine.stdin.end(JSON.stringify(document));
  const [out, err] = [engine.stdout.pipe(lineRelay(true)), engine.stderr.pipe(lineRelay(false))];
  for (const [from, to] of [[out, process.stdout], [err, process.stderr]] as const) from.pipe(to, { end: false });
  return (await Promise.all([ended, finished(out), finished(err)]))[0];
}
