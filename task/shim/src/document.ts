import * as tl from "azure-pipelines-task-lib/task";
import manifest from "../../KspSign/task.json";
import { pipeline } from "./variables.json";

const OWN = ["command", "password", "pythonPath"]; // inputs that are no settings of the engine

/** `text` as the input's declared type; what does not fit the type goes on as text, for the engine to refuse. */
function typed(type: string, text: string) {
  if (type === "multiLine") return text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  if (type === "boolean" && /^(?:true|false)$/i.test(text)) return text.toLowerCase() === "true";
  if (type === "int" && /^\d{1,9}$/.test(text)) return Number(text);
  return text;
}

/** What `env:` of the step maps for the signing tools: SM_* and what toolEnv names. On stdin no other child sees it. */
function credentials() {
  const more = (tl.getInput("toolEnv") ?? "").split("\n").map((name) => name.trim());
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith("SM_") || more.includes(name)));
}

/** What the engine reads from its standard input, `kspsign task`: only inputs that were really given. */
export function readDocument(password: string | undefined) {
  const inputs: Record<string, ReturnType<typeof typed>> = {};
  for (const { name, type } of manifest.inputs.filter((input) => !OWN.includes(input.name))) {
    const text = (tl.getInput(name) ?? "").trim();
    if (text !== "") inputs[name] = typed(type, text);
  }
  // Secret variables never come by their plain names.
  const variables = Object.fromEntries(Object.entries(process.env).filter(([name]) => pipeline.includes(name)));
  return { version: 1, command: tl.getInput("command") ?? "run", inputs, secrets: { ...credentials(), ...(password && { password }) }, variables };
}
