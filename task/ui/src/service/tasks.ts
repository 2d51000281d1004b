/** The identity of the KspSign task: what the server writes into timeline records, and no step can choose. */

export const TASK_ID = "bdcd7e51-2072-4d6e-bb58-01f36a06a7f5";
/** The same task in the private dev variant of the extension (tools/package.py). */
export const DEV_TASK_ID = "db365314-afd9-5433-924f-c54bc65614c4";

/** The task that belongs to an extension of that id. */
export function taskOf(extensionId: string): string {
  return extensionId.endsWith("-dev") ? DEV_TASK_ID : TASK_ID;
}
