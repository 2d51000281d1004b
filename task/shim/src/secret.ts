import tables from "./tables.json";

type Pairs = [string, string][];
const named = (table: Record<string, string>, id = ""): Pairs =>
  Object.entries(id && table).map(([name, variable]) => [name, variable.replace("@", id).toUpperCase()]);

/** Password and service connections, taken away while modules still load: task-lib would write them to the debug log. */
export const secrets: Record<string, string> = {};
const { INPUT_CONNECTION: digicert, INPUT_AZURECONNECTIONID: azure } = process.env;
for (const [name, own] of [["password", "INPUT_PASSWORD"], ...named(tables.connection, digicert), ...named(tables.azureConnection, azure)] as Pairs)
  for (const found of Object.keys(process.env).filter((each) => each.toUpperCase() === own)) {
    if (process.env[found]) secrets[name] = process.env[found];
    Reflect.deleteProperty(process.env, found);
  }
