import { writeFileSync } from "node:fs";
import { build } from "esbuild";

const OUT = "../../build/shim";

const { metafile } = await build({
  entryPoints: { index: "src/main.ts", cleanup: "src/cleanup.ts" },
  outdir: OUT,
  bundle: true,
  platform: "node",
  target: "node20",
  format: "cjs",
  legalComments: "eof",
  logLevel: "warning",
  metafile: true,
});

// Packaging reads from it whose licences belong into the package.
writeFileSync(`${OUT}/inputs.json`, JSON.stringify(Object.keys(metafile.inputs)));
