/** The hub "Signing" of a project: signatures over time. */
import * as SDK from "azure-devops-extension-sdk";
import { createRoot } from "react-dom/client";
import { openHost } from "../service/host";
import { SigningHub } from "./SigningHub";

async function main(target: HTMLElement): Promise<void> {
  const host = await openHost();
  createRoot(target).render(<SigningHub host={host} />);
  await SDK.notifyLoadSucceeded();
}

const target = document.getElementById("app");
if (target) void main(target);
