import { secrets } from "./secret"; // before task-lib
import * as path from "node:path";
import { setImmediate } from "node:timers/promises";
import * as tl from "azure-pipelines-task-lib/task";
import { messages } from "../../KspSign/task.json";
import { readDocument } from "./document";
import { cancelled, childEnvironment, forwardSignals, pipEnvironment, runEngine, type Ending } from "./engine";
import { createPrivate, remove } from "./private";
import { findPython } from "./python";
import { neutral } from "./relay";

const ENGINE = path.join(__dirname, "..", "engine");
const FLAGS = ["-I", "-B", "-X", "utf8", "-u"];

async function runTask(temp: string): Promise<Ending> {
  const hidden = Object.values({ ...secrets, SM_HOST: "", AZURE_CONNECTION_SCHEME: "" }); // no secrets, and people need them in the log
  for (const line of hidden.flatMap((value) => value.split(/\r?\n/))) tl.setSecret(line);
  const env = childEnvironment(temp);
  const python = findPython(tl.getInput("pythonPath"), ENGINE, env, tl.getInput("bundledOnly"));
  console.log(neutral(`Python ${python.version} (${python.executable})`));
  await setImmediate(); // lets a signal in that came while the interpreters were probed
  if (cancelled()) return 130;
  const provision = [python.executable, ...FLAGS, path.join(ENGINE, "provision.py"), python.environment] as const;
  const made = python.environment ? await runEngine([...provision], {}, { cwd: temp, env: pipEnvironment(env) }) : 0;
  const job = { cwd: process.env.SYSTEM_DEFAULTWORKINGDIRECTORY, env };
  return made === 0 ? runEngine([python.program, ...FLAGS, ENGINE, "task"], readDocument(), job) : made;
}

function report(ending: Ending): void {
  const ended = typeof ending === "string" ? `was killed by ${ending}` : `ended with exit code ${String(ending)}`;
  const meaning = (messages as Record<string, string>)[`exit${String(ending)}`] ?? messages.unexpected;
  if (ending === 0) tl.setResult(tl.TaskResult.Succeeded, "");
  // Not tl.setResult: it would spell the result "Cancelled", which the agent does not know.
  else if (ending === 130 || cancelled()) tl.command("task.complete", { result: "Canceled" }, "The run was cancelled.");
  else tl.setResult(tl.TaskResult.Failed, `kspsign ${ended}: ${meaning}.`);
}

async function main(): Promise<void> {
  forwardSignals();
  const temp = createPrivate();
  report(await runTask(temp).finally(() => { remove(temp); }));
}

main().catch((error: unknown) => {
  tl.setResult(tl.TaskResult.Failed, error instanceof Error ? error.message : String(error));
});
