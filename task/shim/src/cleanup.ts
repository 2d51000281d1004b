/** The post-job step: removes what a killed run left. Results in kspsign/ stay, the agent may still upload them. */
import { leftPrivate, remove } from "./private";

for (const folder of leftPrivate()) {
  try { remove(folder); } catch (error) { console.log(`##vso[task.logissue type=warning]${String(error)}`); }
}
