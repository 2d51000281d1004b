import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";

const ROOT = process.env.AGENT_TEMPDIRECTORY ?? os.tmpdir();
const PREFIX = "kspsign-private-"; // the engine's own folders there begin alike

export const createPrivate = () => fs.mkdtempSync(path.join(ROOT, PREFIX));
export const remove = (folder: string) => { fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 }); };
export const leftPrivate = () => fs.readdirSync(ROOT).filter((name) => name.startsWith(PREFIX)).map((name) => path.join(ROOT, name));
