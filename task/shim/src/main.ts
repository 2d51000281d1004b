import { secrets } from "./secret"; // before task-lib
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { setImmediate } from "node:timers/promises";
import * as tl from "azure-pipelines-task-lib/task";
import { readDocument } from "./document";
import { cancelled, childEnvironment, forwardSignals, runEngine } from "./engine";
import { findPython } from "./python";
import { neutral } from "./relay";
import tables from "./tables.json";

const ENGINE = path.join(__dirname, "..", "engine");

async function runTask(temp: string): Promise<number | NodeJS.Signals | null> {
  // SM_HOST is no secret, and people need it in the log.
  const hidden = Object.entries(secrets).flatMap(([name, value]) => (name === "SM_HOST" ? [] : value.split(/\r?\n/)));
  for (const line of hidden) tl.setSecret(line);
  const document = readDocument();
  const env = childEnvironment(temp);
  const python = findPython(tl.getInput("pythonPath"), ENGINE, env);
  console.log(neutral(`Python ${python.version} (${python.executable})`));
  await setImmediate(); // lets a signal in that came while the interpreters were probed
  if (cancelled()) return 130;
  const cwd = process.env.SYSTEM_DEFAULTWORKINGDIRECTORY ?? process.cwd();
  return runEngine([python.executable, "-I", "-B", "-X", "utf8", "-u", ENGINE, "task"], document, { cwd, env });
}

function report(ending: number | NodeJS.Signals | null): void {
  const ended = typeof ending === "string" ? `was killed by ${ending}` : `ended with exit code ${String(ending)}`;
  const meaning = (tables.exits as Record<string, string>)[ending ?? ""] ?? "that is unexpected, the log above tells more";
  if (ending === 0) tl.setResult(tl.TaskResult.Succeeded, "");
  // Not tl.setResult: it would spell the result "Cancelled", which the agent does not know.
  else if (ending === 130 || cancelled()) tl.command("task.complete", { result: "Canceled" }, "The run was cancelled.");
  else tl.setResult(tl.TaskResult.Failed, `kspsign ${ended}: ${meaning}.`);
}

async function main(): Promise<void> {
  forwardSignals();
  const temp = fs.mkdtempSync(path.join(process.env.AGENT_TEMPDIRECTORY ?? os.tmpdir(), "kspsign-"));
  report(await runTask(temp).finally(() => { fs.rmSync(temp, { recursive: true, force: true, maxRetries: 5 }); }));
}

main().catch((error: unknown) => {
  tl.setResult(tl.TaskResult.Failed, error instanceof Error ? error.message : String(error));
});
