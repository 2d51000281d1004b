import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { messages } from "../../KspSign/task.json";

/** `program` runs the engine ("": none can), once provision.py has made the `environment` ("": nothing to make). */
type Python = Record<"version" | "executable" | "program" | "environment" | "shown", string>;
const NONE: Python = { version: "", executable: "", program: "", environment: "", shown: "" };

/** CPythons in the agent's tool cache for its own architecture, newest first. */
function cached(): string[][] {
  const root = path.join(process.env.AGENT_TOOLSDIRECTORY ?? "", "Python");
  const arch = (process.env.AGENT_OSARCHITECTURE ?? process.arch).toLowerCase();
  return (path.isAbsolute(root) && fs.existsSync(root) ? fs.readdirSync(root) : [])
    .filter((version) => /^3\.\d+\.\d+$/.test(version) && fs.existsSync(path.join(root, version, `${arch}.complete`)))
    .sort((a, b) => b.localeCompare(a, "en", { numeric: true }))
    .map((version) => [path.join(root, version, arch, process.platform === "win32" ? "python.exe" : "bin/python3")]);
}

/** Ask one candidate: what bundle.py answers, or that there is no answer. */
function probe([command = "", ...args]: string[], engine: string, env: NodeJS.ProcessEnv): Python {
  // Not the job's folder: Windows looks for a bare program name in the working folder before PATH.
  const options = { cwd: engine, env, encoding: "utf8", timeout: 20_000, windowsHide: true } as const;
  const script = ["-I", "-B", "-X", "utf8", path.join(engine, "bundle.py"), process.env.AGENT_TOOLSDIRECTORY ?? ""];
  const run = spawnSync(command, [...args, ...script], options);
  if (!run.error && run.stdout.startsWith("{")) return JSON.parse(run.stdout) as Python;
  return { ...NONE, shown: run.error?.message ?? `ended with code ${String(run.status)}: ${run.stderr.trim()}` };
}

/** The first with libraries in the package, of the one asked for, the tool cache's and PATH's; else one to install them for. */
export function findPython(asked: string | undefined, engine: string, env: NodeJS.ProcessEnv, bundledOnly = ""): Python {
  const tried: Python[] = [];
  for (const candidate of asked ? [[asked]] : [...cached(), ["python3"], ["python"], ["py", "-3"]]) {
    const found = probe(candidate, engine, env);
    if (found.program && !found.environment) return found;
    tried.push({ ...found, shown: `${candidate.join(" ")}: ${found.shown}` });
  }
  const other = /^(?:false)?$/i.test(bundledOnly) ? tried.find((each) => each.program) : undefined;
  if (other) return other;
  throw new Error(`${messages.noPython} Tried: ${tried.map((each) => each.shown).join("; ")}`);
}
