// Diagnostics of the Azure Pipelines language service: reads {schema, documents: {name: text}}, writes {name: [messages]}.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

console.log = () => {}; // the service traces to standard output, which is for the result

const require = createRequire(new URL("../../../task/shim/package.json", import.meta.url));
const { getLanguageService, parse, TextDocument } = {
  ...require("azure-pipelines-language-service"),
  ...require("vscode-languageserver-textdocument"),
};

const { schema, documents } = JSON.parse(readFileSync(0, "utf8"));
const service = getLanguageService(() => Promise.resolve(schema), [], () => Promise.resolve("kspsign://schema"));
service.configure({ validate: true });

const found = {};
for (const [name, text] of Object.entries(documents)) {
  const document = TextDocument.create(`file:///${name}`, "azure-pipelines", 1, text);
  const diagnostics = await service.doValidation(document, parse(text));
  found[name] = diagnostics.map(({ range, message }) => `${range.start.line + 1}: ${message}`);
}
process.stdout.write(JSON.stringify(found));
