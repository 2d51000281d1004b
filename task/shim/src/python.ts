import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";

type Python = Record<"executable" | "version" | "implementation" | "tag", string>;

/** CPythons in the agent's tool cache for its own architecture, newest first. */
function cached(): string[][] {
  const root = path.join(process.env.AGENT_TOOLSDIRECTORY ?? "", "Python");
  const arch = (process.env.AGENT_OSARCHITECTURE ?? process.arch).toLowerCase();
  return (path.isAbsolute(root) && fs.existsSync(root) ? fs.readdirSync(root) : [])
    .filter((version) => /^3\.\d+\.\d+$/.test(version) && fs.existsSync(path.join(root, version, `${arch}.complete`)))
    .sort((a, b) => b.localeCompare(a, "en", { numeric: true }))
    .map((version) => [path.join(root, version, arch, process.platform === "win32" ? "python.exe" : "bin/python3")]);
}

/** Run one candidate: it must be a CPython that this package carries compiled libraries for. Else: why it is not. */
function probe([command = "", ...args]: string[], engine: string, env: NodeJS.ProcessEnv): Python | string {
  // Not the job's folder: Windows looks for a bare program name in the working folder before PATH.
  const options = { cwd: engine, env, encoding: "utf8", timeout: 20_000, windowsHide: true } as const;
  const run = spawnSync(command, [...args, "-I", "-B", "-X", "utf8", path.join(engine, "bundle.py")], options);
  if (run.error) return run.error.message;
  if (!run.stdout.startsWith("{")) return `ended with code ${String(run.status)}: ${run.stderr.trim()}`;
  const python = JSON.parse(run.stdout) as Python;
  const fits = python.implementation === "cpython" && fs.existsSync(path.join(engine, "lib", python.tag));
  return fits ? python : `is ${python.implementation} ${python.version} (${python.tag})`;
}

/** The interpreter for the engine: the one asked for, else the tool cache's newest, else PATH's. Throws with all tried. */
export function findPython(asked: string | undefined, engine: string, env: NodeJS.ProcessEnv): Python {
  const tried: string[] = [];
  for (const candidate of asked ? [[asked]] : [...cached(), ["python3"], ["python"], ["py", "-3"]]) {
    const found = probe(candidate, engine, env);
    if (typeof found !== "string") return found;
    tried.push(`${candidate.join(" ")}: ${found}`);
  }
  const supported = fs.readdirSync(path.join(engine, "lib")).filter((name) => name.includes("-cp")).join(", ");
  throw new Error(`No usable Python found. Put UsePythonVersion@0 (say, versionSpec 3.13) before this step, or name the \
executable in the input pythonPath. Supported: ${supported}. Tried: ${tried.join("; ")}`);
}
