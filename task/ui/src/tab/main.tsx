/** The tab "Signatures" of a run: the reports that our task attached to it. */
import * as SDK from "azure-devops-extension-sdk";
import { createRoot } from "react-dom/client";
import { openHost } from "../service/host";
import { Problem } from "../view/Problem";
import { SignaturesTab } from "./SignaturesTab";

interface TabConfiguration {
  /** Calls back with the build that the page shows, at once and whenever it changes. */
  onBuildChanged?: (callback: (build: { id: number }) => void) => void;
}

async function main(target: HTMLElement): Promise<void> {
  const root = createRoot(target);
  const host = await openHost();
  const configuration = SDK.getConfiguration() as TabConfiguration;
  if (!configuration.onBuildChanged) {
    root.render(<Problem title="There is no run" text="Azure DevOps did not say which run this is." />);
  }
  let shown = 0;
  configuration.onBuildChanged?.(({ id }) => {
    if (id === shown) return;
    shown = id;
    root.render(<SignaturesTab key={id} host={host} build={id} />);
  });
  await SDK.notifyLoadSucceeded();
}

const target = document.getElementById("app");
if (target) void main(target);
