// What DownloadSecureFile@1 does in its main phase, by Microsoft's own code: fetch INPUT_SECUREFILE, tell its path.
const { createRequire } = require("node:module");
const path = require("node:path");

const agent = createRequire(path.join(__dirname, "..", "..", "..", "build", "agent", "package.json"));
const { SecureFileHelpers } = agent("azure-pipelines-tasks-securefiles-common/securefiles-common");
const tl = agent("azure-pipelines-task-lib/task");

new SecureFileHelpers(1).downloadSecureFile(tl.getInput("secureFile", true)).then(
  (file) => { tl.setVariable("secureFilePath", file, false, true); },
  (error) => { tl.setResult(tl.TaskResult.Failed, error.message); },
);
