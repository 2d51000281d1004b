/** What Azure DevOps says of the page that the extension is in: collection, project, token, theme. */
import * as SDK from "azure-devops-extension-sdk";
import { followHostTheme } from "../view/theme";
import type { Place } from "./rest";
import { taskOf } from "./tasks";

const LOCATION_SERVICE = "ms.vss-features.location-service";
const PROJECT_SERVICE = "ms.vss-tfs-web.tfs-page-data-service";
/** The area of the REST resources of builds: its place is that of the collection. */
const BUILD_AREA = "5d6898bb-45ec-463f-95f9-54d49c71752e";

interface LocationService {
  getResourceAreaLocation: (area: string) => Promise<string>;
}

interface ProjectService {
  getProject: () => Promise<{ id: string; name: string } | undefined>;
}

export interface Host {
  place: Place;
  /** The KspSign task of this variant of the extension. */
  taskId: string;
}

/** Shake hands with the host, and find out where this is. */
export async function openHost(): Promise<Host> {
  await SDK.init({ loaded: false, applyTheme: true });
  followHostTheme();
  const locations = await SDK.getService<LocationService>(LOCATION_SERVICE);
  const projects = await SDK.getService<ProjectService>(PROJECT_SERVICE);
  const collection = await locations.getResourceAreaLocation(BUILD_AREA);
  const project = await projects.getProject();
  const place: Place = {
    collection: collection.endsWith("/") ? collection : `${collection}/`,
    project: project?.name ?? "",
    token: () => SDK.getAccessToken(),
  };
  return { place, taskId: taskOf(SDK.getExtensionContext().extensionId) };
}
