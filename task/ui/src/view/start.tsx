/** Starts a page of the extension: never blank, and whatever keeps it from opening is said. */
import * as SDK from "azure-devops-extension-sdk";
import { createRoot, type Root } from "react-dom/client";
import { within } from "../service/deadline";
import { faultOf, unanswered } from "../service/faults";
import { type Host, openHost } from "../service/host";
import { SECONDS } from "../service/rest";
import { FaultProblem } from "./FaultProblem";

const WHAT = "the place of this page (collection, project)";

/** Shake hands with Azure DevOps and let `draw` show the page in the element #app. */
export function startPage(draw: (root: Root, host: Host) => void): void {
  const target = document.getElementById("app");
  if (!target) return;
  const root = createRoot(target);
  root.render(<p role="status">Connecting to Azure DevOps ...</p>);
  open(root, draw).catch((error: unknown) => {
    const fault = faultOf(error, WHAT);
    root.render(<FaultProblem title="This page can't be opened" faults={[fault]} />);
    SDK.notifyLoadFailed(fault).catch(() => undefined); // the page says it, whether Azure DevOps listens or not
  });
}

async function open(root: Root, draw: (root: Root, host: Host) => void): Promise<void> {
  draw(root, await within(openHost(), SECONDS, () => unanswered(WHAT, SECONDS)));
  await SDK.notifyLoadSucceeded();
}
