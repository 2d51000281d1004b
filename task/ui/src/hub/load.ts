/** Reads builds a few at a time, each once: the page keeps what it has read. */
import { decide } from "../service/decision";
import { faultOf, type ServiceError } from "../service/faults";
import type { Host } from "../service/host";
import type { BuildRow } from "./builds";
import { type BuildSummary, summaryOf } from "./summary";

/** Builds that are read at once, and with one press of the button. */
const AT_ONCE = 4;
export const STEP = 25;

export interface Loaded {
  summaries: BuildSummary[];
  /** Builds that could not be read, and why. */
  faults: { build: BuildRow; fault: ServiceError }[];
}

/** Read `builds` and call back after each; one that can't be read, for whatever reason, is a fault of its own. */
export async function loadBuilds(
  host: Host, builds: readonly BuildRow[], cache: Map<number, BuildSummary>, onProgress: (loaded: Loaded) => void,
): Promise<void> {
  const waiting = [...builds];
  const faults: Loaded["faults"] = [];
  const work = async () => {
    for (let build = waiting.shift(); build; build = waiting.shift()) {
      try {
        if (!cache.has(build.id)) cache.set(build.id, summaryOf(build, await decide(host.place, build.id, host.taskId)));
      } catch (error) {
        faults.push({ build, fault: faultOf(error, `run ${build.id}`) });
      }
      onProgress({ summaries: builds.flatMap((one) => cache.get(one.id) ?? []), faults: [...faults] });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}
