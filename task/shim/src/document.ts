import * as tl from "azure-pipelines-task-lib/task";
import manifest from "../../KspSign/task.json";
import { secrets } from "./secret";
import tables from "./tables.json";

/** `text` as the input's declared type; what does not fit the type goes on as text, for the engine to refuse. */
function typed(type: string, text: string) {
  if (type === "multiLine") return text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  if (type === "boolean" && /^(?:true|false)$/i.test(text)) return text.toLowerCase() === "true";
  if (type === "int" && /^\d{1,9}$/.test(text)) return Number(text);
  return text;
}

/** What `env:` of the step maps for signing: SM_*, the sign-in to clouds and Vault, what toolEnv and keyCommandEnv name; and the agent's proxy. On stdin no other child sees it. */
function credentials() {
  const more = ["toolEnv", "keyCommandEnv"].flatMap((input) => (tl.getInput(input) ?? "").split("\n").map((name) => name.trim()));
  const wanted = (name: string) => name.startsWith("SM_") || [...tables.azure, ...tables.aws, ...tables.google, ...tables.vault, ...tables.signserver, ...tables.esigner, ...tables.agentProxy].includes(name) || more.includes(name);
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => wanted(name)));
}

/** What the engine reads from its standard input, `kspsign task`: only inputs that were really given, none of the shim's own. */
export function readDocument() {
  const inputs: Record<string, ReturnType<typeof typed>> = {};
  for (const { name, type } of manifest.inputs.filter((input) => !tables.own.includes(input.name))) {
    const text = (tl.getInput(name) ?? "").trim();
    if (text !== "") inputs[name] = typed(type, text);
  }
  const variables = Object.fromEntries(Object.entries(process.env).filter(([name]) => tables.pipeline.includes(name)));
  const token = process.env.SYSTEM_ACCESSTOKEN; // where the step maps it, the results go to the server too
  const all = { ...credentials(), AGENT_PROXYPASSWORD: tl.getVariable("Agent.ProxyPassword"), ...secrets, ...(token && { accessToken: token }) };
  return { version: 1, command: tl.getInput("command") ?? "run", inputs, secrets: all, variables };
}
