import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const OUT = "../../build/ui";
const PAGE = "../../python/kspsign/publishing/page.html";

const common = {
  outdir: OUT,
  bundle: true,
  minify: true,
  target: ["chrome116", "edge116", "firefox121", "safari16.4"],
  define: { "process.env.NODE_ENV": '"production"' },
  jsx: "automatic",
  logLevel: "warning",
  metafile: true,
};

const made = await build({
  ...common,
  entryPoints: { page: "src/page/main.tsx", tab: "src/tab/main.tsx", hub: "src/hub/main.tsx", ui: "src/styles/index.css" },
  format: "iife",
  charset: "utf8",
});

// Packaging reads from it whose licences belong into the package.
writeFileSync(`${OUT}/inputs.json`, JSON.stringify(Object.keys(made.metafile.inputs)));

// The page is given to others on its own, so that the licences of what is in it are, too.
const [page] = Object.entries(made.metafile.outputs).filter(([name]) => name.endsWith("/page.js")).map(([, output]) => output);
const packages = Object.keys(page.inputs).map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]);
const notices = [...new Set(packages.filter(Boolean))].sort()
  .map((name) => `${name}\n\n${readFileSync(`node_modules/${name}/LICENSE`, "utf8").trim()}`)
  .join("\n\n").replaceAll("--", "- -");

const source = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
const script = readFileSync(`${OUT}/page.js`, "utf8").trimEnd().replaceAll("</script", "<\\/script");
const style = readFileSync(`${OUT}/ui.css`, "utf8").trimEnd();
const policy = `default-src 'none'; script-src ${source(script)}; style-src ${source(style)}; base-uri 'none'; form-action 'none'`;

// Nothing but what is hashed here runs, whatever the report says; it takes the place of the mark.
writeFileSync(
  PAGE,
  `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="generator" content="kspsign">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Signatures - kspsign</title>
<style>${style}</style>
</head>
<body>
<main id="app"><p>Reading the report ...</p></main>
<noscript><p>This page needs JavaScript; report.json has the same.</p></noscript>
<script type="application/gzip" id="report">@REPORT@</script>
<script>${script}</script>
</body>
</html>
<!--
${notices}
-->
`,
);

// The SDK writes the host's colours into a style element of its own; the collection's address is known at run time only.
const hosted = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src https: http:; base-uri 'none'";
mkdirSync(`${OUT}/extension`, { recursive: true });
for (const [name, title] of [["tab", "Signatures"], ["hub", "Signing"]]) {
  writeFileSync(
    `${OUT}/extension/${name}.html`,
    `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${hosted}">
<title>${title}</title>
<link rel="stylesheet" href="ui.css">
</head>
<body>
<main id="app"></main>
<script src="${name}.js"></script>
</body>
</html>
`,
  );
  writeFileSync(`${OUT}/extension/${name}.js`, readFileSync(`${OUT}/${name}.js`));
}
writeFileSync(`${OUT}/extension/ui.css`, readFileSync(`${OUT}/ui.css`));
