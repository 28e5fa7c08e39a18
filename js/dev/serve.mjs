/**
 * Serves the development page: `npm run dev`, then open the address that is printed.
 * Tests start it with a port of their own.
 */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { BUILD_OPTIONS } from "../build.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));

async function bundle() {
  const result = await build({ ...BUILD_OPTIONS, entryPoints: ["dev/page.ts"], write: false, target: "es2022", sourcemap: "inline" });
  return result.outputFiles[0].text;
}

/** Collects what the policy forbade, for tests to look at. */
const VIOLATIONS = `
  window.violations = [];
  addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => violations.push(violatedDirective + " " + blockedURI));
`;

/** Every load of the page builds anew, so a reload shows the latest sources. */
async function answer(path) {
  if (path === "/page.js") return ["text/javascript", await bundle()];
  if (path === "/widget.js") return ["text/javascript", await readFile(join(HERE, "../../rlm_notebook/static/widget.js"), "utf8")];
  if (path.startsWith("/parts/")) return ["text/javascript", await readFile(join(HERE, "../../rlm_notebook/static/parts", basename(path)), "utf8")];
  if (path === "/violations.js") return ["text/javascript", VIOLATIONS];
  if (path === "/") return ["text/html", await readFile(join(HERE, "index.html"), "utf8")];
  return null;
}

/** As strict as the widget allows: whatever got past it would be reported as a violation. */
const POLICY = [
  "default-src 'none'",
  // The widget, in a notebook, and parts of it are imported from addresses of their text.
  "script-src 'self' blob:",
  "style-src 'unsafe-inline'",
  "img-src data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

export async function serve(port = 0) {
  const server = createServer(async (request, response) => {
    const found = await answer(new URL(request.url, "http://localhost").pathname);
    response.writeHead(found ? 200 : 404, {
      "content-type": `${found?.[0] ?? "text/plain"}; charset=utf-8`,
      "content-security-policy": POLICY,
    });
    response.end(found?.[1] ?? "");
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  return { server, address: `http://127.0.0.1:${server.address().port}/` };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { address } = await serve(Number(process.env.PORT ?? 8123));
  console.log(address);
}
