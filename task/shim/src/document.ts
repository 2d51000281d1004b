import * as tl from "azure-pipelines-task-lib/task";
import manifest from "../../KspSign/task.json";

type Value = string | number | boolean | string[];

const OWN = ["command", "password", "pythonPath"]; // inputs that are no settings of the engine

/** Pipeline variables that the engine may know; secret variables never come by their plain names. */
const VARIABLES = [
  "Agent.JobName Agent.TempDirectory Build.BuildId Build.BuildNumber Build.DefinitionName Build.Repository.Name",
  "Build.SourceVersion System.CollectionUri System.Debug System.JobAttempt System.JobDisplayName System.JobId",
  "System.TeamFoundationCollectionUri System.TeamProject TF_BUILD",
].flatMap((line) => line.split(" ").map((name) => name.replace(/\./g, "_").toUpperCase()));

/** What signs in to Azure, as AzureCLI@2, azure-identity and `env:` of the step name it. */
const AZURE = [
  "AZURE_CLIENT_ID AZURE_CLIENT_SECRET AZURE_TENANT_ID SYSTEM_ACCESSTOKEN",
  "AZURESUBSCRIPTION_CLIENT_ID AZURESUBSCRIPTION_SERVICE_CONNECTION_ID AZURESUBSCRIPTION_TENANT_ID",
].flatMap((line) => line.split(" "));

/** `text` as the input's declared type; what does not fit the type goes on as text, for the engine to refuse. */
function typed(type: string, text: string): Value {
  if (type === "multiLine") return text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  if (type === "boolean" && /^(?:true|false)$/i.test(text)) return text.toLowerCase() === "true";
  if (type === "int" && /^\d{1,9}$/.test(text)) return Number(text);
  return text;
}

/** What `env:` of the step maps for signing: SM_*, the sign-in to Azure, and what toolEnv names. On stdin no other child sees it. */
function credentials() {
  const more = (tl.getInput("toolEnv") ?? "").split("\n").map((name) => name.trim());
  const wanted = (name: string) => name.startsWith("SM_") || AZURE.includes(name) || more.includes(name);
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => wanted(name)));
}

/** What the engine reads from its standard input, `kspsign task`: only inputs that were really given. */
export function readDocument(password: string | undefined) {
  const inputs: Record<string, Value> = {};
  for (const { name, type } of manifest.inputs.filter((input) => !OWN.includes(input.name))) {
    const text = (tl.getInput(name) ?? "").trim();
    if (text !== "") inputs[name] = typed(type, text);
  }
  const variables = Object.fromEntries(Object.entries(process.env).filter(([name]) => VARIABLES.includes(name)));
  return { version: 1, command: tl.getInput("command") ?? "run", inputs, secrets: { ...credentials(), ...(password && { password }) }, variables };
}
