/** What is missing, forged, too old or unreadable, in plain words: nothing of it may look like a verdict. */
import type { Decision } from "../service/decision";
import { Problem } from "../view/Problem";
import { clipped } from "../text/visible";
import { count } from "../text/words";

export function TabNotices({ decision }: { decision: Decision }) {
  const { verdicts, stale } = decision;
  const forged = verdicts.filter((verdict) => !verdict.ours);
  const unreadable = verdicts.flatMap(({ ours, step, missing }) => (ours && missing ? [{ step, missing }] : []));
  return (
    <>
      {!verdicts.length && !stale && (
        <Problem
          title="No signatures were recorded"
          text="No step of this run attached a verdict. Run the KspSign task with run, verify or merge; a slice attaches none, merge does it for all slices."
        />
      )}
      {!verdicts.length && stale > 0 && (
        <Problem
          title="This attempt recorded no signatures yet"
          text={`${count(stale, "verdict")} of earlier attempts, which do not count: later steps may have changed what was signed.`}
        />
      )}
      {forged.length > 0 && (
        <Problem
          title="Not from the KspSign task"
          text={`${count(forged.length, "verdict")} attached by other steps: ${forged
            .map((verdict) => clipped(verdict.step.name, 80)).join(", ")}. A script can attach anything; what it says is not shown.`}
        />
      )}
      {unreadable.map(({ step, missing }) => (
        <Problem
          key={step.id}
          title="A report can't be shown"
          text={`The step ${clipped(step.name, 80)}: ${clipped(missing.reason)}.`}
          remedy={missing.remedy}
        />
      ))}
    </>
  );
}
