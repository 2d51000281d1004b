/** A link to the page of a build, in a tab of its own. */
import type { Host } from "../service/host";
import { clipped } from "../text/visible";
import type { BuildRow } from "./builds";

export function BuildLink({ host, build }: { host: Host; build: BuildRow }) {
  const { collection, project } = host.place;
  return (
    <a href={`${collection}${encodeURIComponent(project)}/_build/results?buildId=${build.id}`} target="_blank" rel="noreferrer">
      <bdi>{clipped(build.pipeline, 60)} {clipped(build.number, 60)}</bdi>
    </a>
  );
}
