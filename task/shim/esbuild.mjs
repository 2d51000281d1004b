import { build } from "esbuild";

await build({
  entryPoints: ["src/main.ts"],
  outfile: "../../build/shim/index.js",
  bundle: true,
  platform: "node",
  target: "node20",
  format: "cjs",
  legalComments: "eof",
  logLevel: "warning",
});
