/** The tab "Signatures" of a run: the reports that our task attached to it. */
import * as SDK from "azure-devops-extension-sdk";
import { Guarded } from "../view/Guarded";
import { Problem } from "../view/Problem";
import { startPage } from "../view/start";
import { SignaturesTab } from "./SignaturesTab";

interface TabConfiguration {
  /** Calls back with the build that the page shows, at once and whenever it changes. */
  onBuildChanged?: (callback: (build: { id: number }) => void) => void;
}

startPage((root, host) => {
  const configuration = SDK.getConfiguration() as TabConfiguration;
  if (!configuration.onBuildChanged) {
    root.render(<Problem title="There is no run" text="Azure DevOps did not say which run this is. Open the tab from the page of a run." />);
  }
  let shown = 0;
  configuration.onBuildChanged?.(({ id }) => {
    if (id === shown) return;
    shown = id;
    root.render(<Guarded key={id} what="The run"><SignaturesTab host={host} build={id} /></Guarded>);
  });
});
