import tables from "./tables.json";

const id = process.env.INPUT_CONNECTION;
const wanted = { password: "INPUT_PASSWORD", ...(id && tables.connection) };

/** Password and service connection, taken away while modules still load: task-lib would write them to the debug log. */
export const secrets: Record<string, string> = {};
for (const [name, variable] of Object.entries(wanted)) {
  const own = variable.replace("@", id ?? "").toUpperCase();
  for (const found of Object.keys(process.env).filter((each) => each.toUpperCase() === own)) {
    if (process.env[found]) secrets[name] = process.env[found];
    Reflect.deleteProperty(process.env, found);
  }
}
